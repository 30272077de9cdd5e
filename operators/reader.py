"""An application that reads slowly: so many bytes a second, so that the window shuts and opens again.

Content is verified when it arrives; what is not read yet is a number. The right edge of the window never moves left, and moves
right by at least a segment, or half the window, at a time (RFC 9293 section 3.8.6.2.2).
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64, record_at
from operators.engine import limits_of, pace_of
from tcp.limits import LIMITS
from tcp.seq import MASK
from tcp.wheel import WHEEL, arm
from tcp.window import offer

MOST_RATE = 2_000_000_000
"""Bytes a second: with more, counting them could go wrong."""
_SECOND = 1_000_000
_LONGEST = 60_000


@rare
def put_aside(eng, conn, app, slot, length):
    """*length* more bytes wait to be read; they have come out of the window."""
    pace = pace_of(eng, app)
    _read(eng, pace)
    if i64(pace.unread) == 0:
        pace.read_us = i64(eng.now_us) & MASK
    pace.unread = i64(pace.unread) + length
    open_window(eng, conn, app)
    wake(eng, conn, app, slot)


@kernel
def go_on_reading(eng, conn, app):
    """Time has passed."""
    _read(eng, pace_of(eng, app))
    open_window(eng, conn, app)


@kernel
def open_window(eng, conn, app):
    """There is room for as much as is not waiting to be read."""
    window = i64(eng.window)
    unread = i64(pace_of(eng, app).unread) if i64(eng.read_rate) else i64(0)
    offer(conn, record_at(limits_of(eng, conn), LIMITS), window - unread, window)


@kernel
def _read(eng, pace):
    """Take as many bytes as time has come for."""
    rate, unread = i64(eng.read_rate), i64(pace.unread)
    since = (i64(eng.now_us) - i64(pace.read_us)) & MASK
    n = min(div64(since * rate, _SECOND), unread)
    pace.unread = unread - n
    pace.read_us = (i64(pace.read_us) + n * _SECOND // rate) & MASK


@kernel
def _step(eng, conn):
    """What the window must grow by to be told (`tcp.window.offer`)."""
    return min(i64(eng.window) >> 1, i64(record_at(limits_of(eng, conn), LIMITS).mss))


@kernel
def wake(eng, conn, app, slot):
    """Have `app_timers` look at the connection when enough is read to open the window, or when it has thought enough."""
    pace = pace_of(eng, app)
    deadline = i64(pace.resume_ms)
    unread = i64(pace.unread)
    if unread:
        room = i64(eng.window) - unread
        wanted = max(min(_step(eng, conn) - room + i64(conn.rcv_wnd), unread), 1)
        reading = (div64(i64(eng.now_us), 1000) + min(wanted * 1000 // i64(eng.read_rate) + 1, _LONGEST)) & MASK
        deadline = reading if deadline == 0 else min(deadline, reading)
    if deadline:
        arm(record_at(i64(eng.app_wheel), WHEEL), slot, deadline)
