"""What to send now: RFC 9293 sections 3.8 and 3.10, one segment at a time."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import i64, record_at
from tcp.acks import delay_ack, payload_room
from tcp.board import BOARD
from tcp.congestion import initial_window, restart, warm
from tcp.connection import (
    ACK_ALONE,
    ACK_BITS,
    ACK_DUE,
    ACK_LATER,
    COLD_READY,
    CORK,
    ESTABLISHED,
    FIN_QUEUED,
    KEEP_ALIVE,
    LOST,
    NODELAY,
    PERSIST,
    PROBE,
    REWOUND,
    SYN_RECEIVED,
    SYN_SENT,
    TAIL_DUE,
    TIMED,
    clear_bits,
    sent,
)
from tcp.deadlines import await_answer, expire_after
from tcp.emit import fill, send_text
from tcp.newreno import limited_transmit
from tcp.recovery import pipe_of, track, tracked
from tcp.resend import send_again
from tcp.segment import ACK, SYN
from tcp.seq import MASK, advance, distance

_AGAIN = LOST | PROBE | TAIL_DUE
_URGENT = ACK_BITS | _AGAIN
_OVERRIDE = 200
"""ms that less than a full segment waits for company, or for more window (RFC 9293 section 3.8.6.2.1)."""


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
    if bits & (ACK_ALONE | _AGAIN):
        if bits & ACK_ALONE:
            return _acknowledge(conn, cold, out, limits, now)
        if send_again(conn, cold, out, limits, now):
            return True
        bits = i64(conn.bits)
    queued = distance(i64(conn.snd_end), i64(conn.snd_nxt))
    if (queued > 0 or (queued == 0 and bits & FIN_QUEUED)) and _text(conn, cold, out, queued, limits, now):
        return True
    # A peer whose window stops us may be waiting for this very ACK to open it.
    if bits & ACK_DUE or (bits & ACK_LATER and i64(conn.bits) & PERSIST):
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
    fill(conn, cold, out, iss, SYN if state == SYN_SENT else SYN | ACK, 0, again, limits, now)
    conn.snd_nxt = advance(iss, 1)
    bits &= ~(REWOUND | LOST | ACK_BITS | TIMED)
    if not again:
        bits |= TIMED
        conn.rtt_time = now & MASK
    conn.bits = bits
    await_answer(conn, cold, limits, now)
    return True


@inlined
def _acknowledge(conn, cold, out, limits, now):
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>; a keep-alive probe is one number before."""
    seq = sent(conn, cold)
    if i64(conn.bits) & KEEP_ALIVE:
        seq = advance(seq, -1)
    fill(conn, cold, out, seq, ACK, 0, 0, limits, now)
    clear_bits(conn, ACK_BITS | KEEP_ALIVE)
    return True


@inlined
def _text(conn, cold, out, queued, limits, now):
    """New data from snd_nxt, or all of it once more after a timeout, and the FIN with its last byte."""
    bits = i64(conn.bits)
    mss = payload_room(conn, cold)
    flight = distance(i64(conn.snd_nxt), i64(conn.snd_una))
    room = _room(conn, cold, limits, flight, mss, now)
    length = max(min(queued, mss, room), 0)
    fin = 1 if bits & FIN_QUEUED and length == queued and room > length else 0
    if length + fin == 0 or (length < mss and not _may_be_small(conn, cold, bits, length, fin, queued, flight, limits)):
        if flight == 0:
            _persist(conn, cold, now)
        return False
    send_text(conn, cold, out, bits, length, fin, queued, limits, now)
    return True


@kernel
def _may_be_small(conn, cold, bits, length, fin, queued, flight, limits):
    """May less than a full segment leave? (RFC 9293 sections 3.7.4 and 3.8.6.2.1)"""
    if length == queued:
        # It is all there is: a CORK holds it unless it has left before, and the Nagle algorithm while something is in flight.
        return fin or ((not bits & CORK or bits & REWOUND) and (flight == 0 or bits & NODELAY or not i64(limits.nagle)))
    # The window cuts it short: no ACK will come to open it, and it is half of the largest one.
    return flight == 0 and (not i64(conn.bits) & COLD_READY or 2 * length >= i64(cold.widest))


@inlined
def _room(conn, cold, limits, flight, mss, now):
    """Bytes that may leave: the peer's window, and the congestion window once it can matter."""
    if i64(conn.bits) & COLD_READY == 0 and flight + mss <= initial_window(mss):
        return i64(conn.snd_wnd) - flight
    return _room_in_network(conn, cold, limits, flight, mss, now)


@kernel
def _room_in_network(conn, cold, limits, flight, mss, now):
    warm(conn, cold)
    address = tracked(conn, cold)
    if flight == 0:
        restart(conn, cold, now)
    elif address == 0:
        address = track(conn, cold, limits, now)
    window = max(i64(cold.cwnd), mss)
    room = i64(conn.snd_wnd) - flight
    if address:
        return min(room, window - pipe_of(conn, record_at(address, BOARD)))
    return min(room, window + limited_transmit(conn, cold) - flight)


@kernel
def _persist(conn, cold, now):
    """Nothing is in flight and nothing may leave: only a probe can tell when the window opens (RFC 9293 section 3.8.6.1), and
    what is held back for being small has its time."""
    bits = i64(conn.bits)
    if not bits & (PERSIST | REWOUND):
        conn.bits = bits | PERSIST
        expire_after(conn, cold, i64(_OVERRIDE) if i64(conn.snd_wnd) else i64(conn.rto), now)
