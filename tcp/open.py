"""Active and passive open: RFC 9293 sections 3.10.1 and 3.10.7.2."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.connection import CLIENT, SYN_RECEIVED, SYN_SENT
from tcp.events import EV_RST_DUE, EV_SYN
from tcp.segment import ACK, OPT_MSS, RST, SYN
from tcp.seq import MASK, advance

DEFAULT_MSS = 536
"""What a peer that sends no MSS option takes (RFC 9293 section 3.7.1), or one that says 0."""
SMALLEST_MSS = 48
"""Less than this in a peer's option would only serve to make us send many small segments."""


@kernel
def connect(conn, limits, local_ip, local_port, peer_ip, peer_port, iss):
    """Make *conn* a client in SYN_SENT; `next_segment` has its SYN.

    *iss* is the initial sequence number. Addresses and ports: host byte order.
    """
    _begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    conn.state = SYN_SENT
    conn.bits = CLIENT
    conn.rcv_nxt = 0
    conn.snd_wnd = 0
    conn.mss = i64(limits.mss)


@kernel
def listen(seg):
    """What a listener does with *seg*: EV_SYN (`accept` it or not), EV_RST_DUE, or 0: nothing."""
    flags = i64(seg.tcp_flags)
    if flags & RST:
        return 0
    if flags & ACK:
        return EV_RST_DUE
    return EV_SYN if flags & SYN else 0


@kernel
def accept(conn, seg, limits, local_ip, local_port, peer_ip, peer_port, iss):
    """Make *conn* a server in SYN_RECEIVED for the SYN *seg*; `next_segment` has its SYN-ACK.

    Payload and FIN that come with the SYN are left for the peer to send again.
    """
    _begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    conn.state = SYN_RECEIVED
    conn.bits = 0
    take_syn(conn, seg, limits)


@kernel
def take_syn(conn, seg, limits):
    """Note what the peer's SYN says: its first sequence number, window and MSS."""
    seq = i64(seg.seq)
    conn.rcv_nxt = advance(seq, 1)
    conn.snd_wnd = i64(seg.wnd)
    theirs = i64(seg.mss) if i64(seg.opts) & OPT_MSS else 0
    conn.mss = min(max(theirs, SMALLEST_MSS) if theirs else DEFAULT_MSS, i64(limits.mss))


@kernel
def _begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss):
    conn.local_ip = local_ip & MASK
    conn.peer_ip = peer_ip & MASK
    conn.local_port = local_port & 0xFFFF
    conn.peer_port = peer_port & 0xFFFF
    conn.retries = 0
    conn.snd_shift = 0
    conn.rcv_shift = 0
    conn.iss = iss & MASK
    conn.snd_una = iss & MASK
    conn.snd_nxt = iss & MASK
    conn.snd_end = advance(iss, 1)
    conn.rcv_wnd = i64(limits.rcv_wnd)
    conn.rto = i64(limits.rto_initial)
    conn.deadline = 0
    conn.srtt = 0
    conn.rttvar = 0
    conn.rtt_time = 0
