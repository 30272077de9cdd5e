"""Urgent data: RFC 9293 section 3.8.5. It stays in line, as RFC 6093 recommends; the application is told how far it reaches."""

from __future__ import annotations

from dpdk_io.jit import rare
from dpdk_io.memory import i64
from tcp.congestion import warm
from tcp.connection import ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, URGENT, clear_bits, raise_bits
from tcp.events import EV_URGENT
from tcp.segment import URG
from tcp.seq import advance, distance

_TEXT_STATES = 1 << ESTABLISHED | 1 << FIN_WAIT_1 | 1 << FIN_WAIT_2


@rare
def note_urgent(conn, cold, seg):
    """The sixth check of section 3.10.7.4, before the text of *seg* is taken; EV_URGENT when there is news.

    Urgent data reaches to `cold.rcv_up`, the number after its last byte, as long as URGENT says so: from the next segment on that
    finds it all received it does not.
    """
    pending = i64(conn.bits) & URGENT and distance(i64(cold.rcv_up), i64(conn.rcv_nxt)) > 0
    state = i64(conn.state)
    if i64(seg.tcp_flags) & URG and 1 << state & _TEXT_STATES:
        up = advance(i64(seg.seq), i64(seg.urp))
        if distance(up, i64(cold.rcv_up) if pending else i64(conn.rcv_nxt)) > 0:
            warm(conn, cold)
            cold.rcv_up = up
            raise_bits(conn, URGENT)
            return EV_URGENT
    if not pending:
        clear_bits(conn, URGENT)
    return 0
