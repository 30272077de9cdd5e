"""The window that we advertise: RFC 9293 section 3.8.6.2.2, receiver's silly window avoidance.

`conn.rcv_wnd` reaches from rcv_nxt to the right edge. What comes takes from it; the edge moves only by a segment or half of the
buffer, and never back. A scaled window field loses the low bits: the edge that the peer sees may be that much before ours.
"""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import i64
from tcp.connection import ACK_DUE, ESTABLISHED, FIN_WAIT_2, OWN_WINDOW, raise_bits


@inlined
def consumed(conn, limits, n):
    """*n* bytes have come in order. Unless the application has a window of its own (OWN_WINDOW), there is room for more."""
    wnd = i64(conn.rcv_wnd) - n
    conn.rcv_wnd = wnd
    if wnd <= i64(limits.rcv_edge) and not i64(conn.bits) & OWN_WINDOW:
        most = most_window(conn, limits)
        if most - wnd >= min(most >> 1, i64(limits.mss)):
            conn.rcv_wnd = most


@kernel
def most_window(conn, limits):
    """The widest window that this connection can advertise."""
    return min(i64(limits.rcv_wnd), 0xFFFF << i64(conn.rcv_shift))


@kernel
def offer(conn, limits, room, buffer):
    """The application has room for *room* bytes in its buffer of *buffer*; the peer is told when it may be waiting for it."""
    wnd = i64(conn.rcv_wnd)
    step = min(buffer >> 1, i64(limits.mss))
    if not i64(conn.bits) & OWN_WINDOW:
        raise_bits(conn, OWN_WINDOW if room - wnd < step else OWN_WINDOW | ACK_DUE)
        conn.rcv_wnd = max(room, 0)
        return
    if room - wnd >= step:
        conn.rcv_wnd = room
        if (wnd < step or room - wnd >= buffer >> 1) and ESTABLISHED <= i64(conn.state) <= FIN_WAIT_2:
            raise_bits(conn, ACK_DUE)
