"""HyStart++: the first slow start ends when round trips become longer, before something is lost (RFC 9406).

Then the window grows by a quarter of what it would, for five rounds: conservative slow start. Were the round trips longer by
chance only, and are short again, slow start goes on. Round trips are in us. A round lasts until what was sent at its beginning is
acknowledged.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.seq import distance

NONE = 0xFFFFFFFF
"""In `last_rtt` and `round_rtt`: not measured."""
_LEAST, _MOST, _DIVISOR = 4_000, 16_000, 8
"""MIN_RTT_THRESH, MAX_RTT_THRESH and MIN_RTT_DIVISOR: how much longer counts."""
_SAMPLES = 8
"""N_RTT_SAMPLE."""
_ROUNDS = 5
"""CSS_ROUNDS."""
_SLOWER = 4
"""CSS_GROWTH_DIVISOR."""
_SEGMENTS_PER_ACK = 8
"""L, for a sender without pacing."""


@kernel
def begin_hystart(conn, cold):
    """The first round."""
    cold.round_end = i64(conn.snd_nxt)
    cold.last_rtt = NONE
    cold.round_rtt = NONE
    cold.samples = 0
    cold.css_rounds = 0
    cold.css_rtt = 0


@kernel
def first_growth(cold, mss, acked):
    """By how many bytes the window grows in the first slow start for an ACK of *acked* (section 4.2)."""
    growth = min(acked, _SEGMENTS_PER_ACK * mss)
    return growth // _SLOWER if i64(cold.css_rounds) else growth


@rare
def note_round_trip(conn, cold, rtt):
    """An ACK in the first slow start took *rtt*, 0: nobody knows. True: slow start is over."""
    if rtt:
        cold.round_rtt = min(i64(cold.round_rtt), rtt)
        cold.samples = min(i64(cold.samples) + 1, _SAMPLES)
    if i64(cold.samples) == _SAMPLES:
        _judge(cold)
    if distance(i64(conn.snd_una), i64(cold.round_end)) < 0:
        return False
    cold.round_end = i64(conn.snd_nxt)
    cold.last_rtt = i64(cold.round_rtt)
    cold.round_rtt = NONE
    cold.samples = 0
    rounds = i64(cold.css_rounds)
    cold.css_rounds = max(rounds - 1, 0)
    return rounds == 1


@kernel
def _judge(cold):
    """Are this round's trips longer than those of the last, or shorter than those that were found longer?"""
    rtt, last = i64(cold.round_rtt), i64(cold.last_rtt)
    if i64(cold.css_rounds):
        if rtt < i64(cold.css_rtt):
            cold.css_rounds = 0
    elif last != NONE and rtt >= last + max(min(last // _DIVISOR, _MOST), _LEAST):
        cold.css_rtt = rtt
        cold.css_rounds = _ROUNDS
