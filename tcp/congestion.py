"""Congestion control: slow start and congestion avoidance (RFC 5681), fast retransmit and recovery (RFC 6582), all in COLD.

A connection needs none of it until it has more than an initial window (RFC 6928) in flight, or loses something.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.connection import COLD_READY, LOST, RECOVERY, REWOUND, TIMED, TIMED_LATER, clear_bits, raise_bits, sent, warm_receiver
from tcp.seq import advance, distance

_LARGEST = 1 << 30
_DUPLICATES = 3


@kernel
def initial_window(mss):
    """Bytes in flight before the first ACK (RFC 6928)."""
    return min(10 * mss, max(2 * mss, 14600))


@kernel
def warm(conn, cold):
    """Make COLD this connection's."""
    if i64(conn.bits) & COLD_READY:
        return
    raise_bits(conn, COLD_READY)
    cold.snd_max = i64(conn.snd_nxt)
    cold.rtt_seq = i64(conn.snd_una)
    cold.recover = advance(i64(conn.snd_una), -1)
    cold.cwnd = initial_window(i64(conn.mss))
    cold.ssthresh = _LARGEST
    cold.dup_acks = 0
    cold.since = 0
    cold.board = 0
    cold.snd_wl1 = i64(conn.rcv_nxt)
    cold.rexmit_at = i64(conn.deadline)
    cold.probe_at = 0
    warm_receiver(conn, cold)


@kernel
def rewind(conn, cold):
    """Go back to snd_una: `next_segment` sends everything from there again. No round trip is timed meanwhile (Karn)."""
    warm(conn, cold)
    cold.snd_max = sent(conn, cold)
    conn.snd_nxt = i64(conn.snd_una)
    conn.bits = (i64(conn.bits) | REWOUND) & ~(TIMED | TIMED_LATER | LOST | RECOVERY)


@kernel
def on_ack(conn, cold, acked):
    """*acked* new bytes were acknowledged; snd_una is already theirs. RFC 5681 section 3.1, RFC 6582 section 3.2."""
    cold.dup_acks = 0
    bits = i64(conn.bits)
    una = i64(conn.snd_una)
    mss = i64(conn.mss)
    cwnd = i64(cold.cwnd)
    if bits & REWOUND and distance(i64(conn.snd_nxt), i64(cold.snd_max)) >= 0:
        clear_bits(conn, REWOUND)
    if bits & RECOVERY:
        if distance(una, i64(cold.recover)) >= 0:
            clear_bits(conn, RECOVERY | LOST)
            cwnd = i64(cold.ssthresh)
        else:
            raise_bits(conn, LOST)
            cwnd = max(cwnd - acked + mss, mss)
    elif cwnd < i64(cold.ssthresh):
        cwnd += min(acked, mss)
    else:
        cwnd += max(mss * mss // cwnd, 1)
    cold.cwnd = min(cwnd, _LARGEST)


@kernel
def on_duplicate(conn, cold):
    """A duplicate ACK: the third one retransmits, and each one more lets one more segment leave (RFC 6582 section 3.2)."""
    warm(conn, cold)
    bits = i64(conn.bits)
    if bits & REWOUND:
        return
    mss = i64(conn.mss)
    duplicates = i64(cold.dup_acks) + 1
    cold.dup_acks = duplicates
    if bits & RECOVERY:
        cold.cwnd = min(i64(cold.cwnd) + mss, _LARGEST)
    elif duplicates == _DUPLICATES and distance(i64(conn.snd_una), i64(cold.recover)) > 0:
        flight = distance(i64(conn.snd_nxt), i64(conn.snd_una))
        cold.recover = i64(conn.snd_nxt)
        cold.ssthresh = max(flight // 2, 2 * mss)
        cold.cwnd = i64(cold.ssthresh) + _DUPLICATES * mss
        conn.bits = (bits | LOST | RECOVERY) & ~(TIMED | TIMED_LATER)


@kernel
def on_timeout(conn, cold):
    """The retransmission timer ran out (RFC 5681 section 3.1): back to one segment, and to snd_una."""
    warm(conn, cold)
    mss = i64(conn.mss)
    if i64(conn.retries) == 0:
        flight = distance(sent(conn, cold), i64(conn.snd_una))
        cold.ssthresh = max(flight // 2, 2 * mss)
    cold.cwnd = mss
    cold.dup_acks = 0
    rewind(conn, cold)
    cold.recover = i64(cold.snd_max)


@kernel
def after_syn_loss(conn, cold):
    """The handshake is complete. Where it needed a retransmission, one segment is the initial window, and nothing is known of
    the path (RFC 5681 section 3.1)."""
    mss = i64(conn.mss)
    cold.cwnd = mss if i64(conn.retries) else initial_window(mss)
    cold.ssthresh = _LARGEST
