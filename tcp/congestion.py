"""Congestion control: slow start and congestion avoidance (RFC 5681, by bytes: RFC 3465) with Reno or CUBIC, all in COLD.

The first slow start, in which ssthresh is LARGEST, is that of HyStart++ (hystart.py).

A connection needs none of it until it has more than an initial window (RFC 6928) in flight, or loses something. What is lost is
found by `newreno`, or, with selective acknowledgments, by `recovery`.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.connection import COLD_READY, CWR_DUE, LOST, RECOVERY, REWOUND, TIMED, TIMED_LATER, raise_bits, sent, warm_receiver
from tcp.cubic import NOT_BEGUN, cubic_after_timeout, cubic_grow, cubic_reduce
from tcp.hystart import begin_hystart, first_growth
from tcp.rto import UNIT
from tcp.seq import MASK, advance, distance

LARGEST = 1 << 30
RENO, CUBIC = range(2)
_SEGMENTS_PER_ACK = 2
"""L of RFC 3465: an ACK that covers more opens the window no further; in the first slow start it is HyStart++'s."""


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
    cold.ssthresh = LARGEST
    cold.dup_acks = 0
    cold.since = 0
    cold.board = 0
    cold.snd_wl1 = i64(conn.rcv_nxt)
    cold.rexmit_at = i64(conn.deadline)
    cold.probe_at = 0
    cold.min_rtt = 0
    cold.prior_cwnd = 0
    cold.prior_ssthresh = 0
    cold.w_max = 0
    cold.cubic_k = NOT_BEGUN
    cold.grown = 0
    cold.last_sent = 0
    cold.ecn_end = advance(i64(conn.snd_una), -1)
    cold.undo_at = 0
    cold.widest = i64(conn.snd_wnd)
    begin_hystart(conn, cold)
    warm_receiver(conn, cold)


@kernel
def rewind(conn, cold):
    """Go back to snd_una: `next_segment` sends everything from there again. No round trip is timed meanwhile (Karn)."""
    warm(conn, cold)
    cold.snd_max = sent(conn, cold)
    conn.snd_nxt = i64(conn.snd_una)
    conn.bits = (i64(conn.bits) | REWOUND) & ~(TIMED | TIMED_LATER | LOST | RECOVERY)


@kernel
def grow(conn, cold, limits, acked, flight, cautious, now):
    """*acked* bytes more have arrived while *flight* were in flight: open the window, unless it was not what held us back.

    *cautious*: after a timeout, slow start is by one segment for an ACK (RFC 3465 section 2.3).
    """
    mss = i64(conn.mss)
    cwnd = max(i64(cold.cwnd), mss)
    ssthresh = i64(cold.ssthresh)
    if 2 * flight <= cwnd or (cwnd >= ssthresh and flight + mss <= cwnd):
        cold.cubic_last = now & MASK
        return
    if ssthresh == LARGEST and not cautious:
        cwnd += first_growth(cold, mss, acked)
    elif cwnd < ssthresh:
        cwnd = min(cwnd + min(acked, mss if cautious else _SEGMENTS_PER_ACK * mss), ssthresh)
    elif i64(limits.congestion) == CUBIC:
        cold.cwnd = cwnd
        cwnd = cubic_grow(cold, mss, acked, i64(conn.srtt) * UNIT, now)
    else:
        rest = i64(cold.grown) + acked
        if rest >= cwnd:
            rest -= cwnd
            cwnd += mss
        cold.grown = min(rest, cwnd)
    cold.cwnd = min(cwnd, LARGEST)


@kernel
def reduce(conn, cold, limits):
    """The network lost something, or said that it would: the new ssthresh. What was before is kept for `undo`."""
    mss = i64(conn.mss)
    cwnd = max(i64(cold.cwnd), mss)
    cold.prior_cwnd = cwnd
    cold.prior_ssthresh = i64(cold.ssthresh)
    window = min(cwnd, distance(sent(conn, cold), i64(conn.snd_una)))
    threshold = cubic_reduce(cold, window) if i64(limits.congestion) == CUBIC else window // 2
    cold.ssthresh = max(threshold, 2 * mss)
    cold.grown = 0


@kernel
def reduce_to_one(conn, cold, limits):
    """A timeout (RFC 5681 section 3.1): one segment. ssthresh stays while the same segment is sent again and again, and in a
    recovery, which has reduced it already."""
    if i64(conn.retries) == 0 and not i64(conn.bits) & RECOVERY:
        reduce(conn, cold, limits)
        cubic_after_timeout(cold)
    cold.cwnd = i64(conn.mss)
    cold.dup_acks = 0


@kernel
def after_syn_loss(conn, cold):
    """The handshake is complete. Where it needed a retransmission, one segment is the initial window, and nothing is known of
    the path (RFC 5681 section 3.1)."""
    mss = i64(conn.mss)
    cold.cwnd = mss if i64(conn.retries) else initial_window(mss)
    cold.ssthresh = LARGEST


@rare
def switch(cold, limits, way):
    """Let *way*, RENO or CUBIC, go on from the windows that there are."""
    if i64(limits.congestion) == way:
        return
    limits.congestion = way
    cubic_after_timeout(cold)
    cold.grown = 0


@rare
def undo(cold):
    """The last reduction was for nothing."""
    cold.cwnd = max(i64(cold.cwnd), i64(cold.prior_cwnd))
    cold.ssthresh = max(i64(cold.ssthresh), i64(cold.prior_ssthresh))
    cold.w_max = max(i64(cold.w_max), i64(cold.prior_cwnd))
    cold.cubic_k = NOT_BEGUN


@rare
def on_congestion_echo(conn, cold, limits):
    """An ACK with ECE: reduce, but once for what is in flight, and say so by CWR (RFC 3168 section 6.1.2)."""
    warm(conn, cold)
    if i64(conn.bits) & RECOVERY or distance(i64(conn.snd_una), i64(cold.ecn_end)) <= 0:
        return
    reduce(conn, cold, limits)
    cold.cwnd = i64(cold.ssthresh)
    cold.ecn_end = sent(conn, cold)
    raise_bits(conn, CWR_DUE)


@kernel
def restart(conn, cold, now):
    """Nothing was sent for longer than the timeout: what the window stood for is forgotten (RFC 5681 section 4.1)."""
    idle = (now // 1000 - i64(cold.last_sent)) & MASK
    if i64(cold.last_sent) and idle > i64(conn.rto):
        cold.cwnd = min(i64(cold.cwnd), initial_window(i64(conn.mss)))
