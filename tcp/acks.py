"""What every segment of ours says of what has come: window, timestamps and SACK blocks; and ACKs that wait for company."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64
from tcp.congestion import warm
from tcp.connection import ACK_DUE, ACK_LATER, COLD_READY, advertised, raise_bits
from tcp.deadlines import DELACK, schedule
from tcp.events import EV_RETRANSMIT
from tcp.segment import OPT_MSS, SYN
from tcp.seq import MASK


@kernel
def describe(conn, cold, out, limits, flags, now):
    """Give *out*, which has the TCP flags *flags*, its window and options."""
    out.opts = 0
    if flags & SYN:
        out.opts = OPT_MSS
        out.mss = i64(limits.mss)
    out.wnd = advertised(conn)
    if i64(conn.bits) & COLD_READY:
        _note_ack(conn, cold)


@rare
def _note_ack(conn, cold):
    """An ACK for rcv_nxt leaves: none is delayed any more."""
    cold.last_ack_sent = i64(conn.rcv_nxt)
    if i64(cold.delack_at):
        schedule(conn, cold, i64(DELACK), i64(0))


@kernel
def payload_room(conn, cold):
    """Bytes of payload in a full-sized segment of ours, now: what the options of the moment leave of the MSS."""
    return i64(conn.mss)


@rare
def delay_ack(conn, cold, limits, now):
    """ACK_LATER: have on_timer send the ACK if nothing else has by then."""
    warm(conn, cold)
    if i64(cold.delack_at) == 0:
        schedule(conn, cold, i64(DELACK), (div64(now, 1000) + i64(limits.delack_ms) + 1) & MASK)


@rare
def late_ack(conn, cold):
    """The delayed ACK's time has come; EV_ bits."""
    schedule(conn, cold, i64(DELACK), i64(0))
    if not i64(conn.bits) & ACK_LATER:
        return 0
    raise_bits(conn, ACK_DUE)
    return EV_RETRANSMIT
