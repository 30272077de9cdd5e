"""All operators in one pipeline, so that they are compiled once: a field that the test sets says which of them a frame meets."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from operators.fragments import Fragments
from operators.parse import parse
from operators.record import Records
from operators.to_kernel import to_kernel
from pipeline import NEXT, GroupBy, operator
from pipeline.testing import Bench, Outcome

NAMES = (
    "arp_responder", "count", "decrement_ttl", "deny", "drop", "icmp_echo", "macswap", "only", "own_mac", "reassemble",
    "record", "reply", "set_dscp", "set_macs",
)  # fmt: skip


@operator(params={"chosen": ("u1", 0)}, writes=[("lane", "u1")])
def choose(meta, state):
    """Send packets down the lane that the test has chosen."""
    meta.lane = state.chosen
    return NEXT


class Toolbox:
    """Every built-in operator behind parse; what it passes on comes out as "slow"."""

    def __init__(self, *, fenced: bool = False) -> None:
        self._operators = {name: getattr(import_module(f"operators.{name}"), name) for name in NAMES}
        lanes = {k: [self._operators[name]] for k, name in enumerate(NAMES, 1)}
        steps = [choose, parse, GroupBy("lane", lanes), to_kernel]
        resources = {"records": lambda core: Records(8), "fragments": Fragments}
        self.bench = Bench(steps, resources=resources, fenced=fenced)

    def state(self, name: str) -> Any:
        """The record of the operator *name*."""
        indices = [k for k, o in enumerate(self.bench.pipeline.operators) if o.name == name]
        return self.bench.core.states[indices[0]][0]

    def run(self, name: str | None, frames: list[bytes], **params: Any) -> list[Outcome]:
        """The outcomes of *frames* through parse and the operator *name* with *params*."""
        self.state("choose").chosen = NAMES.index(name) + 1 if name else 0
        if name and self._operators[name].params:
            fresh = self._operators[name](**params)
            for field, (_, default) in fresh.params.items():
                self.state(name)[field] = fresh.values.get(field, default)
        return self.bench.run(frames)

    def one(self, name: str, frame: bytes, **params: Any) -> Outcome:
        """The outcome of one frame."""
        (outcome,) = self.run(name, [frame], **params)
        return outcome

    def drops(self) -> dict[str, int]:
        """The drop counters that are not zero."""
        return {reason: count for reason, count in self.bench.core.drops().items() if count}


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    return Toolbox()
