"""From steps to the source of one compiled poll loop.

The loop does, turn after turn: refill the spare mbufs, run the ticks, receive a burst, take every packet through the operators,
send, free. It is straight-line code over imported kernels: no dispatch is left in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.operator import Field, Operator, check_arguments, nearest
from pipeline.steps import GroupBy, Stage
from pipeline.verdicts import NAMES, NEXT

_INDENT = "    "

_HEAD = '''"""Pipeline {name!r}, generated: its source is in pipeline/codegen.py."""

from dpdk_io.idle import wait
from dpdk_io.jit import entry
from dpdk_io.mbuf import data, data_len, pkt_len
from dpdk_io.memory import i64, load64, load_acquire, prefetch, rdtsc, record_at, store64
from {driver} import alloc_bulk, free_bulk, rx_burst, tx_burst
from pipeline.outbox import (
    BURST, CORE, SPARE, has_slow, leave, queue_address, queue_count, remove_front, set_queue_count,
)
from pipeline.verdicts import DROP, NEXT, TX
from {kernels} import {imports}


@entry
def poll(out, until, slow_after, {parameters}):
    core = record_at(out, CORE)
    port, queue, pool = i64(core.port), i64(core.queue), i64(core.pool)
    burst = i64(core.burst)
    idle = i64(0)
    while True:
        now = rdtsc()
        if load_acquire(out) != 0 or now >= until or (now >= slow_after and has_slow(out)):
            return
        core.turns += 1
        spare = i64(core.spare_count)
        if spare < SPARE:
            core.spare_count = spare + alloc_bulk(pool, i64(core.spare) + spare * 8, SPARE - spare)
        work = i64(0)
'''

_RECEIVE = """\
        n = i64(0)
        if queue_count(out, TX) < 1024 or i64(core.tx_stalled) > 64:
            n = rx_burst(port, queue, burst, BURST)
        core.rx_packets += n
