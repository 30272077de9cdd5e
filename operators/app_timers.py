"""app_timers: what applications of connections do by the clock."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64, record_at
from operators.connections import abandon, act
from operators.engine import APP_FINISHED, APP_GIVEN_UP, APP_TRANSFER, ENGINE, app_at, conn_at, pace_of
from operators.reader import go_on_reading, wake
from operators.transfer import resume
from pipeline import room, tick
from pipeline.outbox import behind
from tcp.connection import CLOSED
from tcp.wheel import WHEEL, expired

_SEGMENTS_KEPT = 48
"""Room for sending that is left to the packets of the turn."""


@tick
def app_timers(now, out, tcp):
    """A slow reader reads on; who has thought enough sends the next request; what nobody wants to read is refused by an RST."""
    eng = record_at(tcp, ENGINE)
    if not i64(eng.app_wheel):
        return i64(0)
    wheel = record_at(i64(eng.app_wheel), WHEEL)
    done = i64(0)
    while room(out) > _SEGMENTS_KEPT and not behind(out):
        slot = expired(wheel, i64(eng.now_us) // 1000)
        if slot < 0:
            break
        _act_in_time(eng, out, slot, now)
        done += 1
    return done


@kernel
def _act_in_time(eng, out, slot, now):
    """The connection in *slot* may be another than the one that asked: nothing here is done before its time."""
    conn, app = conn_at(eng, slot), app_at(eng, slot)
    bits = i64(app.app_bits)
    if i64(conn.state) == CLOSED or bits & APP_FINISHED or not bits & APP_TRANSFER:
        return
    if bits & APP_GIVEN_UP:
        abandon(eng, out, conn, app, slot, now)
        return
    pace = pace_of(eng, app)
    if i64(pace.unread):
        go_on_reading(eng, conn, app)
    if 0 < i64(pace.resume_ms) <= i64(eng.now_us) // 1000:
        resume(eng, conn, app)
    wake(eng, conn, app, slot)
    act(eng, out, conn, app, slot, i64(0), now)
