"""Active and passive open: RFC 9293 sections 3.10.1 and 3.10.7.2."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64
from tcp.congestion import initial_window, warm
from tcp.connection import CLIENT, COLD_READY, ECN_OK, SACK_OK, SYN_RECEIVED, SYN_SENT, TS_OK, WS_OK, warm_receiver
from tcp.events import EV_RST_DUE, EV_SYN
from tcp.ip6 import FIRST_NUMBER
from tcp.limits import own_mss
from tcp.segment import ACK, CWR, ECE, OPT_MSS, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, RST, SYN
from tcp.seq import MASK, advance
from tcp.window import most_window

DEFAULT_MSS, DEFAULT_MSS_IP6 = 536, 1220
"""What a peer that sends no MSS option takes (RFC 9293 section 3.7.1), or one that says 0."""
SMALLEST_MSS = 48
"""Less than this in a peer's option would only serve to make us send many small segments."""

MOST_SHIFT = 14
"""A larger window scale is taken for this one (RFC 7323 section 2.3)."""
TIMESTAMPS_SPACE = 12


@kernel
def connect(conn, limits, local_ip, local_port, peer_ip, peer_port, iss):
    """Make *conn* a client in SYN_SENT; `next_segment` has its SYN.

    *iss* is the initial sequence number. Addresses and ports: host byte order.
    """
    begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    conn.state = SYN_SENT
    conn.bits = CLIENT | i64(limits.bits)
    conn.rcv_nxt = 0
    conn.snd_wnd = 0
    conn.mss = own_mss(conn, limits)


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
def accept(conn, cold, seg, limits, local_ip, local_port, peer_ip, peer_port, iss, now):
    """Make *conn* a server in SYN_RECEIVED for the SYN *seg*; `next_segment` has its SYN-ACK.

    Payload and FIN that come with the SYN are left for the peer to send again.
    """
    begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
    conn.state = SYN_RECEIVED
    conn.bits = i64(limits.bits)
    take_syn(conn, cold, seg, limits, now)


@kernel
def take_syn(conn, cold, seg, limits, now):
    """Note what the peer's SYN says: its first sequence number, window and MSS; and what is agreed on: what both offer."""
    seq = i64(seg.seq)
    conn.rcv_nxt = advance(seq, 1)
    conn.snd_wnd = i64(seg.wnd)
    theirs = i64(seg.mss) if i64(seg.opts) & OPT_MSS else 0
    conn.mss = min(max(theirs, SMALLEST_MSS) if theirs else default_mss(i64(conn.peer_ip)), own_mss(conn, limits))
    bits = i64(conn.bits)
    missing = bits & ~_agreed(i64(seg.opts), i64(seg.tcp_flags)) & (WS_OK | SACK_OK | TS_OK | ECN_OK)
    if i64(conn.retries):
        missing |= ECN_OK  # the SYN was sent again without it
    conn.bits = bits & ~missing
    if not missing & WS_OK and bits & WS_OK:
        conn.snd_shift = min(i64(seg.wscale), MOST_SHIFT)
        conn.rcv_shift = i64(limits.rcv_shift)
    conn.rcv_wnd = most_window(conn, limits)
    if i64(conn.bits) & (TS_OK | COLD_READY):
        _begin_cold(conn, cold, seg, now)


@kernel
def _agreed(opts, flags):
    """The bits for what a SYN with these options and TCP flags agrees to. ECN: RFC 3168 section 6.1.1."""
    bits = WS_OK if opts & OPT_WSCALE else 0
    bits |= SACK_OK if opts & OPT_SACK_PERMITTED else 0
    bits |= TS_OK if opts & OPT_TIMESTAMPS else 0
    asked = ECE if flags & ACK else ECE | CWR
    return bits | (ECN_OK if flags & (ECE | CWR) == asked else 0)


@rare
def _begin_cold(conn, cold, seg, now):
    """The receiving side of COLD, whose numbers begin with the peer's SYN; the segments of a connection with timestamps are
    smaller."""
    warm(conn, cold)
    warm_receiver(conn, cold)
    cold.snd_wl1 = i64(conn.rcv_nxt)
    if i64(conn.bits) & TS_OK:
        cold.ts_recent = i64(seg.ts_val)
        cold.ts_recent_at = div64(now, 1000) & MASK
        conn.mss = max(i64(conn.mss) - TIMESTAMPS_SPACE, 1)
    cold.cwnd = initial_window(i64(conn.mss))


@kernel
def default_mss(peer_ip):
    """What a peer that names no MSS takes."""
    return DEFAULT_MSS_IP6 if peer_ip >= FIRST_NUMBER else DEFAULT_MSS


@kernel
def begin(conn, limits, local_ip, local_port, peer_ip, peer_port, iss):
    """What is the same for both sides."""
    conn.local_ip = local_ip & MASK
    conn.peer_ip = peer_ip & MASK
    conn.local_port = local_port & 0xFFFF
    conn.peer_port = peer_port & 0xFFFF
    conn.retries = 0
    conn.snd_shift = 0
    conn.rcv_shift = 0
    conn.iss = iss & MASK
    conn.snd_una = iss & MASK
    conn.snd_end = advance(iss, 1)
    conn.rcv_wnd = i64(limits.rcv_wnd)
    conn.rto = i64(limits.rto_initial)
    conn.srtt = 0
    conn.rttvar = 0
    conn.snd_nxt = iss & MASK
    conn.deadline = 0
    conn.rtt_time = 0
