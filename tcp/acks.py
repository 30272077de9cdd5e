"""What every segment of ours says of what has come: window, timestamps, SACK blocks and ECE; and ACKs that wait for company."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64, record_at
from tcp.board import BOARD
from tcp.congestion import warm
from tcp.connection import (
    ACK_DUE,
    ACK_LATER,
    COLD_READY,
    ECN_CE,
    ECN_OK,
    SACK_OK,
    TS_OK,
    WS_OK,
    advertised,
    advertised_by_syn,
    raise_bits,
)
from tcp.deadlines import DELACK, schedule
from tcp.events import EV_RETRANSMIT
from tcp.segment import ACK, CWR, ECE, OPT_MSS, OPT_SACK, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, SYN
from tcp.seq import MASK
from tcp.timestamps import ts_clock

_MOST_BLOCKS = 4
_ECT_0 = 2


@kernel
def describe(conn, cold, out, limits, flags, now):
    """Give *out*, which has the TCP flags *flags*, its window, its options, and what it says of congestion marks."""
    out.opts = 0
    out.ect = 0
    out.wnd = advertised(conn)
    if flags & SYN:
        _describe_syn(conn, cold, out, limits, flags)
    if i64(conn.bits) & TS_OK:
        out.opts = i64(out.opts) | OPT_TIMESTAMPS
        out.ts_val = ts_clock(limits, now)
        out.ts_ecr = i64(cold.ts_recent) if flags & ACK else 0
    if i64(conn.bits) & (COLD_READY | ECN_OK) and flags & SYN == 0:
        _describe_received(conn, cold, out)


@kernel
def _describe_syn(conn, cold, out, limits, flags):
    """MSS, and what our side offers, or in a SYN-ACK what both do."""
    bits = i64(conn.bits)
    out.mss = i64(limits.mss)
    out.wscale = i64(limits.rcv_shift)
    out.wnd = advertised_by_syn(conn)
    out.opts = OPT_MSS | (OPT_WSCALE if bits & WS_OK else 0) | (OPT_SACK_PERMITTED if bits & SACK_OK else 0)
    if bits & ECN_OK:
        _ask_for_ecn(conn, out, flags)


@rare
def _ask_for_ecn(conn, out, flags):
    """RFC 3168 section 6.1.1. A SYN that was lost may have been so for asking (6.1.1.1): then there is no ECN."""
    if flags & ACK:
        out.tcp_flags = flags | ECE
    elif i64(conn.retries) == 0:
        out.tcp_flags = flags | ECE | CWR


@rare
def _describe_received(conn, cold, out):
    """What came early or twice, and a mark. Our own text may be marked, unless it was sent before or probes a window that is shut
    (RFC 3168 sections 6.1.5 and 6.1.6)."""
    bits = i64(conn.bits)
    if bits & COLD_READY:
        _note_ack(conn, cold)
        if bits & SACK_OK and (i64(cold.board) or i64(cold.dsack_start) != i64(cold.dsack_end)):
            _write_blocks(conn, cold, out)
    if bits & ECN_CE:
        out.tcp_flags = i64(out.tcp_flags) | ECE
    if bits & ECN_OK and i64(out.payload_len) and not i64(out.rexmit) and i64(conn.snd_wnd):
        out.ect = _ECT_0


@kernel
def _note_ack(conn, cold):
    """The ACK for rcv_nxt leaves: none has to wait any more."""
    cold.last_ack_sent = i64(conn.rcv_nxt)
    if i64(cold.delack_at):
        schedule(conn, cold, i64(DELACK), i64(0))


@kernel
def _write_blocks(conn, cold, out):
    """A D-SACK block first (RFC 2883), once; then the ranges, the latest first (RFC 2018 section 4)."""
    most = _MOST_BLOCKS - 1 if i64(conn.bits) & TS_OK else _MOST_BLOCKS
    n = 0
    if i64(cold.dsack_start) != i64(cold.dsack_end):
        out.blocks[0] = i64(cold.dsack_start)
        out.blocks[1] = i64(cold.dsack_end)
        cold.dsack_start = i64(cold.dsack_end)
        n = 1
    if i64(cold.board):
        board = record_at(i64(cold.board), BOARD)
        for i in range(min(i64(board.n_ranges), most - n)):
            out.blocks[2 * n] = i64(board.ranges[2 * i])
            out.blocks[2 * n + 1] = i64(board.ranges[2 * i + 1])
            n += 1
    if n:
        out.n_blocks = n
        out.opts = i64(out.opts) | OPT_SACK


@kernel
def payload_room(conn, cold):
    """Bytes of payload in a full-sized segment of ours, now: what SACK blocks leave of the MSS (RFC 9293 section 3.7.1)."""
    mss = i64(conn.mss)
    bits = i64(conn.bits)
    if bits & COLD_READY and bits & SACK_OK:
        return max(mss - _blocks_len(cold, 3 if bits & TS_OK else 4), 1)
    return mss


@kernel
def _blocks_len(cold, most):
    """Bytes of the SACK option that a segment would have now."""
    n = 1 if i64(cold.dsack_start) != i64(cold.dsack_end) else 0
    if i64(cold.board):
        n += i64(record_at(i64(cold.board), BOARD).n_ranges)
    return 4 + 8 * min(n, most) if n else 0


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
