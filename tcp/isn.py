"""Initial sequence numbers: RFC 6528, a 4-microsecond clock plus a keyed hash (SipHash) of the connection."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import add64, i64, mul64, shr64, signed
from tcp.seq import MASK

_V0, _V1, _V2, _V3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573
_WORD = (1 << 64) - 1
_LENGTH = 12 << 56
"""The last word of the message: its length in bytes over the four bytes that are left."""

SECRET = np.dtype([("isn_v0", "i8"), ("isn_v1", "i8"), ("isn_v2", "i8"), ("isn_v3", "i8")])
"""What SipHash makes of a key before it has seen a message."""


def keep_secret(record: Any, key0: int, key1: int) -> None:
    """Write the fields of SECRET in *record* for the 128-bit key *key0* and *key1*: `_keyed`, without compiling it."""
    v0, v1 = (key0 ^ _V0) + (key1 ^ _V1) & _WORD, (key1 ^ _V1) & _WORD
    words = v0 << 32 | v0 >> 32, (v1 << 13 | v1 >> 51) ^ v0, key0 ^ _V2, key1 ^ _V3
    for name, word in zip(SECRET.names or (), words, strict=True):
        record[name] = signed(word)


@kernel
def initial(secret, local_ip, local_port, peer_ip, peer_port, now):
    """The first sequence number of a connection opened at *now* (us). *secret*: a record with the fields of SECRET."""
    ports = mul64(peer_port, 1 << 16) | local_port
    v0, v1, v2, v3 = i64(secret.isn_v0), i64(secret.isn_v1), i64(secret.isn_v2), i64(secret.isn_v3)
    word = _hash12(v0, v1, v2, v3, mul64(peer_ip, 1 << 32) | local_ip, ports)
    return (now // 4 + (word & MASK)) & MASK


@kernel
def _left(x, n):
    return mul64(x, 1 << n) | shr64(x, 64 - n)


@kernel
def _round(v0, v1, v2, v3):
    v0 = add64(v0, v1)
    return _finish_round(_left(v0, 32), _left(v1, 13) ^ v0, v2, v3)


@kernel
def _finish_round(v0, v1, v2, v3):
    v2 = add64(v2, v3)
    v3 = _left(v3, 16) ^ v2
    v0 = add64(v0, v3)
    v2 = add64(v2, v1)
    v1 = _left(v1, 17) ^ v2
    v3 = _left(v3, 21) ^ v0
    return v0, v1, _left(v2, 32), v3


@kernel
def _keyed(key0, key1):
    """The state up to where the first word of a message comes in, in the middle of the first round."""
    v0, v1 = add64(key0 ^ _V0, key1 ^ _V1), key1 ^ _V1
    return _left(v0, 32), _left(v1, 13) ^ v0, key0 ^ _V2, key1 ^ _V3


@kernel
def siphash12(key0, key1, first, rest):
    """SipHash-1-3 of 12 bytes: the 64-bit word *first*, then the 32-bit *rest*, both as they lie in little-endian memory."""
    v0, v1, v2, v3 = _keyed(key0, key1)
    return _hash12(v0, v1, v2, v3, first, rest)


@kernel
def _hash12(v0, v1, v2, v3, first, rest):
    """`siphash12` from the state that `_keyed` gives."""
    v0, v1, v2, v3 = _finish_round(v0, v1, v2, v3 ^ first)
    last = _LENGTH | rest
    v0, v1, v2, v3 = _round(v0 ^ first, v1, v2, v3 ^ last)
    v0, v1, v2, v3 = _round(v0 ^ last, v1, v2 ^ 0xFF, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3
