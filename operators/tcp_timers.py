"""tcp_timers: keep the engine's time, and act on connections whose deadline has come."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64, record_at, store64
from operators.aggregate import answer_late
from operators.connections import act
from operators.engine import APP_HELD, BYTES_RECEIVED, BYTES_SENT, ENGINE, app_at, cold_at, conn_at, limits_of, peek
from operators.workload import speak
from pipeline import room, tick
from pipeline.outbox import CORE, behind
from tcp.connection import CLOSED
from tcp.limits import LIMITS
from tcp.timer import on_timer
from tcp.wheel import WHEEL, expired

_SEGMENTS_KEPT = 48
"""Room for sending that timeouts leave to the packets of the turn."""
_MOST_TURNS = 256
"""Turns, of a burst each, in which what has arrived may be read before the timers run."""


@tick
def tcp_timers(now, out, tcp):
    """Advance the engine's clock and run the timers that are due: retransmissions, TIME_WAIT, idleness, the end of being held."""
    eng = record_at(tcp, ENGINE)
    now_us = i64((now - i64(eng.epoch)) * eng.us_per_cycle)
    eng.now_us = now_us
    if now >= i64(eng.next_second):
        _next_second(eng, now)
    if i64(eng.owing):
        answer_late(eng, out, now)
    if _catches_up(eng, out, now):
        return i64(0)
    wheel = record_at(i64(eng.wheel), WHEEL)
    done = i64(0)
    while room(out) > _SEGMENTS_KEPT and not behind(out):
        slot = expired(wheel, now_us // 1000)
        if slot < 0:
            break
        _expire(eng, out, slot, now)
        done += 1
    return done


@kernel
def _catches_up(eng, out, now):
    """Was the core held up until a moment ago? Then what has arrived meanwhile is read first: among it may be the answers that
    timers wait for."""
    turns = i64(eng.catching_up)
    if turns:
        turns = turns - 1 if i64(record_at(out, CORE).rx_more) else i64(0)
    elif now - i64(eng.turn_at) > i64(eng.late_cycles) > 0:
        turns = i64(_MOST_TURNS)
    eng.turn_at = now
    eng.catching_up = turns
    return turns != 0


@kernel
def _next_second(eng, now):
    """Counts of started and completed connections go to the second they fall into; the last bucket takes all beyond the table."""
    _note_bytes(eng)
    seconds = max(now - i64(eng.begun), 0) // i64(eng.second_cycles)
    eng.interval = min(seconds, i64(eng.interval_count) - 1)
    eng.next_second = i64(eng.begun) + (seconds + 1) * i64(eng.second_cycles)


@kernel
def _note_bytes(eng):
    """How many bytes have been sent and received up to the end of this second: by the client, by the server."""
    row = i64(eng.interval_bytes) + i64(eng.interval) * 32
    store64(row, peek(i64(eng.client), BYTES_SENT))
    store64(row + 8, peek(i64(eng.client), BYTES_RECEIVED))
    store64(row + 16, peek(i64(eng.server), BYTES_SENT))
    store64(row + 24, peek(i64(eng.server), BYTES_RECEIVED))


@kernel
def _expire(eng, out, slot, now):
    conn, cold, app = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot)
    if i64(conn.state) == CLOSED:
        return
    if i64(app.app_bits) & APP_HELD:
        events = i64(0)
        speak(eng, conn, app, slot)
    else:
        events = on_timer(conn, cold, record_at(limits_of(eng, conn), LIMITS), i64(eng.now_us))
    act(eng, out, conn, app, slot, events, now)
