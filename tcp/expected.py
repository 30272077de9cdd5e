"""The segments a connection without trouble consists of, taken and sent in one go: header prediction (V. Jacobson, 1990).

Both functions do what `receive` and `next_segment` would do, and refuse, having changed nothing, what is not the usual: then
those are to be asked. They exist for speed alone.
"""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import inlined
from dpdk_io.memory import i64
from tcp.connection import (
    ACK_ALONE,
    ACK_BITS,
    ACK_DUE,
    ACK_LATER,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    COLD_READY,
    CORK,
    ECN_OK,
    ESTABLISHED,
    FIN_QUEUED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    KEEP_ALIVE,
    LAST_ACK,
    LOST,
    PERSIST,
    PROBE,
    QUICK_ACK,
    RECOVERY,
    REWOUND,
    SYN_RECEIVED,
    TIME_WAIT,
    TIMED,
    TIMED_LATER,
    TS_OK,
)
from tcp.events import EV_ACKED, EV_CLOSED, EV_DATA, EV_ESTABLISHED, EV_FIN, EV_FIN_ACKED, EV_TIME_WAIT
from tcp.rto import measure, whole_ms
from tcp.segment import ACK, FIN, OPT_SACK, RST, SYN, URG
from tcp.seq import MASK, advance, distance
from tcp.window import consumed

UNUSUAL = COLD_READY | REWOUND | LOST | RECOVERY | PERSIST | PROBE | TIMED_LATER | KEEP_ALIVE | TS_OK | ECN_OK | CORK
"""Bits of connections that are always refused."""

REFUSED = -1
FLAGS_AT, LENGTH = 16, 0xFFFF

assert tuple(range(SYN_RECEIVED, TIME_WAIT)) == (SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK)
_OUR_FIN_STATES = 1 << FIN_WAIT_1 | 1 << CLOSING | 1 << LAST_ACK


@inlined
def receive_expected(conn, seg, limits, now):
    """What `receive` does and returns, or REFUSED: the next segment in order, with an ACK of all that was sent."""
    bits, state, ack = i64(conn.bits), i64(conn.state), i64(seg.ack)
    flags, length = i64(seg.tcp_flags), i64(seg.payload_len)
    wnd = i64(seg.wnd) << i64(conn.snd_shift)
    if unlikely(bits & UNUSUAL != 0 or i64(seg.seq) != i64(conn.rcv_nxt)):
        return REFUSED
    if unlikely(flags & (SYN | RST | ACK | URG) != ACK or i64(seg.opts) & OPT_SACK != 0):
        return REFUSED
    if unlikely(ack != i64(conn.snd_nxt) or i64(conn.retries) != 0):
        return REFUSED
    if unlikely(wnd < i64(conn.mss) or i64(conn.snd_wnd) == 0):
        return REFUSED
    text = length + (flags & FIN)
    if text:
        if unlikely(not SYN_RECEIVED <= state <= FIN_WAIT_2 or length > i64(conn.rcv_wnd)):
            return REFUSED
    elif unlikely(not SYN_RECEIVED <= state <= LAST_ACK):
        return REFUSED
    events = i64(0)
    if ack != i64(conn.snd_una):
        conn.snd_wnd = wnd
        conn.snd_una = ack
        events = i64(EV_ACKED)
        if bits & TIMED:
            bits &= ~TIMED
            measure(conn, limits, (now - i64(conn.rtt_time)) & MASK)
        if state == SYN_RECEIVED:
            state = i64(ESTABLISHED)
            events = i64(EV_ACKED | EV_ESTABLISHED)
        elif 1 << state & _OUR_FIN_STATES and ack == advance(i64(conn.snd_end), 1):
            state, events = _after_our_fin(state)
    elif unlikely(state == SYN_RECEIVED):
        return REFUSED
    else:
        conn.snd_wnd = wnd
    if text:
        seg.skip = 0
        seg.accepted = length
        conn.rcv_nxt = advance(i64(conn.rcv_nxt), text)
        consumed(conn, limits, length)
        at_once = flags & FIN or bits & (ACK_LATER | QUICK_ACK) or i64(limits.delack_ms) == 0
        bits |= ACK_DUE if at_once else ACK_LATER
        if length:
            events |= EV_DATA
        if flags & FIN:
            events |= EV_FIN
            if state == ESTABLISHED:
                state = i64(CLOSE_WAIT)
            elif state == FIN_WAIT_1:
                state = i64(CLOSING)
            else:
                state = i64(TIME_WAIT)
                events |= EV_TIME_WAIT
    conn.bits = bits
    conn.state = state
    _set_deadline(conn, limits, state, now)
    return events


@inlined
def _after_our_fin(state):
    """The state after the ACK of our FIN, and the events."""
    if unlikely(state == CLOSING):
        return i64(TIME_WAIT), i64(EV_ACKED | EV_FIN_ACKED | EV_TIME_WAIT)
    if state == LAST_ACK:
        return i64(CLOSED), i64(EV_ACKED | EV_FIN_ACKED | EV_CLOSED)
    return i64(FIN_WAIT_2), i64(EV_ACKED | EV_FIN_ACKED)


@inlined
def _set_deadline(conn, limits, state, now):
    """With nothing left in flight."""
    patience = i64(limits.patience[state])
    conn.deadline = (whole_ms(now) + patience) & MASK if patience else 0


@inlined
def next_expected(conn, now):
    """What `next_segment` would send: the payload's LENGTH and, from bit FLAGS_AT on, the flags, as a header has them beside the
    window; 0 for nothing, or REFUSED: so is every SYN.

    PSH is not among them: every payload has it. The sequence number is what snd_nxt was before, ACK and window are the
    connection's. Only after an ACK without payload may there be more to send.
    """
    bits, state = i64(conn.bits), i64(conn.state)
    if unlikely(bits & UNUSUAL != 0):
        return i64(REFUSED)
    if unlikely(state < ESTABLISHED):
        return i64(0) if state == CLOSED else i64(REFUSED)
    nxt = i64(conn.snd_nxt)
    queued = distance(i64(conn.snd_end), nxt)
    fin = i64(FIN) if bits & FIN_QUEUED else i64(0)
    if bits & ACK_ALONE or queued + fin <= 0:
        if bits & ACK_BITS == 0:
            return i64(0)
        if unlikely(bits & ACK_BITS == ACK_LATER):
            return i64(REFUSED)
        conn.bits = bits & ~ACK_BITS
        return i64(ACK << FLAGS_AT)
    if unlikely(nxt != i64(conn.snd_una) or queued > i64(conn.mss) or queued + fin > i64(conn.snd_wnd) or bits & TIMED != 0):
        return i64(REFUSED)
    conn.snd_nxt = advance(nxt, queued + fin)
    conn.deadline = (whole_ms(now) + i64(conn.rto) + 1) & MASK
    if fin:
        conn.bits = bits & ~ACK_BITS
        if state == ESTABLISHED:
            conn.state = FIN_WAIT_1
        elif state == CLOSE_WAIT:
            conn.state = LAST_ACK
    else:
        conn.bits = (bits | TIMED) & ~ACK_BITS
        conn.rtt_time = now & MASK
    return (ACK | fin) << FLAGS_AT | queued & LENGTH
