"""Initial sequence numbers: RFC 6528, a 4-microsecond clock plus a keyed hash (SipHash) of the connection."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import add64, mul64, shr64
from tcp.seq import MASK

_V0, _V1, _V2, _V3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
_LENGTH = 12 << 56
"""The last word of the message: its length in bytes over the four bytes that are left."""


@kernel
def initial(key0, key1, local_ip, local_port, peer_ip, peer_port, now):
    """The first sequence number of a connection opened at *now* (us); *key0* and *key1* are the 128-bit secret."""
    ports = mul64(peer_port, 1 << 16) | local_port
    word = siphash12(key0, key1, mul64(peer_ip, 1 << 32) | local_ip, ports)
    return (now // 4 + (word & MASK)) & MASK


@kernel
def _left(x, n):
    return mul64(x, 1 << n) | shr64(x, 64 - n)


@kernel
def _round(v0, v1, v2, v3):
    v0 = add64(v0, v1)
    v2 = add64(v2, v3)
    v1 = _left(v1, 13) ^ v0
    v3 = _left(v3, 16) ^ v2
    v0 = add64(_left(v0, 32), v3)
    v2 = add64(v2, v1)
    v1 = _left(v1, 17) ^ v2
    v3 = _left(v3, 21) ^ v0
    return v0, v1, _left(v2, 32), v3


@kernel
def siphash12(key0, key1, first, rest):
    """SipHash-1-3 of 12 bytes: the 64-bit word *first*, then the 32-bit *rest*, both as they lie in little-endian memory."""
    v0, v1, v2, v3 = key0 ^ _V0, key1 ^ _V1, key0 ^ _V2, key1 ^ _V3
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ first)
    last = _LENGTH | rest
    v0, v1, v2, v3 = _round(v0 ^ first, v1, v2, v3 ^ last)
    v0, v1, v2, v3 = _round(v0 ^ last, v1, v2 ^ 0xFF, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3
