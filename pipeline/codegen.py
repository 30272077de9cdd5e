"""From steps to the source of one compiled poll loop.

The loop does, turn after turn: refill the spare mbufs, run the ticks, receive a burst, take every packet through the operators,
send, free. It is straight-line code over imported kernels: no dispatch is left in it. What every packet changes, the count of the
TX queue, that of received bytes and that of a group's first arm, is in registers meanwhile; operators that name `out` find the
count of the TX queue in memory. `at` is where in the burst the loop is, `place` where the next packet that is left goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import PipelineError
from pipeline.fields import Field, field_type, nearest
from pipeline.operator import Operator, check_arguments
from pipeline.outbox import BURST
from pipeline.steps import GroupBy, Stage
from pipeline.template import HEAD, RECEIVE, TAIL
from pipeline.verdicts import KEEP, NAMES, NEXT

_INDENT = "    "

Written = set[str] | None
"""The metadata fields that are set where the packets are now; None where none can be."""


class Arm(NamedTuple):
    """An arm of a GroupBy: the metadata field, the value or "otherwise", and the verdict when it is one instead of steps."""

    key: str
    value: str
    verdict: int = NEXT


@dataclass
class Code:
    """The loop of a pipeline, and what its arguments and counters mean."""

    operators: list[Operator] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    ticks: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    packets: list[str] = field(default_factory=list)


class Generator:
    """Walks the steps once, checking them and writing the loop. PipelineError for every mistake."""

    def __init__(self, steps: Sequence[Any], resources: Iterable[str]) -> None:
        self.code = Code()
        self._stages = 0
        self._firsts: list[int] = []
        self._resources = tuple(resources)
        self._has_sources = any(isinstance(s, Operator) and s.kind == "source" for s in _sequence(steps))
        self._uses_following = any("following" in o.arguments for o in _operators(steps))
        self._open_loop(first=True)
        self._steps(steps, 3, set(), top=True)
        self._line(3, "core.end += 1")
        self._line(3, "leave(out, DROP, mbuf)")

    def _line(self, depth: int, text: str) -> None:
        self.code.packets.append(_INDENT * depth + text)

    def _open_loop(self, *, first: bool) -> None:
        if first:
            self._line(2, "ready = queue_count(out, TX)")
            self._line(2, "rx_bytes = i64(0)")
            self._line(2, "end = burst + n * 8")
            self._line(2, "for i in range(n):")
            self._line(3, "prefetch(usual_data(load64(burst + i * 8)))")
            self._line(2, "meta = row(metas, 0)")
        else:
            self._close_loop()
            self._line(2, "end = place")
            if self._uses_following:
                self._line(2, "if end > burst:")
                self._line(3, "metas[nth(burst, end)] = metas[nth(burst, end) - 1]")
            self._line(2, "following = row(metas, 0)")
        self._stages += 1
        self._line(2, "place = at = burst")
        self._line(2, "while at < end:")
        self._line(3, "mbuf = load64(at)")
        self._line(3, "at += 8")
        self._line(3, "pkt = data(mbuf)")
        self._line(3, "length = data_len(mbuf)")
        if not first:
            self._line(3, "meta = following")
            self._line(3, "following = next_row(meta)")
        elif self._has_sources:
            self._line(3, "if at <= received:")
            self._line(4, "rx_bytes += pkt_len(mbuf)")
        else:
            self._line(3, "rx_bytes += pkt_len(mbuf)")

    def _close_loop(self) -> None:
        """The packet is left for the next stage."""
        self._line(3, "store64(place, mbuf)")
        if self._stages > 1:
            self._line(3, "if place + 8 != at:")
            self._line(4, "metas[nth(burst, place)] = metas[nth(burst, at) - 1]")
        self._line(3, "place += 8")
        if self._stages == 1:
            self._line(3, "meta = next_row(meta)")

    def _steps(self, steps: Sequence[Any], depth: int, written: Written, *, top: bool) -> Written:
        for step in _sequence(steps):
            if isinstance(step, Operator) and step.kind != "packet":
                self._beside(step, top)
            elif written is None:
                raise PipelineError(f"no packet reaches {_name(step)}: every arm of the GroupBy before it leaves")
            elif isinstance(step, Operator):
                self._operator(step, depth, written, last=not top or step is steps[-1])
            elif isinstance(step, GroupBy):
                written = self._group(step, depth, written)
            elif isinstance(step, Stage):
                if not top:
                    raise PipelineError("Stage() stands inside a GroupBy arm; stages are for whole bursts: move it out")
                self._open_loop(first=False)
            else:
                raise PipelineError(f"{step!r} is no step; steps are operators, GroupBy(...) and Stage()")
        return written

    def _beside(self, step: Operator, top: bool) -> None:
        """A tick or a source: it runs once a turn, not once a packet."""
        if not top:
            raise PipelineError(f"{step.name} stands inside a GroupBy arm; a {step.kind} runs once a turn: move it out")
        call = self._call(step)
        if step.kind == "tick":
            self.code.ticks.append(f"{_INDENT * 2}work += i64({call})")
        else:
            self.code.sources.append(f"{_INDENT * 2}n += i64({call})")

    def _operator(self, step: Operator, depth: int, written: set[str], *, last: bool) -> None:
        for name in step.reads:
            if name not in written:
                raise PipelineError(f"{step.name} reads {name!r}, which nothing upstream writes{nearest(name, written)}")
        self._declare(step.name, step.writes)
        written.update(f[0] for f in step.writes)
        k = len(self.code.operators)
        if "out" in step.arguments:
            self._line(depth, "set_queue_count(out, TX, ready)")
        self._line(depth, f"v = i64({self._call(step)})")
        if "out" in step.arguments:
            self._line(depth, "ready = queue_count(out, TX)")
        self._line(depth, "if v != NEXT:" if last else "if unlikely(v != NEXT):")
        self._line(depth + 1, f"ready = depart_counted(out, tx, ready, v, mbuf, left + {k * len(NAMES) * 8})")
        self._line(depth + 1, "continue")
        if step.resizes:
            self._line(depth, "length = data_len(mbuf)")

    def _call(self, step: Operator) -> str:
        """The call of the next operator; its state and counters go by its index."""
        check_arguments(step, self._resources)
        if "from_port" in step.arguments and self._stages > 1:
            raise PipelineError(f"{step.name}: where a packet is from is known in the first stage only; put it before Stage()")
        k = len(self.code.operators)
        self.code.operators.append(step)
        given = {
            "state": f"row(s{k}, 0)",
            "burst": "burst + n * 8",
            "room": "BURST - n",
            "following": "following" if self._stages > 1 else "meta",
            "from_port": "i64(at <= received)" if self._has_sources else "i64(1)",
            **{r: f"r_{r}" for r in self._resources},
        }
        return f"op{k}_{step.name}({', '.join(given.get(a, a) for a in step.arguments)})"

    def _declare(self, owner: str, fields: Sequence[Field]) -> None:
        for declared in fields:
            name, kind = declared[0], field_type(owner, declared)
            if self.code.meta.setdefault(name, kind) != kind:
                raise PipelineError(f"{owner} writes {name!r} as {kind}; another operator writes it as {self.code.meta[name]}")

    def _group(self, group: GroupBy, depth: int, written: set[str]) -> Written:
        self._check_group(group, written)
        word, merged = "if", []
        for value, arm in group.arms.items():
            self._line(depth, f"{word} i64(meta.{group.key}) == {int(value)}:")
            merged.append(self._arm(group.key, str(value), arm, depth + 1, set(written), first=word == "if"))
            word = "elif"
        self._line(depth, "else:")
        merged.append(self._arm(group.key, "otherwise", group.otherwise, depth + 1, set(written)))
        falling = [m for m in merged if m is not None]
        return set.intersection(*falling) if falling else None

    def _check_group(self, group: GroupBy, written: set[str]) -> None:
        name = f"GroupBy({group.key!r})"
        if group.key not in written:
            raise PipelineError(f"{name}: nothing upstream writes {group.key!r}{nearest(group.key, written)}")
        kind = self.code.meta[group.key]
        if kind.kind not in "iu":
            raise PipelineError(f"{name}: the field is {kind}, not an integer")
        if not isinstance(group.arms, Mapping) or not group.arms:
            raise PipelineError(f"{name} has no arms; write {{value: steps or verdict, ...}}")
        limits = np.iinfo(kind)
        for value in group.arms:
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not limits.min <= value <= limits.max:
                raise PipelineError(f"{name}: {value!r} is no value of a {kind.name}")

    def _arm(
        self, key: str, value: str, arm: Sequence[Any] | int, depth: int, written: set[str], *, first: bool = False
    ) -> Written:
        """Packets of a group's *first* arm, the most as a rule, are counted in a register."""
        k = len(self.code.arms)
        verdict = arm if isinstance(arm, int) else NEXT
        self.code.arms.append(Arm(key, value, verdict))
        if first:
            self._firsts.append(k)
        self._line(depth, f"arm{k} += 1" if first else f"count(arms + {k * 8})")
        if not isinstance(arm, int):
            return self._steps(arm, depth, written, top=False)
        if verdict == NEXT:
            return written
        if not NEXT < verdict < len(NAMES) or verdict == KEEP:
            raise PipelineError(f"GroupBy({key!r}): {arm} is no verdict for an arm; use DROP, TX, SLOW, USER0, USER1 or USER2")
        self._line(depth, f"ready = depart(out, tx, ready, i64({verdict}), mbuf)")
        self._line(depth, "continue")
        return None

    def source(self, name: str, driver: str, kernels: str) -> str:
        """The module's text, for devices whose compiled calls are in *driver* and operators' kernels in *kernels*."""
        code = self.code
        states = [f"s{k}" for k, o in enumerate(code.operators) if o.state_dtype is not None]
        parameters = ", ".join(["metas", "left", "arms", *states, *(f"r_{r}" for r in self._resources)])
        imports = "\n".join(f"{_INDENT}{name}," for name in kernel_names(code.operators))
        head = HEAD.format(name=name, driver=driver, kernels=kernels, imports=imports, parameters=parameters)
        sources = [f"{_INDENT * 2}received = burst + n * 8", *code.sources] if code.sources else []
        reserved = sum(o.reserve for o in code.operators)
        receive = RECEIVE.rstrip("\n").format(port_burst=max(BURST - reserved, 1))
        zeros = [f"{_INDENT * 2}arm{k} = i64(0)" for k in self._firsts]
        sums = [f"{_INDENT * 2}add(arms + {k * 8}, arm{k})" for k in self._firsts]
        body = [*code.ticks, receive, *sources, *zeros, *code.packets, *sums, TAIL]
        return head + "\n".join(body)


