"""ACKs for segments that are not believed: RFC 5961, with the limits of its section 7."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64
from tcp.congestion import warm
from tcp.connection import ACK_ALONE, ACK_DUE, raise_bits
from tcp.events import EV_CHALLENGE
from tcp.seq import MASK

_PERIOD_MS = 5000


@rare
def challenge(conn, cold, limits, now):
    """Drop the segment and tell the peer where we are, unless that was told often enough lately."""
    tell(conn, cold, limits, now)
    return EV_CHALLENGE


@kernel
def tell(conn, cold, limits, now):
    """Have an ACK sent, unless the connection (`challenges` in 5 s) or the engine (`challenge_limit` in 1 s) has had enough."""
    warm(conn, cold)
    ms = div64(now, 1000) & MASK
    if i64(cold.challenges) == 0 or (ms - i64(cold.challenged_at)) & MASK >= _PERIOD_MS:
        cold.challenged_at = ms
        cold.challenges = 0
    if i64(cold.challenges) < i64(limits.challenges) and _engine_has_one(limits, now):
        cold.challenges = i64(cold.challenges) + 1
        raise_bits(conn, ACK_DUE | ACK_ALONE)


@kernel
def _engine_has_one(limits, now):
    second = div64(now, 1_000_000) & MASK
    if i64(limits.challenge_second) != second:
        limits.challenge_second = second
        limits.challenges_sent = 0
    if i64(limits.challenges_sent) >= i64(limits.challenge_limit):
        return False
    limits.challenges_sent = i64(limits.challenges_sent) + 1
    return True
