"""The fifth check of RFC 9293 section 3.10.7.4: the ACK field, the window, and what an ACK does to timers and to our FIN."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import div64, i64
from tcp.challenge import challenge
from tcp.congestion import after_syn_loss, on_congestion_echo, warm
from tcp.connection import (
    CLOSED,
    CLOSING,
    COLD_READY,
    ECN_OK,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LOST,
    PERSIST,
    PROBE,
    REWOUND,
    SACK_OK,
    SYN_RECEIVED,
    TIME_WAIT,
    TIMED,
    TIMED_LATER,
    TS_OK,
    clear_bits,
    sent,
)
from tcp.deadlines import expire_after, expire_at
from tcp.events import EV_ACKED, EV_CHALLENGE, EV_CLOSED, EV_ESTABLISHED, EV_FIN_ACKED, EV_RST_DUE, EV_TIME_WAIT
from tcp.recovery import go_back, heard
from tcp.rto import after_handshake, collapse, measure
from tcp.segment import ECE, FIN, OPT_SACK, SYN
from tcp.seq import MASK, advance, distance
from tcp.timestamps import trip

STOP = EV_CHALLENGE | EV_RST_DUE | EV_CLOSED
"""Events after which nothing else of the segment counts."""

_OLDEST_ACK = 65535
"""MAX.SND.WND of RFC 5961 section 5.2 without COLD, where no more than an initial window has been in flight."""


@inlined
def acknowledge(conn, cold, seg, limits, now):
    """Take in the ACK and the window of an acceptable segment."""
    ack = i64(seg.ack)
    una = i64(conn.snd_una)
    state = i64(conn.state)
    acked = distance(ack, una)
    flight = distance(sent(conn, cold), una)
    events = 0
    if state == SYN_RECEIVED:
        if acked <= 0 or acked > flight:
            return EV_RST_DUE
        conn.state = ESTABLISHED
        state = ESTABLISHED
        after_handshake(conn, limits)
        events = EV_ESTABLISHED
    elif acked > flight or acked < -_oldest(conn, cold):
        return challenge(conn, cold, limits, now)
    if acked > 0:
        _advance(conn, cold, seg, limits, acked, events, now)
        events |= EV_ACKED
    if acked >= 0:
        syn = i64(seg.tcp_flags) & SYN
        wnd = i64(seg.wnd) << (0 if syn else i64(conn.snd_shift))
        bits = i64(conn.bits)
        if bits & ECN_OK and i64(seg.tcp_flags) & ECE and acked > 0:
            on_congestion_echo(conn, cold, limits)
        duplicate = acked == 0 and flight > 0 and _is_duplicate(conn, seg, wnd)
        if duplicate or (acked > 0 and bits & COLD_READY) or (bits & SACK_OK and i64(seg.opts) & OPT_SACK):
            heard(conn, cold, seg, limits, acked, duplicate, now)
        # The SYN of a simultaneous open stands before rcv_nxt, and its window counts.
        _window(conn, cold, limits, advance(i64(seg.seq), 1 if syn else 0), wnd, now)
    # Only our FIN is beyond snd_end.
    if acked > 0 and state > ESTABLISHED and distance(ack, i64(conn.snd_end)) == 1:
        events |= _fin_acked(conn, state)
    return events


@kernel
def _is_duplicate(conn, seg, wnd):
    """The ACK says nothing new and carries nothing (RFC 5681 section 2); an answer to a zero-window probe is none."""
    return wnd != 0 and wnd == i64(conn.snd_wnd) and i64(seg.payload_len) == 0 and i64(seg.tcp_flags) & FIN == 0


@kernel
def _oldest(conn, cold):
    """How far an ACK may be before snd_una (RFC 5961 section 5.2)."""
    return i64(cold.max_snd_wnd) if i64(conn.bits) & COLD_READY else _OLDEST_ACK


@inlined
def _advance(conn, cold, seg, limits, acked, handshake, now):
    """SND.UNA < SEG.ACK =< SND.NXT: *acked* bytes leave the retransmission queue. *handshake*: it is our SYN."""
    ack = i64(seg.ack)
    bits = i64(conn.bits)
    if bits & TIMED and (not bits & TIMED_LATER or distance(ack, i64(cold.rtt_seq)) >= 0):
        bits &= ~(TIMED | TIMED_LATER)
        conn.bits = bits
        measure(conn, limits, (now - i64(conn.rtt_time)) & MASK)
    elif bits & TS_OK:
        _measure_by_timestamp(conn, seg, limits, now)
    conn.snd_una = ack
    if distance(ack, i64(conn.snd_nxt)) > 0:
        conn.snd_nxt = ack
    if handshake and bits & COLD_READY:
        clear_bits(conn, REWOUND | LOST)
        after_syn_loss(conn, cold)
    conn.retries = 0
    if ack != i64(conn.snd_nxt):
        expire_after(conn, cold, i64(conn.rto), now)


@rare
def _measure_by_timestamp(conn, seg, limits, now):
    """A round trip where none is timed: what is acknowledged was sent more than once, maybe (RFC 7323 section 4)."""
    us = trip(seg, limits, now)
    if us:
        measure(conn, limits, us)


@kernel
def _window(conn, cold, limits, seq, wnd, now):
    """Update SND.WND unless the segment is older than the one that set it last."""
    before = i64(conn.snd_wnd)
    if wnd < before and wnd < i64(conn.mss):
        warm(conn, cold)
    ready = i64(conn.bits) & COLD_READY
    if distance(seq, i64(cold.snd_wl1) if ready else i64(conn.rcv_nxt)) < 0:
        return
    if ready:
        cold.snd_wl1 = seq
        cold.max_snd_wnd = max(i64(cold.max_snd_wnd), wnd)
        cold.widest = max(i64(cold.widest), wnd)
    conn.snd_wnd = wnd
    if wnd == 0:
        # A peer that answers probes is alive, however long its window stays shut (RFC 9293 section 3.8.6.1).
        conn.retries = 0
    elif before == 0:
        _open(conn, cold, limits, now)


@kernel
def _open(conn, cold, limits, now):
    """The window was shut and is not any more: a probe may have been thrown away, and its backed-off timer is too slow."""
    clear_bits(conn, PERSIST | PROBE)
    collapse(conn, limits)
    if i64(conn.snd_una) != sent(conn, cold):
        go_back(conn, cold)
        expire_after(conn, cold, i64(conn.rto), now)


@kernel
def _fin_acked(conn, state):
    """The ACK covers our FIN."""
    if state == FIN_WAIT_1:
        conn.state = FIN_WAIT_2
        return EV_FIN_ACKED
    if state == CLOSING:
        conn.state = TIME_WAIT
        return EV_FIN_ACKED | EV_TIME_WAIT
    if state == LAST_ACK:
        conn.state = CLOSED
        conn.deadline = 0
        return EV_FIN_ACKED | EV_CLOSED
    return 0


@kernel
def wait(conn, cold, limits, events, now):
    """Set the deadline of a connection that has nothing in flight: it can only wait for the peer, or for its end."""
    if i64(conn.bits) & (REWOUND | PERSIST):
        return
    state = i64(conn.state)
    conn.retries = 0
    if state == TIME_WAIT:
        if events & EV_TIME_WAIT:
            expire_at(conn, cold, (div64(now, 1000) + i64(limits.time_wait_ms) + 1) & MASK)
    elif state == FIN_WAIT_2:
        expire_after(conn, cold, i64(limits.fin_wait_2_ms), now)
    elif state != CLOSED:
        expire_after(conn, cold, i64(limits.quiet_ms), now)
