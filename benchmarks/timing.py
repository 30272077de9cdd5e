"""Things measured in turns, in short slices, so that all of them see the same machine.

What a slice costs is its thread's processor time. A slice during which the processor was taken away - the wall clock then goes
ahead of the thread's - is thrown away and another one measured.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Work = Callable[[float], int]
"""Runs for so many seconds; what it returns is how many packets that were."""

_GAP = 0.02
"""The share of a slice that may be missing from the thread's processor time."""
_PATIENCE = 20
"""Slices tried for each that is wanted."""


@dataclass(frozen=True)
class Plan:
    """How much is measured: *repetitions* of *rounds* slices of *slice_s* seconds for each work."""

    repetitions: int = 7
    rounds: int = 60
    slice_s: float = 0.002
    gap: float = _GAP


@dataclass
class Measured:
    """Nanoseconds per packet, one for each repetition, by work; slices that were kept and thrown away."""

    costs: list[list[float]]
    kept: int = 0
    discarded: int = 0

    def median(self, work: int) -> float:
        """Nanoseconds per packet of the *work*-th."""
        return statistics.median(self.costs[work])

    def ratios(self, over: int, under: int) -> list[float]:
        """The cost of one work in that of another, repetition by repetition."""
        return [a / b for a, b in zip(self.costs[over], self.costs[under], strict=True)]


class Disturbed(RuntimeError):
    """The machine was too busy for a measurement."""


def in_turns(works: Sequence[Work], plan: Plan) -> Measured:
    """Measure all of *works*, one after the other, round after round. Disturbed when too few slices were left alone."""
    found = Measured([[] for _ in works])
    for work in works:
        work(plan.slice_s)
    for _ in range(plan.repetitions):
        for k, total in enumerate(_repetition(works, plan, found)):
            found.costs[k].append(total.spent / max(total.packets, 1))
    return found


@dataclass
class _Total:
    """Over the slices of one work that were kept."""

    slices: int = 0
    spent: int = 0
    packets: int = 0


def _repetition(works: Sequence[Work], plan: Plan, found: Measured) -> list[_Total]:
    totals = [_Total() for _ in works]
    for _ in range(_PATIENCE * plan.rounds):
        for work, total in zip(works, totals, strict=True):
            if _slice(work, plan, total):
                found.kept += 1
            else:
                found.discarded += 1
        if all(total.slices >= plan.rounds for total in totals):
            return totals
    fewest = min(total.slices for total in totals)
    raise Disturbed(f"{fewest} of {_PATIENCE * plan.rounds} slices had the processor to themselves: use an idle machine")


def _slice(work: Work, plan: Plan, total: _Total) -> bool:
    """Run *work* for a slice; False when it was disturbed and does not count."""
    spent, wall = time.thread_time_ns(), time.perf_counter_ns()
    packets = work(plan.slice_s)
    spent, wall = time.thread_time_ns() - spent, time.perf_counter_ns() - wall
    if wall - spent > plan.gap * wall:
        return False
    total.slices += 1
    total.spent += spent
    total.packets += packets
    return True


def main(measure: Callable[[Plan], Any], plan: Plan) -> None:
    """Print the figures of *measure* as JSON; a JSON object on the command line is another plan. One line when disturbed."""
    if sys.argv[1:]:
        plan = Plan(**json.loads(sys.argv[1]))
    try:
        json.dump(measure(plan), sys.stdout)
    except Disturbed as error:
        sys.exit(f"benchmarks: {error}")
