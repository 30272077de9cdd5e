"""RSTs: RFC 9293 sections 3.10.7.1 and 3.10.5."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.connection import sent
from tcp.segment import ACK, FIN, RST, SYN
from tcp.seq import advance


@kernel
def reset_for(seg, out):
    """Fill *out* with the RST for *seg*, which belongs to no connection or has an unacceptable ACK. False: an RST gets none."""
    flags = i64(seg.tcp_flags)
    if flags & RST:
        return False
    if flags & ACK:
        _fill(out, i64(seg.ack), 0, RST)
    else:
        length = i64(seg.payload_len) + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
        _fill(out, 0, advance(i64(seg.seq), length), RST | ACK)
    return True


@kernel
def reset_of(conn, cold, out):
    """Fill *out* with the RST that tells the peer of *conn* that it is gone."""
    _fill(out, sent(conn, cold), i64(conn.rcv_nxt), RST | ACK)


@kernel
def _fill(out, seq, ack, flags):
    out.seq = seq
    out.ack = ack
    out.wnd = 0
    out.tcp_flags = flags
    out.opts = 0
    out.ect = 0
    out.payload_len = 0
    out.rexmit = 0
