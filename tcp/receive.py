"""What one segment does to a connection: RFC 9293 section 3.10.7, in the RFC's order, with the checks of RFC 5961.

LISTEN is `open.listen` and `open.accept`: a listener has no connection record. A segment for no connection is for `reset_for`.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.acknowledge import STOP, acknowledge, challenge, wait
from tcp.connection import (
    ACK_ALONE,
    ACK_DUE,
    CLIENT,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LOST,
    REWOUND,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMED,
    clear_bits,
    raise_bits,
    sent,
)
from tcp.deadlines import expire_after
from tcp.events import (
    EV_ACKED,
    EV_CLOSED,
    EV_DATA,
    EV_DUPLICATE,
    EV_ESTABLISHED,
    EV_FIN,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_REUSE,
    EV_RST_DUE,
    EV_SYN,
    EV_TIME_WAIT,
    EV_UNACCEPTABLE,
)
from tcp.open import take_syn
from tcp.rto import after_handshake, measure
from tcp.segment import ACK, FIN, RST, SYN
from tcp.seq import MASK, advance, distance


@kernel
def receive(conn, cold, seg, limits, now):
    """Change *conn* by the segment *seg* that arrived for it at *now* (us); EV_ bits.

    *seg* is any record with the fields of SEGMENT; `accepted` and `skip` are written. What has to be sent for it, `next_segment`
    has afterwards, except an RST (EV_RST_DUE).
    """
    seg.accepted = 0
    seg.skip = 0
    state = i64(conn.state)
    if state == SYN_SENT:
        return _syn_sent(conn, cold, seg, limits, now)
    if state < SYN_RECEIVED:
        return 0 if i64(seg.tcp_flags) & RST else EV_RST_DUE
    flags = i64(seg.tcp_flags)
    offset = distance(i64(seg.seq), i64(conn.rcv_nxt))
    if offset != 0 or flags & (SYN | RST | ACK) != ACK:
        events = _screen(conn, cold, seg, limits, now, offset)
        if events:
            return events
        if flags & SYN:
            offset += 1
    events = acknowledge(conn, cold, seg, limits, now)
    if events & STOP:
        return events
    if flags & FIN or i64(seg.payload_len):
        events |= _text(conn, seg, offset)
    if i64(conn.snd_una) == i64(conn.snd_nxt):
        wait(conn, cold, limits, events, now)
    return events


@kernel
def _syn_sent(conn, cold, seg, limits, now):
    """3.10.7.3: our SYN is out."""
    flags = i64(seg.tcp_flags)
    iss = i64(conn.iss)
    acked = flags & ACK and i64(seg.ack) == advance(iss, 1) and sent(conn, cold) != iss
    # First, the ACK: one for something never sent is answered with an RST.
    if flags & ACK and not acked:
        return EV_UNACCEPTABLE if flags & RST else EV_RST_DUE | EV_UNACCEPTABLE
    # Second, the RST: believed if it acknowledges the SYN.
    if flags & RST:
        return _reset(conn) if acked else EV_UNACCEPTABLE
    # Fourth, the SYN.
    if not flags & SYN:
        return EV_UNACCEPTABLE
    take_syn(conn, seg, limits)
    if acked:
        return _established(conn, cold, limits, now)
    # Simultaneous open: the same SYN again, with an ACK.
    conn.state = SYN_RECEIVED
    conn.snd_nxt = iss
    clear_bits(conn, TIMED | REWOUND)
    return EV_SYN


@kernel
def _established(conn, cold, limits, now):
    """Our SYN is acknowledged by a SYN: the handshake's ACK goes out alone, before any data."""
    bits = i64(conn.bits)
    if bits & TIMED:
        measure(conn, limits, (now - i64(conn.rtt_time)) & MASK)
    after_handshake(conn, limits)
    conn.bits = (bits | ACK_DUE | ACK_ALONE) & ~(TIMED | REWOUND)
    conn.state = ESTABLISHED
    conn.retries = 0
    conn.snd_una = advance(i64(conn.iss), 1)
    conn.snd_nxt = i64(conn.snd_una)
    expire_after(conn, cold, i64(limits.idle_ms), now)
    return EV_ESTABLISHED | EV_ACKED


