"""The deadlines of one connection behind the one that its timer has: `conn.deadline` is the earliest of those in COLD.

A connection without COLD has one only, REXMIT, which is `conn.deadline` itself. `congestion.warm` takes it over. Times are in ms
of the engine's clock; 0 is never. The waits are for the peer (idleness, keep-alive), FIN_WAIT_2 and TIME_WAIT.

| which | field | what is due |
|---|---|---|
| REXMIT | `rexmit_at` | a retransmission or a zero-window probe; with nothing in flight, the end of a wait |
| REORDER | `probe_at` | what RACK waits for, or a tail loss probe (RFC 8985) |
| DELACK | `delack_at` | an ACK that was delayed (RFC 9293 section 3.8.6.3) |
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import div64, i64
from tcp.connection import COLD_READY

REXMIT, REORDER, DELACK = range(3)


@kernel
def expire_after(conn, cold, ms, now):
    """Schedule REXMIT *ms* milliseconds after *now* (us), or at most one later; 0 means never."""
    expire_at(conn, cold, (div64(now, 1000) + ms + 1) & 0xFFFFFFFF if ms else 0)


@kernel
def await_answer(conn, cold, limits, now):
    """Schedule REXMIT an RTO after *now* (us), but not beyond the user timeout, which runs from what was sent first."""
    ms, patience = i64(conn.rto), i64(limits.user_timeout_ms)
    if patience and i64(conn.retries):
        ms = min(ms, max(patience - div64(now, 1000) + i64(cold.since), 1))
    expire_after(conn, cold, ms, now)


@kernel
def expire_at(conn, cold, at):
    """Schedule REXMIT at *at*, in a connection with or without COLD."""
    if i64(conn.bits) & COLD_READY:
        schedule(conn, cold, i64(REXMIT), at)
    else:
        conn.deadline = at


@kernel
def schedule(conn, cold, which, at):
    """Have on_timer run for *which* at *at*. COLD must be ready."""
    if which == REXMIT:
        cold.rexmit_at = at
    elif which == REORDER:
        cold.probe_at = at
    else:
        cold.delack_at = at
    conn.deadline = _earliest(_earliest(i64(cold.rexmit_at), i64(cold.probe_at)), i64(cold.delack_at))


@kernel
def is_due(at, ms):
    """Has the deadline *at* come at *ms*?"""
    return at != 0 and ms >= at


@kernel
def _earliest(one, other):
    if one == 0 or (other != 0 and other < one):
        return other
    return one
