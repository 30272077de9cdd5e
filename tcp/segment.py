"""One TCP segment without its bytes: what `receive` reads and what `next_segment` writes.

`receive` takes any record that has these names, such as a packet's metadata; values are host byte order.
"""

from __future__ import annotations

import numpy as np

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

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
        ("n_blocks", "u1"),  # out of next_segment: how many SACK blocks it has (OPT_SACK),
        ("blocks", "<u4", (8,)),  # and their left and right edges
        ("accepted", "<u4"),  # out of receive: bytes of new payload in order,
        ("skip", "<u4"),  # and where in the payload they start
        ("repeated", "<u4"),  # out of next_segment: how many of its sequence numbers were sent before
    ]
)
