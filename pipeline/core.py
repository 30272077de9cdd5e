"""One core's instance of a pipeline on one queue pair of one port: its memory, and turns of its compiled loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dpdk_io.clock import cycles, hertz
from dpdk_io.idle import POLICIES
from dpdk_io.mbuf import frame, header
from dpdk_io.memory import aligned
from pipeline.outbox import BURST, CORE, DROPS, QUEUE, SPARE
from pipeline.pipeline import Pipeline
from pipeline.verdicts import DROP, NAMES, SLOW, TX

_SEND_TRIES = 1000


class Core:
    """A pipeline bound to queue *queue* of *port*. `index` is which of the run's cores it is, from 0; resources are made with it.

    callbacks: verdict (SLOW, USER0...) -> function of the frame's bytes (uint8 array, valid during the call), called between slices.
    """

    def __init__(
        self, pipeline: Pipeline, port: Any, queue: int, index: int = 0, *, idle: str = "yield", idle_after: int = 256,
        callbacks: dict[int, Callable[[np.ndarray], None]] | None = None, inject: Callable[[], bytes | None] | None = None,
    ) -> None:  # fmt: skip
        self.pipeline = pipeline
        self.index = index
        self.callbacks = callbacks or {}
        self._inject = inject
        self._port = port
        self._burst = aligned(BURST, "i8")
        self._queues = aligned(len(NAMES) * 2 * QUEUE, "i8")
        self._spare = aligned(2 * SPARE, "i8")
        self.record = aligned(1, CORE)[0]
        self._address = self.record.__array_interface__["data"][0]
        self.record.port, self.record.queue, self.record.pool = port.handle, queue, port.pool(queue)
        self.record.burst = self._burst.ctypes.data
        self.record.queues = self._queues.ctypes.data
        self.record.spare = self._spare.ctypes.data
        self.record.idle_policy = POLICIES[idle]
        self.record.idle_after = idle_after
        self.left = np.zeros((max(1, len(pipeline.operators)), len(NAMES)), np.int64)
        self.arms = np.zeros(max(1, len(pipeline.code.arms)), np.int64)
        self.states = {k: s for k, o in enumerate(pipeline.operators) if (s := o.new_state()) is not None}
        self.resources = {n: r(index) if callable(r) else r for n, r in pipeline.resources.items()}
        self._metas = aligned(BURST, pipeline.meta_dtype)
        self._arguments = (self._metas, self.left, self.arms, *self.states.values(), *map(_argument, self.resources.values()))
        self._run: Any = None
        self._finish: Any = None

    def compile(self) -> None:
        """Build the loop, or load it from disk; the loop is entered and left without a turn."""
        module = self.pipeline.generated(self._port.driver).load()
        self._run, self._finish = module.poll, module.finish
        self.record.stop = 1
        self._run(self._address, 0, 0, *self._arguments)
        self._finish(self._address, 0)
        self.record.stop = 0

    def poll(self, seconds: float, slow_after: float = 0.001) -> None:
        """Run the loop for *seconds*, or until stopped; after *slow_after* seconds it comes back for packets that Python is to handle."""
        now = cycles()
        rate = hertz()
        self._run(self._address, now + int(seconds * rate), now + int(slow_after * rate), *self._arguments)
        self._handle_slow()
        if self._inject is not None:
            self._inject_frames()

    def _handle_slow(self) -> None:
        for verdict in range(SLOW, len(NAMES)):
            count = int(self.record.queued[verdict])
            if count:
                start = verdict * 2 * QUEUE
                self._hand_over(verdict, self._queues[start : start + count])
                self.record.queued[verdict] = 0

    def _hand_over(self, verdict: int, mbufs: np.ndarray) -> None:
        callback = self.callbacks.get(verdict)
        if callback is not None:
            for mbuf in mbufs.tolist():
                callback(frame(mbuf))
        drops = int(self.record.queued[DROP])
        start = DROP * 2 * QUEUE + drops
        self._queues[start : start + len(mbufs)] = mbufs
        self.record.queued[DROP] = drops + len(mbufs)

    def _inject_frames(self) -> None:
        """Frames from outside (a kernel-side interface) into the port's send queue."""
        while self.record.spare_count > SPARE // 2 and self.record.queued[TX] < QUEUE:
            data = self._inject() if self._inject else None
            if not data:
                return
            self._emit(data)

    def _emit(self, data: bytes) -> None:
        self.record.spare_count -= 1
        mbuf = int(self._spare[self.record.spare_count])
        fields = header(mbuf)
        fields.data_len = fields.pkt_len = len(data)
        frame(mbuf)[:] = np.frombuffer(data, np.uint8)
        self._queues[TX * 2 * QUEUE + int(self.record.queued[TX])] = mbuf
        self.record.queued[TX] += 1

    def stop(self) -> None:
        """Make the loop return at its next turn. Safe from any thread."""
        self.record.stop = 1

    def finish(self) -> None:
        """After the run: let what is queued be sent, free what is not (counted as tx_unsent), and the spare mbufs."""
        self._finish(self._address, _SEND_TRIES)

    def counters(self) -> dict[str, int]:
        """The loop's own counters, by name."""
        names = ("rx_packets", "rx_bytes", "tx_packets", "turns", "idle_turns", "busy_cycles", *DROPS)
        return {name: int(self.record[name]) for name in names}

    def drops(self) -> dict[str, int]:
        """Every packet the loop lost or an operator dropped, by a name that says who and why."""
        found = {name: int(self.record[name]) for name in DROPS}
        for k, step in enumerate(self.pipeline.operators):
            for reason in step.drops:
                _add(found, f"{step.name}.{reason}", int(self.states[k][reason][0]))
            if not step.drops:
                _add(found, step.name, int(self.left[k, DROP]))
        return found


def _add(counters: dict[str, int], name: str, count: int) -> None:
    counters[name] = counters.get(name, 0) + count


def _argument(resource: Any) -> Any:
    """What compiled code gets of a resource: objects that wrap a record give its address."""
    return getattr(resource, "address", resource)
