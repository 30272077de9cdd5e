"""What `receive` and `on_timer` tell their caller: bits of one integer."""

from __future__ import annotations

EV_ESTABLISHED = 1 << 0
"""The handshake is complete; once per connection."""
EV_DATA = 1 << 1
"""New payload in order: `seg.accepted` bytes from offset `seg.skip` of the payload, then `seg.revealed` that had come early."""
EV_FIN = 1 << 2
"""The peer has sent all it will send; once per connection."""
EV_FIN_ACKED = 1 << 3
"""The peer has acknowledged our FIN; once per connection."""
EV_ACKED = 1 << 23
"""snd_una has moved."""
EV_TIME_WAIT = 1 << 25
"""TIME_WAIT was entered: what is left is the last ACK and the wait."""
EV_CLOSED = 1 << 26
"""The connection is over: its state is CLOSED, its slot, port and index entry may be freed after a last `next_segment`."""
EV_RESET = 1 << 7
"""Ended by the peer's RST before both sides had closed (comes with EV_CLOSED)."""
EV_TIMEOUT = 1 << 8
"""Given up: retries, user timeout, FIN_WAIT_2 limit or idleness (comes with EV_CLOSED)."""
EV_REUSE = 1 << 9
"""A SYN that may open a new incarnation of a connection in TIME_WAIT: remove this one and hand the SYN to the listener."""
EV_RST_DUE = 1 << 10
"""Answer the segment with `reset_for`; out of `on_timer`, tell the peer with `reset_of`."""
EV_UNACCEPTABLE = 1 << 11
"""Dropped: outside the window, or without the ACK bit."""
EV_DUPLICATE = 1 << 12
"""Nothing new in it: a retransmission of what was had (comes with EV_UNACCEPTABLE)."""
EV_OUT_OF_ORDER = 1 << 13
"""Payload or FIN beyond a gap: a duplicate ACK is due. `seg.accepted` bytes of it, from `seg.skip` on, were taken: they stand
`seg.early` bytes beyond what came in order. 0: dropped."""
EV_CHALLENGE = 1 << 14
"""Dropped with a challenge ACK (RFC 5961)."""
EV_SYN = 1 << 15
"""Out of `listen`: a SYN that a listener may accept."""
EV_RETRANSMIT = 1 << 16
"""Out of `on_timer`: `next_segment` has something to repeat, or a window to probe."""
EV_URGENT = 1 << 17
"""The peer has urgent data, or more of it than it said before: up to `cold.rcv_up`. It comes in line (RFC 9293 section 3.8.5)."""
EV_SOFT_ERROR = 1 << 18
"""Out of `on_icmp`: the network reports trouble that may pass; `cold.soft_error` says which."""
EV_UNEXPECTED = 1 << 5
"""The caller's own: dropped or out of place, to be counted as that. 1 << 4 is free for the counting too."""
EV_RST = 1 << 6
"""The caller's own: the segment was an RST."""
EV_EARLY = 1 << 20
"""The caller's own: the data of this EV_DATA came before its turn, and was taken."""
EV_REVEALED = 1 << 21
"""The caller's own: after the data of this EV_DATA come `seg.revealed` bytes that were taken before."""
EV_ABORTED = 1 << 19
"""The caller's own: it has given the connection up (comes with EV_CLOSED)."""
EV_MORE = 1 << 22
"""The caller's own: text came, and more may be waiting that has the same answer."""
EV_DOUBT = 1 << 24
"""Out of `on_timer`: as many timeouts as the limit `r1` says (RFC 9293 section 3.8.3): is the way to the peer still right?"""
