"""A bench with `impair` whose clock only the test moves, and the slow model of what `impair` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from operators.delay_line import DelayLine
from operators.impair import COUNTERS, delayed, impair
from operators.to_kernel import to_kernel
from pipeline.testing import Bench, Outcome

HERTZ = 1e15
"""So fast a clock that the cycles which really pass are fractions of a microsecond."""
DEFAULTS = {name: default for name, (_, default) in impair.params.items()}
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Bad:
    """A bad network with the parameters of `impair`; what it lets through comes out as "slow"."""

    def __init__(self) -> None:
        self.line = DelayLine(capacity=600, rate=HERTZ)
        self.bench = Bench([delayed, impair, to_kernel], resources={"delay_line": lambda core: self.line})

    @property
    def state(self) -> Any:
        return self.bench.core.states[1][0]

    def reset(self, core: int = 0, capacity: int = 600, **params: float) -> None:
        """Empty, as new, with *params*."""
        self.line.record.held = 0
        self.line.record.latest = 0
        self.line.record.core, self.line.record.capacity = core, capacity
        for name in self.state.dtype.names:
            self.state[name] = {**DEFAULTS, **params}.get(name, 0)
        self.bench.core.record.left_held = 0

    def counters(self) -> dict[str, int]:
        """Those that are not zero, but for `seen`."""
        return {name: count for name in COUNTERS[1:] if (count := int(self.state[name]))}

    def send(self, *frames: bytes, turns: int = 0, burst: int = 1) -> list[Outcome]:
        return self.bench.run(frames, burst=burst, turns=turns)

    def passed(self, *frames: bytes, turns: int = 0) -> list[bytes]:
        """The frames that come through, in order."""
        return [o.frame for o in self.send(*frames, turns=turns) if o.verdict == "slow"]

    def advance(self, seconds: float) -> None:
        """Let time pass, without a turn."""
        passed = int(seconds * HERTZ)
        self.line._entries.reshape(-1, 3)[: len(self.line), 0] -= passed
        self.line.record.latest -= passed
        self.state.free_at -= passed


def _mix(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
    return word ^ word >> 31


@dataclass
class Model:
    """What `impair` must do, step by step, with a list for a delay line."""

    params: dict[str, float]
    capacity: int
    core: int = 0
    now: float = 0.0
    free_at: float = 0.0
    held: list[tuple[float, int, bytes]] = field(default_factory=list)
    numbers: int = 0
    seen: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> float:
        return {**DEFAULTS, **self.params}[name]

    def _count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1

    def _draw(self, kind: int) -> float:
        base = _mix(_mix(int(self.seed)) + self.core & _MASK) + (self.seen - 1) * 8 * _GOLDEN
        return (_mix(base + kind * _GOLDEN & _MASK) >> 11) / 2**53

    def receive(self, frame: bytes) -> bytes | None:
        """What goes on of *frame* at once."""
        self.seen += 1
        if self._draw(0) < self.loss:
            self._count("lost")
            return None
        if self._draw(1) < self.corrupt:
            self._count("corrupted")
            bit = int(self._draw(2) * (len(frame) - 12) * 8)
            frame = frame[: 12 + bit // 8] + bytes([frame[12 + bit // 8] ^ 1 << bit % 8]) + frame[13 + bit // 8 :]
        if self._draw(3) < self.duplicate:
            self._count("duplicated")
            if self._carry(frame, 2):
                self._hold(self.now, frame)
        return frame if self._carry(frame, 0) else None

    def _carry(self, frame: bytes, shift: int) -> bool:
        if self._draw(4 + shift) < self.reorder:
            if self.held:
                self._count("reordered")
            return True
        at = self.now
        if self.rate:
            start = max(at, self.free_at)
            if start > at and (start - at) * self.rate / 8 + len(frame) > self.queue:
                self._count("queue_full")
                return False
            at = self.free_at = start + len(frame) * 8 / self.rate
        at += self.delay + self.jitter * (2 * self._draw(5 + shift) - 1)
        if at == self.now:
            return True
        self._hold(at, frame)
        return False

    def _hold(self, at: float, frame: bytes) -> None:
        if len(self.held) >= self.capacity:
            self._count("line_full")
            return
        if self.held and at < max(self.held)[0]:
            self._count("reordered")
        self.numbers += 1
        self.held.append((at, self.numbers, frame))

    def due(self) -> list[bytes]:
        """What has come through by now."""
        due = sorted(entry for entry in self.held if entry[0] <= self.now)
        self.held = [entry for entry in self.held if entry not in due]
        return [frame for _, _, frame in due]
