"""One core's instance of a pipeline on one queue pair of one port: its memory, and turns of its compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from dpdk_io.clock import cycles, hertz
from dpdk_io.errors import UsageError
from dpdk_io.idle import POLICIES
from dpdk_io.mbuf import frame, header, tailroom
from dpdk_io.memory import aligned
from pipeline.errors import PipelineError
from pipeline.outbox import BURST, CORE, DROPS, QUEUE, QUEUES, SPARE
from pipeline.pipeline import Pipeline
from pipeline.verdicts import DROP, SLOW, TX, USER0, USER1, USER2

_SEND_TRIES = 1000
_PATIENCE = 0.5
"""Seconds without a packet taken after which a port is given up, until it takes one again."""


class Core:
    """A pipeline bound to queue *queue* of *port*. `index` is which of the run's cores it is, from 0; resources are made with it.

    callbacks: verdict (SLOW, USER0, USER1, USER2) -> function of the frame's bytes (uint8 array, valid during the call), called
    between slices. idle: spin, yield or sleep after idle_after empty turns. inject: called between slices, gives a frame to send
    or None.
    """

    def __init__(
        self, pipeline: Pipeline, port: Any, queue: int, index: int = 0, *, idle: str = "yield", idle_after: int = 256,
        callbacks: dict[int, Callable[[np.ndarray], None]] | None = None, inject: Callable[[], bytes | None] | None = None,
    ) -> None:  # fmt: skip
        self.pipeline = pipeline
        self.index = index
        self.callbacks = _checked(callbacks or {})
        self._inject = inject
        self._port = port
        self._burst = aligned(BURST, "i8")
        self._queues = aligned(QUEUES * 2 * QUEUE, "i8")
        self._spare = aligned(2 * SPARE, "i8")
        self.record = aligned(1, CORE)[0]
        self.address = self.record.__array_interface__["data"][0]
        self.record.port, self.record.queue, self.record.pool = port.handle, queue, port.pool(queue)
        self.record.burst = self._burst.ctypes.data
        self.record.queues = self._queues.ctypes.data
        self.record.spare = self._spare.ctypes.data
        self.record.idle_policy = _policy(idle)
        self.record.idle_after = idle_after
        self.record.tx_patience = int(_PATIENCE * hertz())
        self.left = np.zeros((max(1, len(pipeline.operators)), QUEUES), np.int64)
        self.arms = np.zeros(max(1, len(pipeline.code.arms)), np.int64)
        self.states = {k: s for k, o in enumerate(pipeline.operators) if (s := o.new_state()) is not None}
        self.resources = {n: r(index) if callable(r) else r for n, r in pipeline.resources.items()}
        self._metas = aligned(BURST + 1, pipeline.meta_dtype)
        counters = (self.left.ctypes.data, self.arms.ctypes.data)
        self._arguments = (self._metas, *counters, *self.states.values(), *map(_argument, self.resources.values()))
        self._run: Any = None
        self._finish: Any = None

    @property
    def compiled_before(self) -> bool:
        """Is the loop's machine code on disk?"""
        return self.pipeline.generated(self._port.driver.__name__).compiled_before

    def compile(self) -> None:
        """Build the loop, or load it from disk; the loop is entered and left without a turn."""
        module = self.pipeline.generated(self._port.driver.__name__).load()
        self._run, self._finish = module.poll, module.finish
        self.record.stop = 1
        try:
            self._run(self.address, 0, 0, *self._arguments)
            self._finish(self.address, 0)
        except NumbaError as error:
            raise PipelineError(f"{self.pipeline.name} does not compile: {_reason(error)}") from error
        self.record.stop = 0

    def poll(self, seconds: float, slow_after: float = 0.001) -> None:
        """Run the loop for *seconds*, or until stopped; after *slow_after* seconds it returns for packets Python waits for."""
        now = cycles()
        rate = hertz()
        self._run(self.address, now + int(seconds * rate), now + int(slow_after * rate), *self._arguments)
        self._handle_slow()
        if self._inject is not None:
            self._inject_frames()

    def _handle_slow(self) -> None:
        """Show the callbacks what waits for them; the loop frees it when it is entered again."""
        for verdict in range(SLOW, QUEUES):
            waiting = self.waiting(verdict)
            callback = self.callbacks.get(verdict)
            if callback is None:
                self.record.unhandled += len(waiting)
                continue
            for mbuf in waiting:
                callback(whole_frame(mbuf))

    def _inject_frames(self) -> None:
        """Frames from outside (a kernel-side interface) into the port's send queue."""
        while self.record.spare_count > SPARE // 2 and self.record.queued[TX] < QUEUE:
            data = self._inject() if self._inject else None
            if not data:
                return
            self._emit(data)

    def _emit(self, data: bytes) -> None:
        mbuf = int(self._spare[self.record.spare_count - 1])
        fields = header(mbuf)
        if len(data) > tailroom(mbuf):
            self.record.too_long += 1
            return
        self.record.spare_count -= 1
        fields.data_len = fields.pkt_len = len(data)
        frame(mbuf)[:] = np.frombuffer(data, np.uint8)
        self._queues[TX * 2 * QUEUE + int(self.record.queued[TX])] = mbuf
        self.record.queued[TX] += 1

    def waiting(self, verdict: int) -> list[int]:
        """The mbufs that left with *verdict* (SLOW or a USER's) and will be freed when the loop is entered again."""
        start = verdict * 2 * QUEUE
        return self._queues[start : start + int(self.record.queued[verdict])].tolist()

    def metadata(self, row: int) -> dict[str, Any]:
        """The metadata of a packet by name, as the last turn left it. For tests and debugging."""
        record = self._metas[row]
        return {name: record[name].tolist() for name in self.pipeline.code.meta}

    def stop(self) -> None:
        """Make the loop return at its next turn. Safe from any thread."""
        self.record.stop = 1

    def finish(self) -> None:
        """After the run: let what is queued be sent, free what is not (counted as tx_unsent), the spare mbufs, and those that
        resources hold (counted as left_held)."""
        self._finish(self.address, _SEND_TRIES)
        held = [mbuf for resource in self.resources.values() for mbuf in getattr(resource, "take_held", list)()]
        self.record.left_held += len(held)
        for first in range(0, len(held), QUEUE):
            some = held[first : first + QUEUE]
            self._queues[DROP * 2 * QUEUE :][: len(some)] = some
            self.record.queued[DROP] = len(some)
            self._finish(self.address, 0)

    def counters(self) -> dict[str, int]:
        """The loop's own counters, by name."""
        names = ("rx_packets", "rx_bytes", "tx_packets", "turns", "idle_turns", "busy_cycles", *DROPS)
        return {name: int(self.record[name]) for name in names}

    def drops(self) -> dict[str, int]:
        """Every packet the loop lost, or an operator or an arm of a GroupBy dropped, by a name that says who and why."""
        found = {name: int(self.record[name]) for name in DROPS}
        for k, step in enumerate(self.pipeline.operators):
            for reason in step.drops:
                _add(found, f"{step.name}.{reason}", int(self.states[k][reason][0]))
            if not step.drops and step.kind == "packet":
                _add(found, step.name, int(self.left[k, DROP]))
        for k, arm in enumerate(self.pipeline.code.arms):
            if arm.verdict == DROP:
                _add(found, f"{arm.key}.{arm.value}", int(self.arms[k]))
        return found