@kernel
def _reset(conn):
    """The peer's RST ends the connection, in every state; where both sides had closed it is no reset any more."""
    state = i64(conn.state)
    conn.state = CLOSED
    conn.deadline = 0
    return EV_CLOSED if state >= CLOSING else EV_RESET | EV_CLOSED


@kernel
def _screen(conn, cold, seg, limits, now, offset):
    """The first to fourth check of 3.10.7.4, for what is not simply the next segment; 0 lets it pass."""
    flags = i64(seg.tcp_flags)
    state = i64(conn.state)
    if flags & SYN and not flags & (RST | ACK) and state == TIME_WAIT and offset >= 0:
        return EV_REUSE
    # The SYN that made this SYN_RECEIVED: with the ACK it completes a simultaneous open, without it our SYN-ACK was lost.
    if flags & SYN and not flags & RST and state == SYN_RECEIVED and offset == -1:
        return 0 if flags & ACK else _syn_again(conn)
    if not _acceptable(conn, seg, offset):
        return _unacceptable(conn, cold, limits, flags, offset, now)
    # Second, the RST: only the very next sequence number is believed (RFC 5961 section 3.2).
    if flags & RST:
        return _reset(conn) if offset == 0 else challenge(conn)
    # Fourth, the SYN (RFC 5961 section 4.2): a passive open goes back to LISTEN, everything else asks the peer.
    if flags & SYN:
        return _reset(conn) if state == SYN_RECEIVED and not i64(conn.bits) & CLIENT else challenge(conn)
    # Fifth, without the ACK bit there is nothing more to it.
    return 0 if flags & ACK else EV_UNACCEPTABLE


@kernel
def _syn_again(conn):
    raise_bits(conn, LOST)
    return EV_UNACCEPTABLE | EV_DUPLICATE


@kernel
def _acceptable(conn, seg, offset):
    """Does the segment have a part within the window? (section 3.4, table 6)

    At rcv_nxt it always has: what it says beside its text counts even if the window is shut.
    """
    if offset >= 0:
        return offset == 0 or offset < i64(conn.rcv_wnd)
    flags = i64(seg.tcp_flags)
    length = i64(seg.payload_len) + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    return offset + length > 0


@kernel
def _unacceptable(conn, cold, limits, flags, offset, now):
    """Dropped, with an ACK unless it is an RST. The peer's FIN once more starts TIME_WAIT again."""
    if flags & RST:
        return EV_UNACCEPTABLE
    raise_bits(conn, ACK_DUE | ACK_ALONE)
    if i64(conn.state) == TIME_WAIT and flags & FIN:
        wait(conn, cold, limits, EV_TIME_WAIT, now)
    return EV_UNACCEPTABLE | EV_DUPLICATE if offset < 0 else EV_UNACCEPTABLE


@kernel
def _text(conn, seg, offset):
    """The seventh and eighth check: payload, then the FIN. *offset* is that of the payload from rcv_nxt."""
    state = i64(conn.state)
    if state != ESTABLISHED and state != FIN_WAIT_1 and state != FIN_WAIT_2:
        return 0
    if offset > 0:
        raise_bits(conn, ACK_DUE | ACK_ALONE)
        return EV_OUT_OF_ORDER
    new = i64(seg.payload_len) + offset
    take = min(new, i64(conn.rcv_wnd))
    fin = 1 if i64(seg.tcp_flags) & FIN and take == new else 0
    seg.skip = -offset
    seg.accepted = take
    conn.rcv_nxt = advance(i64(conn.rcv_nxt), take + fin)
    raise_bits(conn, ACK_DUE if take == new else ACK_DUE | ACK_ALONE)
    events = EV_DATA if take > 0 else 0
    return events | _fin(conn, state) if fin else events


@kernel
def _fin(conn, state):
    """The peer's FIN, with all that came before it."""
    if state == ESTABLISHED:
        conn.state = CLOSE_WAIT
        return EV_FIN
    if state == FIN_WAIT_1:
        conn.state = CLOSING
        return EV_FIN
    conn.state = TIME_WAIT
    return EV_FIN | EV_TIME_WAIT
