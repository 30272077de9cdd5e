"""Tail loss probes: when ACKs stop coming, one segment more makes the peer say what it has (RFC 8985 section 7)."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import div64, i64
from tcp.congestion import reduce
from tcp.connection import PERSIST, RECOVERY, TIMED_OUT
from tcp.deadlines import REORDER, schedule
from tcp.rack import TAIL_OUT, TAIL_RESENT, TAIL_TWICE
from tcp.rto import UNIT
from tcp.seq import MASK, distance

_MAX_ACK_DELAY = 200_000
_UNMEASURED = 1_000_000


@kernel
def arm_probe(conn, cold, board, wait, now):
    """Something is in flight: REORDER is due after *wait* us, or else when the tail is to be probed."""
    bits = i64(conn.bits)
    if wait == 0:
        if bits & (RECOVERY | TIMED_OUT | PERSIST) or i64(board.sacked) or i64(board.notes) & TAIL_OUT:
            if i64(cold.probe_at):
                schedule(conn, cold, i64(REORDER), i64(0))
            return
        wait = _timeout(conn)
    at = (div64(now + wait, 1000) + 1) & MASK
    rexmit_at = i64(cold.rexmit_at)
    schedule(conn, cold, i64(REORDER), min(at, rexmit_at) if rexmit_at else at)


@kernel
def _timeout(conn):
    """PTO, in us (section 7.2)."""
    if i64(conn.srtt) == 0:
        return i64(_UNMEASURED)
    alone = distance(i64(conn.snd_nxt), i64(conn.snd_una)) <= i64(conn.mss)
    return 2 * i64(conn.srtt) * UNIT + (_MAX_ACK_DELAY if alone else 0)


@kernel
def note_probe(conn, board, resent):
    """A probe has left."""
    board.tlp_end = i64(conn.snd_nxt)
    board.notes = i64(board.notes) & ~TAIL_RESENT | TAIL_OUT | (TAIL_RESENT if resent else 0)


@kernel
def answer_tail(conn, cold, board, limits, acked):
    """TLP_process_ack (section 7.4.2): a probe that was needed, because it brought what was lost, costs a reduction."""
    notes = i64(board.notes)
    ahead = distance(i64(conn.snd_una), i64(board.tlp_end))
    if not notes & TAIL_OUT or ahead < 0:
        return
    if ahead == 0 and notes & (TAIL_RESENT | TAIL_TWICE) == TAIL_RESENT and acked > 0:
        return
    board.notes = notes & ~TAIL_OUT
    if ahead > 0 and notes & (TAIL_RESENT | TAIL_TWICE) == TAIL_RESENT and not i64(conn.bits) & (RECOVERY | TIMED_OUT):
        reduce(conn, cold, limits)
        cold.cwnd = i64(cold.ssthresh)
