"""SYN cookies (RFC 4987 section 3.6): a server's first sequence number that is all it needs to remember of a SYN.

5 bits of a clock of 67 seconds, 3 bits for the peer's MSS, and 24 bits of SipHash, under a secret, over these, the connection's
addresses and ports, and the peer's first sequence number.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64, mul64, shr64
from tcp.isn import siphash12
from tcp.seq import MASK

COOKIE_US = 2 << 26
"""A cookie is taken for at most so long, and at least for half of it."""

_SIZES = (48, 256, 536, 1024, 1220, 1400, 1440, 1460)
"""The MSS that a cookie can tell: the largest not above the peer's."""
_APART = 0x5C5C5C5C5C5C5C5C
"""Makes of the secret of initial sequence numbers another one."""


@kernel
def cookie(key0, key1, local_ip, local_port, peer_ip, peer_port, seq, mss, now):
    """The cookie for a SYN with the sequence number *seq* from a peer whose MSS is *mss*, at *now* (us)."""
    size = i64(len(_SIZES) - 1)
    while size > 0 and mss < _SIZES[size]:
        size -= 1
    return _made(key0, key1, local_ip, local_port, peer_ip, peer_port, seq, (shr64(now, 26) & 31) << 3 | size)


@kernel
def cookie_mss(key0, key1, local_ip, local_port, peer_ip, peer_port, seq, iss, now):
    """The MSS that the cookie *iss* tells, or 0: it is none of ours for this connection, or too old."""
    head = shr64(iss, 24)
    if (shr64(now, 26) - (head >> 3)) & 31 > 1:
        return i64(0)
    if _made(key0, key1, local_ip, local_port, peer_ip, peer_port, seq, head) != iss:
        return i64(0)
    return i64(_SIZES[head & 7])


@kernel
def _made(key0, key1, local_ip, local_port, peer_ip, peer_port, seq, head):
    ports = mul64(peer_port, 1 << 16) | local_port
    word = siphash12(key0 ^ _APART, key1, mul64(peer_ip, 1 << 32) | local_ip, ports)
    return head << 24 | siphash12(word, key1, mul64(seq & MASK, 1 << 8) | head, i64(0)) & 0xFFFFFF