def kernel_names(operators: Sequence[Operator]) -> list[str]:
    """What the generated source calls the operators' kernels."""
    return [f"op{k}_{o.name}" for k, o in enumerate(operators)]


def _operators(steps: Any) -> Iterator[Operator]:
    """All operators among *steps*, those in the arms of groups too."""
    for step in _sequence(steps):
        if isinstance(step, Operator):
            yield step
        elif isinstance(step, GroupBy):
            for arm in (*step.arms.values(), step.otherwise):
                yield from () if isinstance(arm, int) else _operators(arm)


def _sequence(steps: Any) -> Sequence[Any]:
    if isinstance(steps, Sequence) and not isinstance(steps, str):
        return steps
    raise PipelineError(f"{_name(steps)} is no list of steps; write [{_name(steps)}]")


def _name(step: Any) -> str:
    return getattr(step, "name", str(step))


def meta_dtype(fields: Mapping[str, Any]) -> np.dtype:
    """The dtype of one packet's metadata: what the operators write, in whole cache lines when larger than half of one."""
    dtype = np.dtype(list(fields.items()) or [("nothing", "u1")], align=True)
    if dtype.itemsize <= 32:
        return dtype
    offsets = [dtype.fields[name][1] for name in fields]  # type: ignore[index]
    lines = -(-dtype.itemsize // 64)
    return np.dtype({"names": list(fields), "formats": list(fields.values()), "offsets": offsets, "itemsize": lines * 64})
