"""One ACK for all that is waiting: TCP takes the segments that are queued before it acknowledges any (RFC 9293 section 3.8.6.3,
MUST-58 and MUST-59).

What is queued is the rest of the burst, and when that was a full one, what the port still has. RFC 5681 section 4.2 has every
second segment acknowledged unless it was weighed not to: here the sender hears of all of them within the time that it takes to
look at them, as from a kernel that merges what has come (GRO) and compresses selective acknowledgments.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64, record_at
from operators.connections import act
from operators.engine import app_at, conn_at
from pipeline.outbox import CORE
from tcp.connection import ACK_ALONE, CLOSED, COLD_READY, SACK_OK
from tcp.seq import distance

_MOST_TURNS = 4
"""Turns of the loop after which a port that brings more and more is waited for no longer."""


@kernel
def may_wait(eng, out, conn, cold, slot, meta, following):
    """Can what the connection in *slot* has to say to the text of *meta* wait for what comes next in the burst, *following*?

    A D-SACK has an ACK of its own (RFC 2883), and so has what is early, for a peer that counts duplicate ACKs (RFC 5681).
    """
    bits = i64(conn.bits)
    if not bits & COLD_READY or (bits & ACK_ALONE and not bits & SACK_OK) or i64(cold.dsack_start) != i64(cold.dsack_end):
        return False
    if i64(following.seq) == i64(meta.seq):
        return _may_wait_for_port(eng, out, conn, slot)
    if i64(following.payload_len) == 0 or i64(following.tcp_hash) != i64(meta.tcp_hash):
        return False
    ports = i64(following.sport) == i64(meta.sport) and i64(following.dport) == i64(meta.dport)
    return ports and i64(following.src) == i64(meta.src) and i64(following.dst) == i64(meta.dst)


@kernel
def _may_wait_for_port(eng, out, conn, slot):
    """After a full burst there is likely to be more. One connection on a core can wait for it, if it has nothing else to say."""
    core = record_at(out, CORE)
    owing = i64(eng.owing)
    if not i64(core.rx_more) or i64(eng.owing_turns) >= _MOST_TURNS or i64(conn.state) == CLOSED:
        return False
    if (owing and owing != slot + 1) or distance(i64(conn.snd_end), i64(conn.snd_nxt)) > 0:
        return False
    eng.owing = slot + 1
    return True


@rare
def answer_late(eng, out, now):
    """A turn later: when the port brought less than it could, or has for long brought all it could, the ACK is due."""
    core, slot = record_at(out, CORE), i64(eng.owing) - 1
    if i64(core.rx_more) and i64(eng.owing_turns) < _MOST_TURNS:
        eng.owing_turns = i64(eng.owing_turns) + 1
        return
    eng.owing = 0
    eng.owing_turns = 0
    conn = conn_at(eng, slot)
    if i64(conn.state) != CLOSED:
        act(eng, out, conn, app_at(eng, slot), slot, i64(0), now)
