"""One TCP segment without its bytes: what `receive` reads and what `next_segment` writes.

`receive` takes any record that has these names, such as a packet's metadata; values are host byte order.
"""

from __future__ import annotations

import numpy as np

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

CE = 3
"""Congestion experienced: both ECN bits of an IP header."""

OPT_MSS, OPT_WSCALE, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_SACK = (1 << bit for bit in range(5))

SEGMENT = np.dtype(
    [
        ("seq", "<u4"),
        ("ack", "<u4"),
        ("wnd", "<u2"),
        ("tcp_flags", "u1"),
        ("opts", "u1"),  # OPT_ bits: which of mss, wscale, ts_* count
        ("payload_len", "<u4"),
        ("mss", "<u2"),
        ("wscale", "u1"),
        ("rexmit", "u1"),  # out of next_segment: 1 = sent before
        ("ts_val", "<u4"),
        ("ts_ecr", "<u4"),
        ("sack_at", "<i8"),  # into receive: address of the blocks of a SACK option (OPT_SACK), in network byte order
        ("ect", "u1"),  # out of next_segment: the ECN field of its IP header (RFC 3168),
        ("n_blocks", "u1"),  # how many SACK blocks it has (OPT_SACK),
        ("blocks", "<u4", (8,)),  # and their left and right edges
        ("urp", "<u2"),  # into receive: the urgent pointer; read only with URG
        ("tos", "u1"),  # into receive: the second byte of its IP header; read only where ECN was agreed on
        ("accepted", "<u4"),  # out of receive: bytes of payload taken,
        ("skip", "<u4"),  # where in the payload they start,
        ("early", "<u4"),  # how far beyond rcv_nxt, as it was, that is: 0 in order,
        ("revealed", "<u4"),  # and how many bytes that had come early follow them, in order now
        ("repeated", "<u4"),  # out of next_segment: how many of its sequence numbers were sent before
    ]
)
