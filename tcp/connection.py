"""The records of one connection.

CONN, 64 bytes, is all that a connection without loss and without more than an initial window in flight ever touches. COLD is
written the first time that something of it is needed (COLD_READY says so), so its slot needs no preparation. Sequence numbers,
addresses and ports are in host byte order. IPv6 addresses stand there by their numbers (ip6.py), which are no IPv4 host's.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import i64

CLOSED, LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT = range(11)
STATE_NAMES = (
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",
    "LAST_ACK", "TIME_WAIT",
)  # fmt: skip

CLIENT = 1 << 0
"""Opened by `connect`."""
FIN_QUEUED = 1 << 2
"""A FIN follows the last queued byte."""
ACK_DUE = 1 << 3
"""The peer waits for an ACK; it may ride on data."""
ACK_ALONE = 1 << 4
"""The ACK is a segment of its own: it completes the handshake, or must count as a duplicate."""
TIMED = 1 << 5
"""A round trip is being timed since `rtt_time`: it ends when snd_una moves,"""
TIMED_LATER = 1 << 6
"""or, with this bit, when it passes `cold.rtt_seq`."""
COLD_READY = 1 << 7
"""COLD belongs to this connection."""
REWOUND = 1 << 8
"""snd_nxt went back to retransmit; `cold.snd_max` is the end of what has been sent."""
LOST = 1 << 9
"""The segment at snd_una is to be sent again."""
RECOVERY = 1 << 10
"""In fast recovery (RFC 6582) until `cold.recover` is acknowledged."""
PERSIST = 1 << 11
"""The window is shut, there is more to send, and the deadline is for a probe."""
PROBE = 1 << 12
"""A zero-window probe is due."""
WS_OK = 1 << 13
"""Windows are scaled (RFC 7323): what the peer sends by snd_shift, what we send by rcv_shift."""
SACK_OK = 1 << 14
"""Both sides understand selective acknowledgments (RFC 2018)."""
TS_OK = 1 << 15
"""Every segment carries timestamps (RFC 7323)."""
ECN_OK = 1 << 16
"""Both sides understand explicit congestion notification (RFC 3168)."""
ACK_LATER = 1 << 17
"""The peer is owed an ACK that may wait for company until `cold.delack_at` (RFC 9293 section 3.8.6.3)."""
ACK_BITS = ACK_DUE | ACK_ALONE | ACK_LATER
"""What any segment with an ACK settles."""
IN_ORDER_ONLY = 1 << 18
"""The application takes the peer's bytes in order only: what comes early is dropped."""
EARLY_FIN = 1 << 19
"""The peer's FIN came early; `cold.early_fin` is its number."""
ECN_CE = 1 << 20
"""A congestion mark came: every segment says ECE until the peer has answered with CWR (RFC 3168 section 6.1.3)."""
QUICK_ACK = 1 << 22
"""No ACK of ours is delayed."""
KEEP_ALIVE = 1 << 23
"""The ACK that is due is a keep-alive probe (RFC 9293 section 3.8.4)."""
OWN_WINDOW = 1 << 21
"""The application says by `window.offer` what it has room for; otherwise what comes is consumed at once."""

NODELAY = 1 << 24
"""Small segments leave at once, whatever the limit `nagle` says (RFC 9293 section 3.7.4)."""
CORK = 1 << 25
"""The application has more to come: only full segments leave."""
CWR_DUE = 1 << 26
"""The next new data says that the congestion window was reduced (RFC 3168 section 6.1.2)."""
TIMED_OUT = 1 << 27
"""Since a timeout, until `cold.recover` is acknowledged; with spans only, REWOUND says it otherwise."""
TAIL_DUE = 1 << 28
"""A tail loss probe is due (RFC 8985 section 7)."""

URGENT = 1 << 29
"""Urgent data is still to come: it reaches to `cold.rcv_up`."""

CONN = np.dtype(
    [
        ("local_ip", "<u4"),
        ("peer_ip", "<u4"),
        ("local_port", "<u2"),
        ("peer_port", "<u2"),
        ("state", "u1"),
        ("retries", "u1"),  # timeouts since the peer was last heard
        ("snd_shift", "u1"),  # of the windows that the peer advertises,
        ("rcv_shift", "u1"),  # and of those that we do
        ("snd_una", "<u4"),
        ("snd_nxt", "<u4"),
        ("snd_end", "<u4"),  # after the last queued byte; the FIN has this number
        ("iss", "<u4"),
        ("rcv_nxt", "<u4"),
        ("snd_wnd", "<u4"),  # bytes
        ("rcv_wnd", "<u4"),  # bytes from rcv_nxt to the right edge of the window, which never goes back
        ("bits", "<u4"),
        ("mss", "<u2"),  # payload bytes a segment of ours may carry
        ("rto", "<u2"),  # ms
        ("deadline", "<u4"),  # ms; when on_timer must run, 0 = never
        ("srtt", "<u2"),  # units of rto.UNIT us; 0 = nothing measured
        ("rttvar", "<u2"),  # units of rto.UNIT us
        ("rtt_time", "<u4"),  # us, low 32 bits
    ]
)
assert CONN.itemsize == 64

