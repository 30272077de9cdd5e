"""A pipeline on several cores: one pinned thread each, started together, stopped together, their counters readable meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dpdk_io.errors import UsageError
from pipeline.core import Core

_SLICE = 0.05
_SHARED_SLICE = 0.0001


class Run:
    """Runs `Core`s, each list of them on the processor given with it, until stopped.

    assignment: (processor, cores that share its thread). attach: a context manager around each polling thread (DPDK wants to know
    them). An exception in a thread stops the run and is raised by `stop`.
    """

    def __init__(
        self, assignment: Sequence[tuple[int, Sequence[Core]]], attach: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        allowed = os.sched_getaffinity(0)
        for processor, _ in assignment:
            if processor not in allowed:
                raise UsageError(f"core {processor} is not available here: choose from {_ranges(allowed)}")
        self._assignment = assignment
        self._attach = attach
        self._stopping = threading.Event()
        self._failed: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._ready = threading.Barrier(len(assignment) + 1)

    @property
    def cores(self) -> list[Core]:
        """All instances, in the order given."""
        return [core for _, cores in self._assignment for core in cores]

    @property
    def running(self) -> bool:
        """Is every thread still polling?"""
        return bool(self._threads) and not self._failed and not self._stopping.is_set()

    def start(self) -> None:
        """Compile in this thread (concurrent cold compiles are not safe), then let all threads go at once."""
        for core in self.cores:
            core.compile()
        for processor, cores in self._assignment:
            thread = threading.Thread(target=self._poll, args=(processor, cores), name=f"poll-{processor}", daemon=True)
            self._threads.append(thread)
            thread.start()
        try:
            self._ready.wait()
        except threading.BrokenBarrierError:
            self.stop()
        except BaseException:
            self._ready.abort()
            self._stop_loops()
            raise

    def _poll(self, processor: int, cores: Sequence[Core]) -> None:
        slice_seconds = _SLICE if len(cores) == 1 else _SHARED_SLICE
        try:
            os.sched_setaffinity(threading.get_native_id(), {processor})
            with self._attach():
                self._ready.wait()
                while not self._stopping.is_set():
                    for core in cores:
                        core.poll(slice_seconds)
        except threading.BrokenBarrierError:
            self._stop_loops()
        except BaseException as error:
            self._failed.append(error)
            self._ready.abort()
            self._stop_loops()

    def _stop_loops(self) -> None:
        self._stopping.set()
        for core in self.cores:
            core.stop()

    def stop(self) -> None:
        """Stop every thread, then send or free what they still hold. Raises what went wrong in one of them. Stopping twice is
        harmless."""
        self._stop_loops()
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()
        if threads:
            for core in self.cores:
                core.finish()
        if self._failed:
            raise self._failed[0]

    def __enter__(self) -> Run:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()


def _ranges(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
