"""A core that the machine holds up finds answers waiting, and timers that are long due: it reads first."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP

from tests.engine.host import Host, server
from tests.engine.peer import ISS, Peer

LATE_MS = 5
HELD_UP = 1500
"""Longer than the first retransmission timeout."""
BURST = 32


def half_open(late_ms: int) -> tuple[Host, Peer]:
    host = server(late_ms=late_ms)
    peer = Peer(host)
    assert len(peer.send("S")) == 1
    return host, peer


@pytest.mark.parametrize(("late_ms", "flags"), [(LATE_MS, []), (0, ["SA"]), (HELD_UP + 1, ["SA"])])
def test_an_answer_that_waits_is_read_before_the_timer_runs(late_ms: int, flags: list[str]) -> None:
    host, peer = half_open(late_ms)
    host.advance(HELD_UP)
    assert [str(answer[TCP].flags) for answer in peer.send("A")] == flags
    assert host.counters("server")["established"] == 1
    assert host.run() == []
    assert host.counters("server").get("Retransmissions", 0) == len(flags)


def test_without_an_answer_the_timer_runs_a_turn_later() -> None:
    host, _ = half_open(LATE_MS)
    host.advance(HELD_UP)
    assert host.run() == []
    assert len(host.run()) == 1
    assert host.counters("server")["Retransmissions"] == 1


def test_as_long_as_bursts_are_full_there_is_more_to_read() -> None:
    host, peer = half_open(LATE_MS)
    host.advance(HELD_UP)
    stray = Peer(host, 50000, iss=ISS + 9)
    host.run([stray.segment("R")] * (2 * BURST) + [peer.segment("A")], burst=BURST)
    assert host.run() == []
    assert host.counters("server")["established"] == 1
    assert "Retransmissions" not in host.counters("server")


def test_on_a_core_that_is_always_late_timers_run_too() -> None:
    host, _ = half_open(LATE_MS)
    sent = []
    for _ in range(4):
        host.advance(2 * HELD_UP)
        sent.append(len(host.run()))
    assert sent == [0, 1, 0, 1]
