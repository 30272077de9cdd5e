"""Transfers over a path that delays, loses, reorders and doubles, in simulated time: what is sent again, and how fast it goes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcp.congestion import CUBIC, RENO
from tests.tcp.path import SACK, SCALE, TIMESTAMPS, Path, Simulation, goodput, transfer

MB = 1_000_000
BASES = [SACK | SCALE, SACK | SCALE | TIMESTAMPS, SCALE]


def modern(total: int, there: Path, back: Path | None = None, seed: int = 1) -> Simulation:
    return transfer(total, there, back, seed, options=SACK | SCALE)


@pytest.mark.parametrize("options", BASES)
@pytest.mark.parametrize("congestion", [RENO, CUBIC])
def test_a_clean_path_needs_no_retransmission(options: int, congestion: int) -> None:
    simulation = transfer(MB // 2, Path(), options=options, congestion=congestion)
    seen = simulation.sides[0].seen
    assert (seen.resent, seen.episodes, seen.timeouts) == (0, 0, 0)
    # Slow start from 10 segments, doubling each of the round trips of 20 ms.
    assert goodput(simulation) > 30


@pytest.mark.parametrize("options", BASES[:2])
def test_duplication_needs_no_retransmission(options: int) -> None:
    seen = transfer(MB // 2, Path(duplicate=0.2), Path(duplicate=0.2), options=options).sides[0].seen
    assert (seen.resent, seen.episodes, seen.timeouts) == (0, 0, 0)


@pytest.mark.parametrize("lost", [2, 5, 11, 13, 20, 41, 42, 69])
def test_one_loss_is_one_retransmission_and_one_reduction(lost: int) -> None:
    """Packet 0 is the SYN, 1 and 12 are ACKs."""
    seen = modern(100_000, Path(lost=frozenset({lost}))).sides[0].seen
    assert (seen.resent, seen.needless, seen.timeouts) == (1, 0, 0)
    assert seen.episodes <= 1


@pytest.mark.parametrize("lost", [{20, 21}, {20, 25, 30}, set(range(20, 28)), {20, 22, 24, 26, 28}])
def test_many_losses_in_a_window_are_one_episode(lost: set[int]) -> None:
    seen = modern(200_000, Path(lost=frozenset(lost))).sides[0].seen
    assert (seen.resent, seen.needless, seen.episodes, seen.timeouts) == (len(lost), 0, 1, 0)


def test_a_lost_retransmission_needs_no_timeout() -> None:
    first = modern(400_000, Path(lost=frozenset({50}))).sides[0].seen
    again = modern(400_000, Path(lost=frozenset({50, first.resent_as}))).sides[0].seen
    assert (first.resent, again.resent) == (1, 2)
    assert (again.episodes, again.timeouts, again.needless) == (1, 0, 0)


@pytest.mark.parametrize(("loss", "least"), [(0.01, 15), (0.03, 4)])
def test_goodput_under_random_loss(loss: float, least: float) -> None:
    """Mbit/s over a round trip of 20 ms; without SACK and with Reno it is less."""
    seeds = range(1, 5)
    new = [modern(MB // 2, Path(loss=loss), seed=seed) for seed in seeds]
    old = [transfer(MB // 2, Path(loss=loss), seed=seed, options=SCALE, congestion=RENO) for seed in seeds]
    for simulation in new:
        seen = simulation.sides[0].seen
        assert (seen.needless, seen.timeouts) == (0, 0)
        assert seen.resent <= simulation.paths[0].dropped + 1
    assert _mean(new) > least
    assert _mean(new) > _mean(old)


def _mean(simulations: list[Simulation]) -> float:
    """All bytes over all time."""
    return len(simulations) / sum(1 / goodput(simulation) for simulation in simulations)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    loss=st.sampled_from([0.0, 0.02, 0.1]),
    back=st.sampled_from([0.0, 0.1]),
    reorder=st.sampled_from([0.0, 0.1]),
    late_by=st.sampled_from([1_000, 15_000, 60_000]),
    duplicate=st.sampled_from([0.0, 0.1]),
    options=st.sampled_from(BASES),
    congestion=st.sampled_from([RENO, CUBIC]),
    rate=st.sampled_from([0, 1_250_000]),
)
def test_everything_arrives_whatever_the_path(
    seed: int, loss: float, back: float, reorder: float, late_by: int, duplicate: float, options: int, congestion: int, rate: int
) -> None:
    there = Path(loss=loss, reorder=reorder, late_by=late_by, duplicate=duplicate, rate=rate, queue=30_000 if rate else 1 << 30)
    patience = {"retries": 100, "syn_retries": 100, "rto_max": 2000}
    simulation = transfer(100_000, there, Path(loss=back), seed, options=options, congestion=congestion, **patience)
    if options & SACK and not simulation.sides[0].seen.timeouts:
        assert simulation.sides[0].seen.needless == 0
    assert all(int(side.boards.record.free) == 2 for side in simulation.sides)
