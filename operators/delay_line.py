"""Packets that are held until their time has come: a binary heap by time, packets of the same time in the order they came."""

from __future__ import annotations

import numpy as np

from dpdk_io.clock import hertz
from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64, load64, record_at, store64

CAPACITY = 8192
"""Packets a core holds unless told otherwise."""

LINE = np.dtype([(name, "i8") for name in ("core", "entries", "held", "capacity", "number", "latest")] + [("hertz", "f8")])
"""entries: the heap's address; number: of the next packet; latest: the latest time any packet was held for."""

_AT, _NUMBER, _MBUF, _SIZE = 0, 8, 16, 24


class DelayLine:
    """The packets that one core holds, *capacity* at most. `address` is what operators take as the resource `delay_line`:
    `resources={"delay_line": DelayLine}` makes each core its own."""

    def __init__(self, core: int = 0, capacity: int = CAPACITY, rate: float | None = None) -> None:
        """*rate*: cycles in a second, for tests that have a clock of their own."""
        self._entries = aligned(capacity * _SIZE // 8, np.int64)
        self._line = aligned(1, LINE)
        self.record = self._line[0]
        self.record.core, self.record.capacity, self.record.hertz = core, capacity, rate or hertz()
        self.record.entries = self._entries.ctypes.data
        self.address: int = self._line.ctypes.data

    def __len__(self) -> int:
        return int(self.record.held)

    def take_held(self) -> list[int]:
        """The mbufs that are still held, which are the caller's then. While no core runs."""
        mbufs = self._entries.reshape(-1, _SIZE // 8)[: len(self), _MBUF // 8].tolist()
        self.record.held = 0
        return mbufs


@kernel
def hold(line, at, mbuf):
    """Hold *mbuf* until *at* (cycles). False when the line is full, and the packet still belongs to the caller."""
    record = record_at(line, LINE)
    k = i64(record.held)
    if k >= i64(record.capacity):
        return False
    heap = i64(record.entries)
    while k > 0:
        parent = heap + (k - 1) // 2 * _SIZE
        if load64(parent + _AT) <= at:
            break
        _move(heap + k * _SIZE, parent)
        k = (k - 1) // 2
    store64(heap + k * _SIZE + _AT, at)
    store64(heap + k * _SIZE + _NUMBER, i64(record.number))
    store64(heap + k * _SIZE + _MBUF, mbuf)
    record.number += 1
    record.held += 1
    record.latest = max(i64(record.latest), at)
    return True


@kernel
def next_due(line, now):
    """Take out the packet whose time came first, if it has come at *now*; else 0."""
    record = record_at(line, LINE)
    heap = i64(record.entries)
    if i64(record.held) == 0 or load64(heap + _AT) > now:
        return i64(0)
    mbuf = load64(heap + _MBUF)
    left = i64(record.held) - 1
    record.held = left
    _sink(heap, left, heap + left * _SIZE)
    return mbuf


@kernel
def _sink(heap, count, entry):
    """Put *entry* into the root's place, or as far below it as it belongs among the *count* entries."""
    k = i64(0)
    child = i64(1)
    while child < count:
        lower = heap + child * _SIZE
        if child + 1 < count and _before(lower + _SIZE, lower):
            child += 1
            lower += _SIZE
        if _before(entry, lower):
            break
        _move(heap + k * _SIZE, lower)
        k = child
        child = 2 * k + 1
    _move(heap + k * _SIZE, entry)


@kernel
def _before(one, other):
    """Does entry *one* leave first?"""
    at, other_at = load64(one + _AT), load64(other + _AT)
    return at < other_at or (at == other_at and load64(one + _NUMBER) < load64(other + _NUMBER))


@kernel
def _move(target, source):
    store64(target + _AT, load64(source + _AT))
    store64(target + _NUMBER, load64(source + _NUMBER))
    store64(target + _MBUF, load64(source + _MBUF))
