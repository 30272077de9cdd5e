"""A pipeline as a drawing in text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.operator import Operator
from pipeline.steps import GroupBy
from pipeline.verdicts import NAMES


def draw(name: str, steps: Sequence[Any]) -> str:
    """One line per operator, arms indented, ticks and sources first."""
    operators = [s for s in steps if isinstance(s, Operator)]
    beside = [o for o in operators if o.kind != "packet"]
    lines = [name]
    lines += [f"  each turn: {_describe(o)}" for o in beside if o.kind == "tick"]
    lines += ["  receive: port"] + [f"  receive: {_describe(o)}" for o in beside if o.kind == "source"]
    lines += [f"  {line}" for line in _steps([s for s in steps if not isinstance(s, Operator) or s.kind == "packet"])]
    return "\n".join([*lines, "  send, free"])


def _steps(steps: Sequence[Any]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Operator):
            yield f"│ {_describe(step)}"
        elif isinstance(step, GroupBy):
            yield from _group(step)
        else:
            yield "├─ stage"


def _group(group: GroupBy) -> Iterator[str]:
    yield f"├─ by {group.key}"
    for value, arm in (*group.arms.items(), ("otherwise", group.otherwise)):
        if isinstance(arm, int):
            yield f"│  {value}: {NAMES[arm].upper()}"
        else:
            yield f"│  {value}:" + ("" if arm else " go on")
            yield from (f"│    {line}" for line in _steps(arm))


def _describe(step: Operator) -> str:
    values = ", ".join(f"{k}={v}" for k, v in step.values.items())
    return f"{step.name}({values})  {step.help}" if values else f"{step.name}  {step.help}"
