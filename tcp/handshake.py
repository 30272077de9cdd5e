"""The handshake of a connection without trouble, each step in one go, as expected.py has the segments after it.

Both sides offer what most stacks do: MSS, window scale and SACK. The functions do what `connect`, `accept`, `receive` and
`next_segment` would do, and refuse, having changed nothing, what is not the usual: then those are to be asked.
"""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import inlined
from dpdk_io.memory import i64
from tcp.connection import ACK_ALONE, ACK_DUE, ECN_OK, ESTABLISHED, SACK_OK, SYN_RECEIVED, SYN_SENT, TIMED, TS_OK, WS_OK
from tcp.events import EV_ACKED, EV_ESTABLISHED
from tcp.expected import REFUSED, UNUSUAL
from tcp.limits import own_mss
from tcp.open import MOST_SHIFT, SMALLEST_MSS, begin, connect
from tcp.rto import measure, whole_ms
from tcp.segment import ACK, OPT_MSS, OPT_SACK_PERMITTED, OPT_WSCALE, RST, SYN
from tcp.seq import MASK, advance

_OFFER = OPT_MSS | OPT_WSCALE | OPT_SACK_PERMITTED
_AGREED = WS_OK | SACK_OK
"""What comes of it."""


@inlined
def connect_expected(conn, limits, local_ip, local_port, peer_ip, peer_port, iss, now):
    """`connect` at *now* (us), with the SYN sent. False: refused."""
    if unlikely(not _offers_the_usual(limits)):
        return False
    connect(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    _syn_leaves(conn, iss, now)
    return True


@inlined
def accept_expected(conn, seg, limits, local_ip, local_port, peer_ip, peer_port, iss, now):
    """`accept` for the SYN *seg*, with the SYN-ACK sent. False: refused."""
    if unlikely(not _offers_the_usual(limits) or not _is_usual(seg)):
        return False
    begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    conn.state = SYN_RECEIVED
    conn.bits = i64(limits.bits)
    _syn_leaves(conn, iss, now)
    _take_syn(conn, seg, limits)
    return True


@inlined
def receive_syn_ack(conn, seg, limits, now):
    """What `receive` does in SYN_SENT, and returns, for a SYN-ACK without surprises; or REFUSED."""
    bits = i64(conn.bits)
    if unlikely(
        i64(conn.state) != SYN_SENT
        or i64(seg.tcp_flags) & (SYN | RST | ACK) != SYN | ACK
        or bits & (UNUSUAL | _AGREED | TIMED) != _AGREED | TIMED
        or i64(seg.ack) != i64(conn.snd_nxt)
        or i64(conn.retries) != 0
        or not _is_usual(seg)
    ):
        return i64(REFUSED)
    _take_syn(conn, seg, limits)
    measure(conn, limits, (now - i64(conn.rtt_time)) & MASK)
    conn.bits = (bits | ACK_DUE | ACK_ALONE) & ~TIMED
    conn.state = ESTABLISHED
    conn.snd_una = i64(seg.ack)
    ms = i64(limits.quiet_ms)
    conn.deadline = (whole_ms(now) + ms + 1) & MASK if ms else 0
    return i64(EV_ESTABLISHED | EV_ACKED)


@inlined
def _offers_the_usual(limits):
    return i64(limits.bits) & (_AGREED | TS_OK | ECN_OK) == _AGREED


@inlined
def _is_usual(seg):
    """Does the SYN *seg* offer that as well? Timestamps are nothing without ours."""
    return i64(seg.opts) & _OFFER == _OFFER and i64(seg.mss) >= SMALLEST_MSS


@inlined
def _take_syn(conn, seg, limits):
    """`take_syn` for what is usual."""
    conn.rcv_nxt = advance(i64(seg.seq), 1)
    conn.snd_wnd = i64(seg.wnd)
    conn.mss = min(i64(seg.mss), own_mss(conn, limits))
    conn.snd_shift = min(i64(seg.wscale), MOST_SHIFT)
    conn.rcv_shift = i64(limits.rcv_shift)
    conn.rcv_wnd = i64(limits.scaled_wnd)


@inlined
def _syn_leaves(conn, iss, now):
    """For the first time."""
    conn.snd_nxt = advance(iss, 1)
    conn.rtt_time = now & MASK
    conn.deadline = (whole_ms(now) + i64(conn.rto) + 1) & MASK
    conn.bits = i64(conn.bits) | TIMED
