"""The retransmission timeout: RFC 6298."""

from __future__ import annotations

from dpdk_io.expect import likely
from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import high64, i64

UNIT = 64
"""Microseconds in one unit of srtt and rttvar, which so reach 4.2 s in 16 bits."""
_TOP = 0xFFFF
_AFTER_SYN_LOSS = 3000
_THOUSANDTH = (1 << 64) // 1000 + 1
"""Of 2^64, and so little more that a product is less than a thousandth too much below 2^64 / 384."""


@inlined
def whole_ms(us):
    """A time in *us* since the clock began, 1500 years at most, in ms: a quotient without what LLVM adds for larger ones."""
    return high64(us, _THOUSANDTH)


@inlined
def measure(conn, limits, us):
    """Take in a round trip of *us* microseconds: srtt, rttvar (sections 2.2, 2.3) and rto."""
    rtt = min((us + UNIT - 1) // UNIT, _TOP)
    rtt = max(rtt, 1)
    srtt = i64(conn.srtt)
    if srtt == 0:
        srtt = rtt
        rttvar = (rtt + 1) // 2
    else:
        rttvar = (3 * i64(conn.rttvar) + abs(srtt - rtt) + 2) // 4
        srtt = (7 * srtt + rtt + 4) // 8
    conn.srtt = srtt
    conn.rttvar = rttvar
    # On a short path this is the usual answer: `rto_quick` is the lower bound less more than the granularity, in units.
    if likely(srtt + 4 * rttvar <= i64(limits.rto_quick)):
        conn.rto = i64(limits.rto_least)
    else:
        conn.rto = timeout(srtt, rttvar, i64(limits.rto_min), i64(limits.rto_max))


@kernel
def timeout(srtt, rttvar, rto_min, rto_max):
    """The RTO in ms for *srtt* and *rttvar* in units, with a clock of 1 ms (sections 2.3 to 2.5)."""
    us = srtt * UNIT + max(4 * rttvar * UNIT, 1000)
    return min(max((us + 999) // 1000, rto_min), rto_max)


@kernel
def back_off(conn, limits):
    """Double the timeout (section 5.5)."""
    conn.rto = min(2 * i64(conn.rto), i64(limits.rto_max))


@kernel
def collapse(conn, limits):
    """Forget the doubling: the timeout that srtt and rttvar stand for."""
    if i64(conn.srtt):
        conn.rto = timeout(i64(conn.srtt), i64(conn.rttvar), i64(limits.rto_min), i64(limits.rto_max))


@kernel
def after_handshake(conn, limits):
    """When the SYN had to be repeated, data starts with 3 s (section 5.7)."""
    if i64(conn.retries) and i64(conn.srtt) == 0:
        conn.rto = min(_AFTER_SYN_LOSS, i64(limits.rto_max))
