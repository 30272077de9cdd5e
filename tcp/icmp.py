"""What ICMP errors do to a connection: RFC 1122 section 4.2.3.9, RFC 1191, with the checks of RFC 5927."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.congestion import warm
from tcp.connection import CLOSED, ESTABLISHED, SYN_SENT, TS_OK, sent
from tcp.deadlines import expire_after
from tcp.events import EV_CLOSED, EV_RESET, EV_RETRANSMIT, EV_SOFT_ERROR
from tcp.ip6 import FIRST_NUMBER
from tcp.limits import IP6_LONGER
from tcp.open import SMALLEST_MSS, TIMESTAMPS_SPACE
from tcp.recovery import go_back
from tcp.seq import distance

UNREACHABLE, SOURCE_QUENCH, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 4, 11, 12
PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, FRAGMENTATION_NEEDED = 2, 3, 4
_HEADERS = 40


@rare
def on_icmp(conn, cold, limits, kind, code, seq, mtu, now):
    """An ICMP error of type *kind* came that quotes our segment with the number *seq*; EV_ bits, 0 when it changes nothing.

    Believed is only one for something in flight (RFC 5927 section 4.1). *mtu*: as "fragmentation needed" tells it.
    """
    offset = distance(seq, i64(conn.snd_una))
    state = i64(conn.state)
    if state < SYN_SENT or kind == SOURCE_QUENCH or not 0 <= offset < distance(sent(conn, cold), i64(conn.snd_una)):
        return 0
    if kind == UNREACHABLE and code == FRAGMENTATION_NEEDED:
        return _too_large(conn, cold, limits, mtu, now)
    if kind == UNREACHABLE and code in (PROTOCOL_UNREACHABLE, PORT_UNREACHABLE) and state < ESTABLISHED:
        conn.state = CLOSED
        conn.deadline = 0
        return EV_CLOSED | EV_RESET
    warm(conn, cold)
    cold.soft_error = kind << 8 | code
    return EV_SOFT_ERROR


@kernel
def _too_large(conn, cold, limits, mtu, now):
    """The path takes *mtu* bytes; 0: the router does not say how many (RFC 1191 section 5). What is out goes again, smaller."""
    space = _HEADERS + (IP6_LONGER if i64(conn.peer_ip) >= FIRST_NUMBER else 0)
    space += TIMESTAMPS_SPACE if i64(conn.bits) & TS_OK else 0
    if mtu == 0:
        mtu = plateau(i64(conn.mss) + space)
    mss = max(max(mtu, i64(limits.min_mtu)) - space, SMALLEST_MSS)
    if mss >= i64(conn.mss):
        return 0
    conn.mss = mss
    if i64(conn.state) < ESTABLISHED:
        return EV_SOFT_ERROR
    go_back(conn, cold)
    expire_after(conn, cold, i64(conn.rto), now)
    return EV_RETRANSMIT


@kernel
def plateau(size):
    """The largest usual MTU below *size* bytes (RFC 1191 section 7.1)."""
    for mtu in (32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296):
        if mtu < size:
            return i64(mtu)
    return i64(68)
