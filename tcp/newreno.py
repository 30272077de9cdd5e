"""Loss without selective acknowledgments: fast retransmit and recovery (RFC 6582), limited transmit (RFC 3042), timeouts."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.congestion import LARGEST, grow, reduce, reduce_to_one, rewind, warm
from tcp.connection import LOST, RECOVERY, REWOUND, TIMED, TIMED_LATER, clear_bits, raise_bits
from tcp.seq import distance

_DUPLICATES = 3


@kernel
def on_ack(conn, cold, limits, acked, now):
    """*acked* new bytes were acknowledged; snd_una is already theirs."""
    cold.dup_acks = 0
    bits = i64(conn.bits)
    mss = i64(conn.mss)
    flight = distance(i64(conn.snd_nxt), i64(conn.snd_una)) + acked
    if bits & REWOUND and distance(i64(conn.snd_nxt), i64(cold.snd_max)) >= 0:
        clear_bits(conn, REWOUND)
    if not bits & RECOVERY:
        grow(conn, cold, limits, acked, flight, bits & REWOUND, now)
    elif distance(i64(conn.snd_una), i64(cold.recover)) >= 0:
        clear_bits(conn, RECOVERY | LOST)
        cold.cwnd = i64(cold.ssthresh)
    else:
        raise_bits(conn, LOST)
        cold.cwnd = max(i64(cold.cwnd) - acked + mss, mss)


@kernel
def on_duplicate(conn, cold, limits):
    """A duplicate ACK: the third one retransmits, and each one more lets one more segment leave (RFC 6582 section 3.2)."""
    warm(conn, cold)
    bits = i64(conn.bits)
    if bits & REWOUND:
        return
    mss = i64(conn.mss)
    duplicates = i64(cold.dup_acks) + 1
    cold.dup_acks = duplicates
    if bits & RECOVERY:
        cold.cwnd = min(i64(cold.cwnd) + mss, LARGEST)
    elif duplicates == _DUPLICATES and distance(i64(conn.snd_una), i64(cold.recover)) > 0:
        cold.recover = i64(conn.snd_nxt)
        reduce(conn, cold, limits)
        cold.cwnd = i64(cold.ssthresh) + _DUPLICATES * mss
        conn.bits = (bits | LOST | RECOVERY) & ~(TIMED | TIMED_LATER)


@kernel
def limited_transmit(conn, cold):
    """Bytes that may be in flight beyond the congestion window: a segment for each of the first two duplicates (RFC 3042)."""
    if i64(conn.bits) & (RECOVERY | REWOUND):
        return i64(0)
    return min(i64(cold.dup_acks), _DUPLICATES - 1) * i64(conn.mss)


@kernel
def on_timeout(conn, cold, limits):
    """The retransmission timer ran out: back to one segment, and to snd_una."""
    reduce_to_one(conn, cold, limits)
    rewind(conn, cold)
    cold.recover = i64(cold.snd_max)
