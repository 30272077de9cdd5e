"""What to send now: RFC 9293 sections 3.8 and 3.10, one segment at a time."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import i64
from tcp.acks import delay_ack, describe, payload_room
from tcp.congestion import initial_window, warm
from tcp.connection import (
    ACK_ALONE,
    ACK_BITS,
    ACK_DUE,
    ACK_LATER,
    CLOSE_WAIT,
    COLD_READY,
    ESTABLISHED,
    FIN_QUEUED,
    FIN_WAIT_1,
    KEEP_ALIVE,
    LAST_ACK,
    LOST,
    PERSIST,
    PROBE,
    REWOUND,
    SYN_RECEIVED,
    SYN_SENT,
    TIMED,
    TIMED_LATER,
    clear_bits,
    sent,
)
from tcp.deadlines import expire_after
from tcp.segment import ACK, FIN, PSH, SYN
from tcp.seq import MASK, advance, distance

_URGENT = ACK_BITS | LOST | PROBE


@inlined
def pending(conn):
    """May `next_segment` have something to send? A quick look that never says no wrongly. A SYN counts as queued."""
    bits = i64(conn.bits)
    queued = distance(i64(conn.snd_end), i64(conn.snd_nxt))
    return bits & _URGENT or queued > 0 or (queued == 0 and bits & FIN_QUEUED)


@inlined
def next_segment(conn, cold, out, limits, now):
    """Fill *out* (SEGMENT) with the next segment to send at *now* (us); False when there is none.

    Advances snd_nxt, arms the retransmission timer (`conn.deadline`) and times round trips. Call it until it is False after each
    `receive`, `queue`, `close` and `on_timer`. A payload starts at stream offset `out.seq - conn.iss - 1`.
    """
    if i64(conn.state) < ESTABLISHED:
        return _handshake(conn, cold, out, limits, now)
    bits = i64(conn.bits)
    if bits & (ACK_ALONE | LOST | PROBE):
        if bits & ACK_ALONE:
            return _acknowledge(conn, cold, out, limits, now)
        if _again(conn, cold, out, limits, now):
            return True
        bits = i64(conn.bits)
    queued = distance(i64(conn.snd_end), i64(conn.snd_nxt))
    if (queued > 0 or (queued == 0 and bits & FIN_QUEUED)) and _text(conn, cold, out, queued, limits, now):
        return True
    if bits & ACK_DUE:
        return _acknowledge(conn, cold, out, limits, now)
    if bits & ACK_LATER:
        delay_ack(conn, cold, limits, now)
    return False


@inlined
def _handshake(conn, cold, out, limits, now):
    """SYN in SYN_SENT, SYN-ACK in SYN_RECEIVED, each with the MSS we take."""
    state = i64(conn.state)
    if state != SYN_SENT and state != SYN_RECEIVED:
        return False
    bits = i64(conn.bits)
    iss = i64(conn.iss)
    if i64(conn.snd_nxt) != iss and not bits & LOST:
        return _acknowledge(conn, cold, out, limits, now) if bits & ACK_DUE else False
    again = 1 if bits & LOST or i64(conn.retries) else 0
    _fill(conn, cold, out, iss, SYN if state == SYN_SENT else SYN | ACK, 0, again, limits, now)
    conn.snd_nxt = advance(iss, 1)
    bits &= ~(REWOUND | LOST | ACK_BITS | TIMED)
    if not again:
        bits |= TIMED
        conn.rtt_time = now & MASK
    conn.bits = bits
    expire_after(conn, cold, i64(conn.rto), now)
    return True


@inlined
def _acknowledge(conn, cold, out, limits, now):
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; a keep-alive probe is one number before."""
    seq = sent(conn, cold)
    if i64(conn.bits) & KEEP_ALIVE:
        seq = advance(seq, -1)
    _fill(conn, cold, out, seq, ACK, 0, 0, limits, now)
    clear_bits(conn, ACK_BITS | KEEP_ALIVE)
    return True


@inlined
def _text(conn, cold, out, queued, limits, now):
    """New data from snd_nxt, or all of it once more after a timeout, and the FIN with its last byte."""
    bits = i64(conn.bits)
    mss = payload_room(conn, cold)
    flight = distance(i64(conn.snd_nxt), i64(conn.snd_una))
    room = _window(conn, cold, flight, mss) - flight
    length = max(min(queued, mss, room), 0)
    fin = 1 if bits & FIN_QUEUED and length == queued and room > length else 0
    # Less than a full segment leaves only if it is all there is, or if no ACK will come to open the window (RFC 9293 3.8.6.2.1).
    if length + fin == 0 or (length < mss and length < queued and flight > 0):
        if flight == 0:
            _persist(conn, cold, now)
        return False
    _send(conn, cold, out, bits, length, fin, queued, limits, now)
    return True