"""

_TAIL = '''\
        ready = queue_count(out, TX)
        if ready > 0:
            sent = tx_burst(port, queue, queue_address(out, TX), ready)
            core.tx_packets += sent
            work += sent
            if sent == ready:
                set_queue_count(out, TX, i64(0))
                core.tx_stalled = 0
            else:
                remove_front(out, TX, sent)
                core.tx_stalled = 0 if sent > 0 else i64(core.tx_stalled) + 1
        dropped = queue_count(out, DROP)
        if dropped > 0:
            free_bulk(pool, queue_address(out, DROP), dropped)
            set_queue_count(out, DROP, i64(0))
        if work + n > 0:
            idle = i64(0)
            core.busy_cycles += rdtsc() - now
        else:
            core.idle_turns += 1
            idle += 1
            wait(i64(core.idle_policy), idle, i64(core.idle_after))


@entry
def finish(out, tries):
    """Send what is queued, trying *tries* times; then free that, every other queue and the spare mbufs."""
    core = record_at(out, CORE)
    port, queue, pool = i64(core.port), i64(core.queue), i64(core.pool)
    for _ in range(tries):
        ready = queue_count(out, TX)
        if ready == 0:
            break
        sent = tx_burst(port, queue, queue_address(out, TX), ready)
        core.tx_packets += sent
        remove_front(out, TX, sent)
    core.tx_unsent += queue_count(out, TX)
    for verdict in range(DROP, 8):
        free_bulk(pool, queue_address(out, verdict), queue_count(out, verdict))
        set_queue_count(out, verdict, i64(0))
    free_bulk(pool, i64(core.spare), i64(core.spare_count))
    core.spare_count = 0
'''


@dataclass
class Code:
    """The loop of a pipeline, and what its arguments and counters mean."""

    operators: list[Operator] = field(default_factory=list)
    arms: list[tuple[str, str]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    ticks: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    packets: list[str] = field(default_factory=list)


class Generator:
    """Walks the steps once, checking them and writing the loop. PipelineError for every mistake."""

    def __init__(self, steps: Sequence[Any], resources: Iterable[str]) -> None:
        self.code = Code()
        self._stages = 0
        self._resources = tuple(resources)
        self._open_loop(first=True)
        self._steps(steps, 3, set(), top=True)
        self._line(3, "core.end += 1")
        self._line(3, "leave(out, DROP, mbuf)")

    def _line(self, depth: int, text: str) -> None:
        self.code.packets.append(_INDENT * depth + text)

    def _open_loop(self, *, first: bool) -> None:
        if first:
            self._line(2, "for i in range(n):")
            self._line(3, "prefetch(data(load64(burst + i * 8)))")
        else:
            self._line(3, "store64(burst + live * 8, mbuf)")
            if self._stages > 1:
                self._line(3, "if live != i:")
                self._line(4, "metas[live] = metas[i]")
            self._line(3, "live += 1")
            self._line(2, "left_over = live")
        self._stages += 1
        self._line(2, "live = i64(0)")
        self._line(2, f"for i in range({'n' if first else 'left_over'}):")
        self._line(3, "mbuf = load64(burst + i * 8)")
        self._line(3, "pkt = data(mbuf)")
        self._line(3, "length = data_len(mbuf)")
        self._line(3, "meta = metas[live]" if first else "meta = metas[i]")
        if first:
            self._line(3, "core.rx_bytes += pkt_len(mbuf)")

    def _steps(self, steps: Sequence[Any], depth: int, written: set[str], *, top: bool) -> set[str]:
        for step in steps:
            if isinstance(step, Operator):
                self._operator(step, depth, written)
            elif isinstance(step, GroupBy):
                written = self._group(step, depth, written)
            elif isinstance(step, Stage):
                if not top:
                    raise PipelineError("Stage() stands inside a GroupBy arm; stages are for whole bursts: move it out")
                self._open_loop(first=False)
            else:
                raise PipelineError(f"{step!r} is no step; steps are operators, GroupBy(...) and Stage()")
        return written

    def _operator(self, step: Operator, depth: int, written: set[str]) -> None:
        check_arguments(step, self._resources)
        for name in step.reads:
            if name not in written:
                raise PipelineError(f"{step.name} reads {name!r}, which nothing upstream writes{nearest(name, written)}")
        self._declare(step.name, step.writes)
        written.update(f[0] for f in step.writes)
        k = len(self.code.operators)
        self.code.operators.append(step)
        given = {"state": f"s{k}[0]", "burst": "burst + n * 8", "room": "BURST - n"}
        arguments = ", ".join(given.get(a, a) for a in step.arguments)
        call = f"op{k}_{step.name}({arguments})"
        if step.kind == "tick":
            self.code.ticks.append(f"{_INDENT * 2}work += {call}")
        elif step.kind == "source":
            self.code.sources.append(f"{_INDENT * 2}n += {call}")
        else:
            self._line(depth, f"v = {call}")
            self._line(depth, "if v != NEXT:")
            self._line(depth + 1, f"left[{k}, v & {len(NAMES) - 1}] += 1")
            self._line(depth + 1, "leave(out, v, mbuf)")
            self._line(depth + 1, "continue")

    def _declare(self, owner: str, fields: Sequence[Field]) -> None:
        for name, dtype, *shape in fields:
            kind = np.dtype((dtype, *shape) if shape else dtype)
            if self.code.meta.setdefault(name, kind) != kind:
                raise PipelineError(f"{owner} writes {name!r} as {kind}; another operator writes it as {self.code.meta[name]}")

    def _group(self, group: GroupBy, depth: int, written: set[str]) -> set[str]:
        if group.key not in written:
            raise PipelineError(f"GroupBy({group.key!r}): nothing upstream writes {group.key!r}{nearest(group.key, written)}")
        limits = np.iinfo(self.code.meta[group.key]) if self.code.meta[group.key].kind in "iu" else None
        if limits is None:
            raise PipelineError(f"GroupBy({group.key!r}): the field is {self.code.meta[group.key]}, not an integer")
        word, merged = "if", []
        for value, arm in group.arms.items():
            if isinstance(value, bool) or not isinstance(value, int) or not limits.min <= value <= limits.max:
                raise PipelineError(f"GroupBy({group.key!r}): {value!r} is no value of a {self.code.meta[group.key].name}")
            self._line(depth, f"{word} i64(meta.{group.key}) == {value}:")
            merged.append(self._arm(group.key, str(value), arm, depth + 1, set(written)))
            word = "elif"
        if group.arms:
            self._line(depth, "else:")
        else:
            self._line(depth, "if True:")
        merged.append(self._arm(group.key, "otherwise", group.otherwise, depth + 1, set(written)))
        falling = [m for m in merged if m is not None]
        return set.intersection(*falling) if falling else written

    def _arm(self, key: str, value: str, arm: Sequence[Any] | int, depth: int, written: set[str]) -> set[str] | None:
        k = len(self.code.arms)
        self.code.arms.append((key, value))
        self._line(depth, f"arms[{k}] += 1")
        if not isinstance(arm, int):
            return self._steps(arm, depth, written, top=False)
        if not NEXT < arm < len(NAMES):
            raise PipelineError(f"GroupBy({key!r}): {arm} is no verdict")
        self._line(depth, f"leave(out, i64({arm}), mbuf)")
        self._line(depth, "continue")
        return None

    def source(self, name: str, driver: str, kernels: str) -> str:
        """The module's text, for devices whose compiled calls are in *driver* and operators' kernels in *kernels*."""
        code = self.code
        states = [f"s{k}" for k, o in enumerate(code.operators) if o.state_dtype is not None]
        parameters = ", ".join(["metas", "left", "arms", *states, *self._resources])
        imports = ", ".join(f"op{k}_{o.name}" for k, o in enumerate(code.operators))
        head = _HEAD.format(name=name, driver=driver, kernels=kernels, imports=imports, parameters=parameters)
        body = [*code.ticks, _RECEIVE.rstrip("\n"), *code.sources, *code.packets, _TAIL]
        return head + "\n".join(body)


def meta_dtype(fields: Mapping[str, Any]) -> np.dtype:
    """The dtype of one packet's metadata: the union of what the operators write, padded to whole 64-byte lines when larger than one."""
    dtype = np.dtype(list(fields.items()) or [("nothing", "u1")], align=True)
    size = dtype.itemsize if dtype.itemsize <= 64 else -(-dtype.itemsize // 64) * 64
    return np.dtype(
        {
            "names": dtype.names,
            "formats": [dtype.fields[n][0] for n in dtype.names],  # type: ignore[index,union-attr]
            "offsets": [dtype.fields[n][1] for n in dtype.names],  # type: ignore[index,union-attr]
            "itemsize": max(size, 64) if dtype.itemsize > 32 else size,
        }
    )
