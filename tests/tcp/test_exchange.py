"""Whole connections over a wire that loses: whatever is lost, every byte arrives once and both sides close."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tcp.builders import IRS, ISS
from tests.tcp.wire import DELAY, Fate, Party, Wire, assert_complete, short_exchange


def losing(*lost: int) -> Fate:
    return lambda number: [] if number in lost else [DELAY]


def test_seven_packets() -> None:
    wire = short_exchange(losing())
    client, server = wire.parties
    assert [sent.flags for sent in client.sent] == ["S", "A", "PA", "FA"]
    assert [sent.flags for sent in server.sent] == ["SA", "FPA", "A"]
    assert_complete(wire, 16, 16)
    assert client.cold_is_untouched
    assert server.cold_is_untouched
    assert not any(sent.rexmit for sent in client.sent + server.sent)


@pytest.mark.parametrize("lost", range(9))
def test_one_lost(lost: int) -> None:
    assert_complete(short_exchange(losing(lost)), 16, 16)


@pytest.mark.parametrize("first", range(10))
def test_two_lost(first: int) -> None:
    for second in range(first + 1, 14):
        assert_complete(short_exchange(losing(first, second)), 16, 16)


@pytest.mark.parametrize("doubled", range(9))
def test_one_doubled(doubled: int) -> None:
    for again in (0, DELAY, 20 * DELAY, 300_000):
        wire = short_exchange(lambda number, again=again: [DELAY, DELAY + again] if number == doubled else [DELAY])
        assert_complete(wire, 16, 16, doubling=True)


def unruly(seed: int, loss: float, double: float, jitter: int, last: int) -> Fate:
    """Packets up to number *last* are lost, doubled and delayed at random; the later ones are not."""
    rng = random.Random(seed)

    def fate(number: int) -> list[int]:
        if number > last:
            return [DELAY]
        copies = 0 if rng.random() < loss else 2 if rng.random() < double else 1
        return [DELAY + rng.randrange(jitter + 1) for _ in range(copies)]

    return fate


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    double=st.sampled_from([0.0, 0.3]),
    jitter=st.sampled_from([0, 20_000, 400_000]),
    client=st.sampled_from([0, 1, 999, 1000, 1001, 5000, 40_000]),
    server=st.sampled_from([0, 1, 3000, 20_000]),
    rcv_wnd=st.sampled_from([500, 1500, 65535]),
    simultaneous=st.booleans(),
)
def test_bulk_over_an_unruly_wire(
    seed: int, loss: float, double: float, jitter: int, client: int, server: int, rcv_wnd: int, simultaneous: bool
) -> None:
    one = Party(ISS, client, server=False, echo=False, rcv_wnd=rcv_wnd)
    two = Party(IRS, server, server=not simultaneous, echo=False, rcv_wnd=rcv_wnd)
    wire = Wire(one, two, unruly(seed, loss, double, jitter, 60))
    wire.run()
    assert_complete(wire, client, server, doubling=True)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 30), loss=st.sampled_from([0.1, 0.4]), jitter=st.sampled_from([0, 50_000]))
def test_short_over_an_unruly_wire(seed: int, loss: float, jitter: int) -> None:
    assert_complete(short_exchange(unruly(seed, loss, 0.2, jitter, 25)), 16, 16, doubling=True)


def test_bulk_without_loss_needs_no_retransmission() -> None:
    one = Party(ISS, 300_000, server=False, echo=False)
    two = Party(IRS, 0, server=True, echo=False)
    wire = Wire(one, two, losing())
    wire.run()
    assert_complete(wire, 300_000, 0)
    assert sum(sent.payload_len for sent in one.sent) == 300_000
    assert not any(sent.rexmit for sent in one.sent + two.sent)


@pytest.mark.parametrize("lost", [3, 5, 12, 13, 20])
def test_bulk_with_one_loss(lost: int) -> None:
    one = Party(ISS, 40_000, server=False, echo=False)
    two = Party(IRS, 0, server=True, echo=False)
    wire = Wire(one, two, losing(lost))
    wire.run()
    assert_complete(wire, 40_000, 0)
