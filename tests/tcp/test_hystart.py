"""HyStart++: against RFC 9406 as it is written, and with a connection whose round trips become longer."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.congestion import LARGEST
from tcp.connection import COLD, CONN
from tcp.hystart import begin_hystart, first_growth, note_round_trip
from tests.tcp.builders import MSS
from tests.tcp.sacking import Sender

START = 0xFFFFFFF0
"""The first sequence number, next to the wrap."""


@dataclass
class Model:
    """Section 4.2, in its own words; times in us."""

    window_end: int
    cwnd: int = 10 * MSS
    last_round_min_rtt: float = inf
    current_round_min_rtt: float = inf
    rtt_sample_count: int = 0
    css_baseline_min_rtt: float = inf
    css_rounds: int = 0
    in_css: bool = False

    def grow(self, n: int) -> int:
        return min(n, 8 * MSS) // 4 if self.in_css else min(n, 8 * MSS)

    def on_ack(self, una: int, nxt: int, rtt: int) -> bool:
        """Whether slow start is over; *una* and *nxt* without the wrap."""
        if rtt:
            self.current_round_min_rtt = min(self.current_round_min_rtt, rtt)
            self.rtt_sample_count += 1
        if self.rtt_sample_count >= 8 and self.in_css and self.current_round_min_rtt < self.css_baseline_min_rtt:
            self.in_css = False
        elif self.rtt_sample_count >= 8 and not self.in_css and self.last_round_min_rtt != inf:
            threshold = max(4000, min(self.last_round_min_rtt // 8, 16000))
            if self.current_round_min_rtt >= self.last_round_min_rtt + threshold:
                self.css_baseline_min_rtt = self.current_round_min_rtt
                self.in_css, self.css_rounds = True, 0
        if una < self.window_end:
            return False
        self.window_end = nxt
        self.last_round_min_rtt, self.current_round_min_rtt, self.rtt_sample_count = self.current_round_min_rtt, inf, 0
        self.css_rounds += self.in_css
        return self.in_css and self.css_rounds >= 5


def records() -> tuple[Any, Any]:
    conn, cold = aligned(1, CONN), aligned(1, COLD)
    for memory in (conn, cold):
        memory.view(np.uint8)[:] = 0xA5
    return conn[0], cold[0]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.sampled_from([0, 900, 5000, 9000, 20_000, 60_000, 300_000])), max_size=120))
def test_growth_and_end_are_those_of_section_4_2(acks: list[tuple[int, int]]) -> None:
    """Each ACK: for so many segments, after such a round trip."""
    conn, cold = records()
    una, nxt = 0, 10
    conn.snd_una, conn.snd_nxt = START, (START + nxt * MSS) % 2**32
    begin_hystart(conn, cold)
    model = Model(window_end=nxt)
    for segments, rtt in acks:
        una = min(una + segments, nxt)
        conn.snd_una = (START + una * MSS) % 2**32
        over = model.on_ack(una, nxt, rtt)
        assert bool(note_round_trip(conn, cold, rtt)) == over
        if over:
            break
        assert int(first_growth(cold, MSS, segments * MSS)) == model.grow(segments * MSS)
        nxt += 2 * segments
        conn.snd_nxt = (START + nxt * MSS) % 2**32


class Rounds:
    """A connection with more to send than it may, whose segments are acknowledged one by one, a round at a time."""

    def __init__(self) -> None:
        self.sender = Sender(options=0x7, widest=1 << 20)
        self.sender.queue(3000 * MSS)
        self.sender.sends()
        self.acked = 0

    def pass_(self, rtt_ms: int) -> int:
        """What is in flight is acknowledged *rtt_ms* after it was sent; the congestion window then, in segments."""
        sender = self.sender
        flight = (int(sender.conn.snd_nxt) - int(sender.conn.snd_una)) % 2**32 // MSS
        sender.now += rtt_ms * 1000
        for _ in range(flight):
            self.acked += 1
            sender.acks(self.acked, wnd=65535)
            sender.sends()
        return int(sender.cold.cwnd) // MSS


@pytest.mark.conformance("packetdrill:cubic/cubic-hystart-delay-rtt-jumps-upward")
def test_established_slow_start_ends_when_round_trips_become_longer() -> None:
    """A round that has begun when they do so is none to compare with: its shortest trip is as it was."""
    rounds = Rounds()
    assert [rounds.pass_(rtt) for rtt in (100, 100, 115)] == [20, 40, 80]
    assert rounds.pass_(115) < 100
    assert (rounds.sender.cold.css_rounds, rounds.sender.cold.ssthresh) == (4, LARGEST)
    for _ in range(4):
        rounds.pass_(115)
    assert (rounds.sender.cold.css_rounds, rounds.sender.cold.ssthresh) == (0, rounds.sender.cold.cwnd)


@pytest.mark.conformance("packetdrill:cubic/cubic-hystart-delay-min-rtt-jumps-downward")
def test_established_slow_start_goes_on_when_round_trips_become_shorter() -> None:
    rounds = Rounds()
    assert [rounds.pass_(rtt) for rtt in (100, 60)] == [20, 40]
    assert (rounds.sender.cold.css_rounds, rounds.sender.cold.ssthresh) == (0, LARGEST)


def test_established_slow_start_goes_on_after_longer_round_trips_by_chance() -> None:
    rounds = Rounds()
    rounds.pass_(100)
    rounds.pass_(130)
    assert rounds.sender.cold.css_rounds == 4
    rounds.pass_(100)
    assert (rounds.sender.cold.css_rounds, rounds.sender.cold.ssthresh) == (0, LARGEST)
