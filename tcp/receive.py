"""What one segment does to a connection: RFC 9293 section 3.10.7, in the RFC's order, with the checks of RFC 5961.

LISTEN is `open.listen` and `open.accept`: a listener has no connection record. A segment for no connection is for `reset_for`.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.acknowledge import STOP, acknowledge, wait
from tcp.challenge import challenge, tell
from tcp.congestion import after_syn_loss
from tcp.connection import (
    ACK_ALONE,
    ACK_DUE,
    CLIENT,
    CLOSED,
    CLOSING,
    COLD_READY,
    ECN_CE,
    ECN_OK,
    ESTABLISHED,
    LOST,
    REWOUND,
    SACK_OK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMED,
    TS_OK,
    URGENT,
    clear_bits,
    raise_bits,
    sent,
)
from tcp.deadlines import expire_after
from tcp.events import (
    EV_ACKED,
    EV_CLOSED,
    EV_DUPLICATE,
    EV_ESTABLISHED,
    EV_RESET,
    EV_REUSE,
    EV_RST_DUE,
    EV_SYN,
    EV_TIME_WAIT,
    EV_UNACCEPTABLE,
)
from tcp.open import take_syn
from tcp.rto import after_handshake, measure
from tcp.segment import ACK, CE, CWR, FIN, OPT_TIMESTAMPS, RST, SYN, URG
from tcp.seq import MASK, advance, distance
from tcp.text import note_duplicate, take_text
from tcp.timestamps import FRESH, MISSING, judge, keep_timestamp
from tcp.urgent import note_urgent


@kernel
def receive(conn, cold, seg, limits, now):
    """Change *conn* by the segment *seg* that arrived for it at *now* (us); EV_ bits.

    *seg* is any record with the fields of SEGMENT; `accepted`, `skip`, `early` and `revealed` are written. What has to be sent
    for it, `next_segment` has afterwards, except an RST (EV_RST_DUE).
    """
    seg.accepted = 0
    seg.skip = 0
    seg.early = 0
    seg.revealed = 0
    state = i64(conn.state)
    if state == SYN_SENT:
        return _syn_sent(conn, cold, seg, limits, now)
    if state < SYN_RECEIVED:
        return 0 if i64(seg.tcp_flags) & RST else EV_RST_DUE
    flags = i64(seg.tcp_flags)
    offset = distance(i64(seg.seq), i64(conn.rcv_nxt))
    bits = i64(conn.bits)
    if offset != 0 or flags & (SYN | RST | ACK) != ACK or bits & TS_OK:
        events = _screen(conn, cold, seg, limits, now, offset)
        if events:
            return events
        if flags & SYN:
            offset += 1
    if bits & (TS_OK | ECN_OK):
        _note_options(conn, cold, seg, now)
    events = acknowledge(conn, cold, seg, limits, now)
    if events & STOP:
        return events
    if flags & URG or bits & URGENT:
        events |= note_urgent(conn, cold, seg)
    if flags & FIN or i64(seg.payload_len):
        events |= take_text(conn, cold, seg, limits, offset)
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
    take_syn(conn, cold, seg, limits, now)
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
    if bits & COLD_READY:
        after_syn_loss(conn, cold)
    conn.bits = (bits | ACK_DUE | ACK_ALONE) & ~(TIMED | REWOUND)
    conn.state = ESTABLISHED
    conn.retries = 0
    conn.snd_una = advance(i64(conn.iss), 1)
    conn.snd_nxt = i64(conn.snd_una)
    expire_after(conn, cold, i64(limits.quiet_ms), now)
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
    if flags & SYN and not flags & (RST | ACK) and state == TIME_WAIT and _may_reuse(conn, cold, seg, limits, offset):
        return EV_REUSE
    if i64(conn.bits) & TS_OK:
        age = judge(cold, seg, now)
        if age != FRESH:
            return EV_UNACCEPTABLE if age == MISSING else _unacceptable(conn, cold, seg, limits, flags, offset, now)
    # The SYN that made this SYN_RECEIVED: with the ACK it completes a simultaneous open, without it our SYN-ACK was lost.
    if flags & SYN and not flags & RST and state == SYN_RECEIVED and offset == -1:
        return 0 if flags & ACK else _syn_again(conn)
    if flags & RST and state == TIME_WAIT and i64(limits.keep_time_wait):
        return EV_UNACCEPTABLE
    if not _acceptable(conn, seg, offset):
        return _unacceptable(conn, cold, seg, limits, flags, offset, now)
    # Second, the RST: only the very next sequence number is believed (RFC 5961 section 3.2).
    if flags & RST:
        return _reset(conn) if offset == 0 else challenge(conn, cold, limits, now)
    # Fourth, the SYN (RFC 5961 section 4.2): a passive open goes back to LISTEN, everything else asks the peer.
    if flags & SYN:
        return _reset(conn) if state == SYN_RECEIVED and not i64(conn.bits) & CLIENT else challenge(conn, cold, limits, now)
    # Fifth, without the ACK bit there is nothing more to it.
    return 0 if flags & ACK else EV_UNACCEPTABLE


@rare
def _may_reuse(conn, cold, seg, limits, offset):
    """May this SYN open a new incarnation of a connection in TIME_WAIT? (RFC 6191 section 2)"""
    stamped = i64(seg.opts) & OPT_TIMESTAMPS and i64(limits.options) & OPT_TIMESTAMPS
    if not i64(conn.bits) & TS_OK:
        return stamped or offset >= 0
    later = distance(i64(seg.ts_val), i64(cold.ts_recent))
    return later > 0 or (later == 0 and offset >= 0) if stamped else offset >= 0


@rare
def _note_options(conn, cold, seg, now):
    """What an acceptable segment says beside its text: the peer's clock; a congestion mark, or that the last one was heard
    (RFC 3168 section 6.1.3)."""
    bits = i64(conn.bits)
    if bits & TS_OK:
        keep_timestamp(cold, seg, now)
    if bits & ECN_OK:
        if i64(seg.tcp_flags) & CWR:
            bits &= ~ECN_CE
        if i64(seg.tos) & CE == CE:
            bits |= ECN_CE
        conn.bits = bits


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
def _unacceptable(conn, cold, seg, limits, flags, offset, now):
    """Dropped, with an ACK unless it is an RST. The peer's FIN once more starts TIME_WAIT again.

    ACKs for segments without text, or with a SYN, are limited: two ends that disagree would answer each other for ever.
    """
    if flags & RST:
        return EV_UNACCEPTABLE
    if flags & SYN or (i64(seg.payload_len) == 0 and flags & FIN == 0):
        tell(conn, cold, limits, now)
    else:
        raise_bits(conn, ACK_DUE | ACK_ALONE)
        if offset < 0 and i64(conn.bits) & SACK_OK:
            note_duplicate(conn, cold, seg)
    if i64(conn.state) == TIME_WAIT and flags & FIN:
        wait(conn, cold, limits, EV_TIME_WAIT, now)
    return EV_UNACCEPTABLE | EV_DUPLICATE if offset < 0 else EV_UNACCEPTABLE