def _add(counters: dict[str, int], name: str, count: int) -> None:
    counters[name] = counters.get(name, 0) + count


def _argument(resource: Any) -> Any:
    """What compiled code gets of a resource: objects that wrap a record give its address."""
    return getattr(resource, "address", resource)


def _checked(callbacks: dict[int, Callable[[np.ndarray], None]]) -> dict[int, Callable[[np.ndarray], None]]:
    for verdict in callbacks:
        if verdict not in (SLOW, USER0, USER1, USER2):
            raise UsageError(f"callback for {verdict!r}: only SLOW, USER0, USER1 and USER2 bring packets to Python")
    return callbacks


def _policy(idle: str) -> int:
    if idle not in POLICIES:
        raise UsageError(f"idle policy {idle!r}; there are {', '.join(POLICIES)}")
    return POLICIES[idle]


def whole_frame(mbuf: int) -> np.ndarray:
    """The frame without a copy, or, when it is spread over segments, put together."""
    segments = [frame(mbuf)]
    while mbuf := int(header(mbuf).next):
        segments.append(frame(mbuf))
    return segments[0] if len(segments) == 1 else np.concatenate(segments)


def _reason(error: NumbaError) -> str:
    """What numba found wrong and where, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File ")]
    reasons = [line for line in lines if not line.startswith(("File ", "During: ", "Failed in ", "- ", "* "))]
    return f"{reasons[0] if reasons else error} ({places[0].rstrip(':') if places else 'in generated code'})"