COLD = np.dtype(
    {
        "names": [
            "board", "snd_max", "rtt_seq", "recover", "cwnd", "ssthresh", "dup_acks", "since", "snd_wl1",
            "min_rtt", "prior_cwnd", "prior_ssthresh", "prr_delivered", "prr_out", "recover_fs", "w_max", "cubic_k", "cubic_t",
            "cubic_last", "w_est", "grown", "est_grown", "last_sent", "ecn_end", "widest", "undo_at",
            "rexmit_at", "probe_at", "delack_at",
            "ts_recent", "ts_recent_at", "last_ack_sent", "max_snd_wnd", "dsack_start", "dsack_end", "challenges",
            "challenged_at", "early_fin", "soft_error", "rcv_up",
            "round_end", "last_rtt", "round_rtt", "samples", "css_rtt", "css_rounds",
        ],
        "formats": ["<i8"] + ["<u4"] * 45,
        "offsets": [0, *range(8, 108, 4), *range(112, 192, 4)],
        "itemsize": 192,
    }
)  # fmt: skip
"""board: address of the BOARD in use, or 0; snd_max, rtt_seq, recover, snd_wl1: sequence numbers; cwnd, ssthresh: bytes; since:
ms of the first unanswered retransmission. SND.WL2 is not kept: an ACK not before snd_una is never before it.

min_rtt: us, 0 = none; prior_*: cwnd and ssthresh before the last reduction; prr_*, recover_fs: bytes, RFC 6937; w_max, w_est:
bytes, cubic_k: ms, cubic_t, cubic_last: us, see cubic.py; grown, est_grown: what is left over of the growth of cwnd and w_est;
last_sent: ms when data was sent last, 0 = not yet; ecn_end: up to here an ECE has had its answer; widest: the largest SND.WND
since COLD is in use; undo_at: ms of the first retransmission since the last reduction, 0 = none.

*_at: ms, see deadlines.py. ts_recent, last_ack_sent: of RFC 7323, and ts_recent_at the ms when it was set; max_snd_wnd: bytes,
MAX.SND.WND of RFC 5961; dsack_*: sequence numbers of what came twice, to be reported (RFC 2883; equal: nothing); challenges: ACKs
sent for segments that nothing believes since the ms challenged_at; early_fin: the number of a FIN that came early, see EARLY_FIN;
soft_error: ICMP type << 8 | code of the last one that came; rcv_up: RCV.UP, see urgent.py.

The last six are hystart.py's. round_end: a sequence number; *_rtt: us; css_rounds: how many are left, 0: it is no conservative
slow start."""
assert COLD.itemsize % 64 == 0


@kernel
def warm_receiver(conn, cold):
    """The receiving side's part of a fresh COLD."""
    cold.delack_at = 0
    cold.ts_recent = 0
    cold.ts_recent_at = 0
    cold.last_ack_sent = i64(conn.rcv_nxt)
    cold.max_snd_wnd = max(i64(conn.snd_wnd), 0xFFFF)
    cold.dsack_start = 0
    cold.dsack_end = 0
    cold.challenges = 0
    cold.challenged_at = 0
    cold.early_fin = 0
    cold.soft_error = 0
    cold.rcv_up = 0


@kernel
def sent(conn, cold):
    """The end of what has ever been sent (SND.NXT of the RFC): snd_nxt, unless that was rewound."""
    if i64(conn.bits) & REWOUND:
        return i64(cold.snd_max)
    return i64(conn.snd_nxt)


@kernel
def advertised(conn):
    """The window field of a segment that is no SYN."""
    return min(i64(conn.rcv_wnd) >> i64(conn.rcv_shift), 0xFFFF)


@kernel
def advertised_by_syn(conn):
    """The window field of a SYN or SYN-ACK, which is never scaled (RFC 7323 section 2.2)."""
    return min(i64(conn.rcv_wnd), 0xFFFF)


@kernel
def raise_bits(conn, bits):
    """Set *bits* of `conn.bits`."""
    conn.bits = i64(conn.bits) | bits


@kernel
def clear_bits(conn, bits):
    """Clear *bits* of `conn.bits`."""
    conn.bits = i64(conn.bits) & ~bits
