"""A segment that leaves: its fields, and what the connection notes of it."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import div64, i64, record_at
from tcp.acks import describe
from tcp.board import BOARD
from tcp.congestion import warm
from tcp.connection import (
    ACK_BITS,
    CLOSE_WAIT,
    COLD_READY,
    CWR_DUE,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    LOST,
    PERSIST,
    PROBE,
    RECOVERY,
    REWOUND,
    TIMED,
    TIMED_LATER,
    TIMED_OUT,
    clear_bits,
)
from tcp.deadlines import await_answer
from tcp.probe import arm_probe
from tcp.rack import shift_of
from tcp.recovery import tracked
from tcp.segment import ACK, CWR, FIN, PSH
from tcp.seq import MASK, advance, distance
from tcp.spans import append

_UNCLEAR = TIMED | RECOVERY | TIMED_OUT | LOST | REWOUND
"""While one of these is set no round trip is begun to be timed."""


@inlined
def fill(conn, cold, out, seq, flags, payload_len, repeated, limits, now):
    """Make *out* the segment; *repeated* of its sequence numbers were sent before."""
    out.seq = seq
    out.ack = i64(conn.rcv_nxt) if flags & ACK else 0
    out.tcp_flags = flags
    out.payload_len = payload_len
    out.rexmit = 1 if repeated > 0 else 0
    out.repeated = repeated
    describe(conn, cold, out, limits, flags, now)


@kernel
def send_text(conn, cold, out, bits, length, fin, queued, limits, now):
    """Send *length* bytes and *fin* from snd_nxt on, where *queued* bytes are to be sent."""
    nxt = i64(conn.snd_nxt)
    una = i64(conn.snd_una)
    end = advance(nxt, length + fin)
    flags = ACK | (FIN if fin else 0) | (PSH if length and length == queued else 0)
    repeated = max(min(distance(i64(cold.snd_max), nxt), length + fin), 0) if bits & REWOUND else 0
    fill(conn, cold, out, nxt, flags, length, repeated, limits, now)
    conn.snd_nxt = end
    if bits & REWOUND:
        if distance(end, i64(cold.snd_max)) >= 0:
            bits &= ~REWOUND
    elif not bits & _UNCLEAR and not fin:
        bits |= _time(conn, cold, nxt != una, end, now)
    if nxt == una:
        await_answer(conn, cold, limits, now)
    bits = i64(conn.bits) & COLD_READY | bits & ~(ACK_BITS | PERSIST | PROBE)
    conn.bits = bits
    if bits & COLD_READY:
        _note_sent(conn, cold, out, nxt, end, now)
    if fin:
        _leave(conn)


@rare
def _note_sent(conn, cold, out, start, end, now):
    """What congestion control and recovery want to know of text that leaves."""
    cold.last_sent = max(div64(now, 1000) & MASK, 1)
    bits = i64(conn.bits)
    if bits & CWR_DUE and i64(out.ect):
        out.tcp_flags = i64(out.tcp_flags) | CWR
        clear_bits(conn, CWR_DUE)
    if bits & RECOVERY:
        cold.prr_out = i64(cold.prr_out) + distance(end, start)
    address = tracked(conn, cold)
    if address:
        append(address, start, end, now, shift_of(conn))
        arm_probe(conn, cold, record_at(address, BOARD), i64(0), now)


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