@inlined
def _window(conn, cold, flight, mss):
    """Bytes that may be in flight: the peer's window, and the congestion window once it can matter."""
    wnd = i64(conn.snd_wnd)
    if i64(conn.bits) & COLD_READY == 0:
        if flight + mss <= initial_window(mss):
            return wnd
        warm(conn, cold)
    return min(wnd, i64(cold.cwnd))


@kernel
def _persist(conn, cold, now):
    """The window is shut and nothing is in flight: only a probe can tell when it opens (RFC 9293 section 3.8.6.1)."""
    bits = i64(conn.bits)
    if not bits & (PERSIST | REWOUND):
        conn.bits = bits | PERSIST
        expire_after(conn, cold, i64(conn.rto), now)


@inlined
def _send(conn, cold, out, bits, length, fin, queued, limits, now):
    """Send *length* bytes and *fin* from snd_nxt on."""
    nxt = i64(conn.snd_nxt)
    una = i64(conn.snd_una)
    end = advance(nxt, length + fin)
    flags = ACK | (FIN if fin else 0) | (PSH if length and length == queued else 0)
    repeated = max(min(distance(i64(cold.snd_max), nxt), length + fin), 0) if bits & REWOUND else 0
    _fill(conn, cold, out, nxt, flags, length, repeated, limits, now)
    conn.snd_nxt = end
    if bits & REWOUND:
        if distance(end, i64(cold.snd_max)) >= 0:
            bits &= ~REWOUND
    elif not bits & TIMED and not fin:
        bits |= _time(conn, cold, nxt != una, end, now)
    if nxt == una:
        expire_after(conn, cold, i64(conn.rto), now)
    bits = i64(conn.bits) & COLD_READY | bits & ~(ACK_BITS | PERSIST | PROBE)
    conn.bits = bits
    if fin:
        _leave(conn)


@kernel
def _time(conn, cold, later, end, now):
    """Start to time a round trip; the bits that say so. One that has others ahead of it must remember its number."""
    conn.rtt_time = now & MASK
    if not later:
        return TIMED
    warm(conn, cold)
    cold.rtt_seq = end
    return TIMED | TIMED_LATER


@kernel
def _leave(conn):
    """The FIN is sent: ESTABLISHED becomes FIN_WAIT_1 and CLOSE_WAIT becomes LAST_ACK (RFC 9293 section 3.10.4)."""
    state = i64(conn.state)
    if state == ESTABLISHED:
        conn.state = FIN_WAIT_1
    elif state == CLOSE_WAIT:
        conn.state = LAST_ACK


@kernel
def _again(conn, cold, out, limits, now):
    """One segment from snd_una: what fast retransmit found lost, or a byte (or the FIN) into a window that is shut."""
    bits = i64(conn.bits)
    una = i64(conn.snd_una)
    clear_bits(conn, LOST | PROBE)
    queued = distance(i64(conn.snd_end), una)
    if bits & PROBE:
        return _probe(conn, cold, out, una, queued, limits, now)
    unacked = distance(i64(conn.snd_nxt), una)
    if unacked <= 0:
        return False
    length = min(unacked, queued, payload_room(conn, cold))
    fin = 1 if length < unacked and length == queued else 0
    flags = ACK | (FIN if fin else 0) | (PSH if length and length == queued else 0)
    _fill(conn, cold, out, una, flags, length, length + fin, limits, now)
    clear_bits(conn, ACK_BITS)
    expire_after(conn, cold, i64(conn.rto), now)
    return True


@kernel
def _probe(conn, cold, out, una, queued, limits, now):
    """The smallest segment that makes the peer tell its window."""
    bits = i64(conn.bits)
    length = 1 if queued > 0 else 0
    fin = 1 if queued == 0 and bits & FIN_QUEUED else 0
    if length + fin == 0:
        return False
    conn.snd_nxt = una
    _send(conn, cold, out, bits | TIMED, length, fin, queued, limits, now)
    clear_bits(conn, TIMED)
    return True


@inlined
def _fill(conn, cold, out, seq, flags, payload_len, repeated, limits, now):
    out.seq = seq
    out.ack = i64(conn.rcv_nxt) if flags & ACK else 0
    out.tcp_flags = flags
    out.payload_len = payload_len
    out.rexmit = 1 if repeated > 0 else 0
    out.repeated = repeated
    describe(conn, cold, out, limits, flags, now)
