"""A bounded ring of mbuf addresses from one producer to one consumer, each perhaps on a core of its own.

Layout: one cache line of constants, one that the producer writes, one that the consumer writes, then the slots. `tail` and
`head` count everything ever pushed and popped; each side remembers where it last saw the other, so that the other's line is
read only when the ring looks full or empty (as in DPDK's rte_ring and in Lee et al., "A Lock-Free, Cache-Efficient
Shared Ring Buffer", ANCS 2009).
"""

from __future__ import annotations

import numpy as np

from dpdk_io.errors import UsageError
from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, load64, load_acquire, store64, store_release

RING = np.dtype(
    {
        "names": ["mask", "tail", "head_seen", "refused", "head", "tail_seen"],
        "formats": ["i8"] * 6,
        "offsets": [0, 64, 72, 80, 128, 136],
        "itemsize": 192,
    }
)
_MASK, _TAIL, _HEAD_SEEN, _REFUSED, _HEAD, _TAIL_SEEN, _SLOTS = 0, 64, 72, 80, 128, 136, 192


def check_capacity(capacity: int) -> None:
    """Raise UsageError unless a ring can hold *capacity* packets."""
    if capacity < 1 or capacity & (capacity - 1):
        raise UsageError(f"a ring holds a power of two of packets, not {capacity}: use {1 << max(capacity, 1).bit_length()}")


class Ring:
    """The memory of one ring; `address` is what the kernels take. It must outlive every thread that uses it."""

    def __init__(self, capacity: int) -> None:
        """Room for *capacity* addresses, a power of two; UsageError otherwise."""
        check_capacity(capacity)
        self.capacity = capacity
        self._memory = aligned(_SLOTS + 8 * capacity, np.uint8)
        self.address: int = self._memory.ctypes.data
        self._header = np.asarray(self._memory[:_SLOTS]).view(RING)
        self._header["mask"] = capacity - 1

    def counts(self) -> dict[str, int]:
        """`pushed` and `popped` so far, and `refused`: pushes that found the ring full."""
        header = self._header[0]
        return {"pushed": int(header["tail"]), "popped": int(header["head"]), "refused": int(header["refused"])}

    def __len__(self) -> int:
        counts = self.counts()
        return counts["pushed"] - counts["popped"]


@kernel
def _room(ring, tail, n):
    """Free slots, at most *n* where that is enough to know; the consumer's line is read only if *n* do not fit for sure."""
    capacity = load64(ring + _MASK) + 1
    room = capacity - (tail - load64(ring + _HEAD_SEEN))
    if room < n:
        head = load_acquire(ring + _HEAD)
        store64(ring + _HEAD_SEEN, head)
        room = capacity - (tail - head)
    return min(n, room)


@kernel
def push(ring, mbuf):
    """Append *mbuf*; False when the ring is full, and it then still belongs to the caller."""
    tail = load64(ring + _TAIL)
    if _room(ring, tail, 1) < 1:
        store64(ring + _REFUSED, load64(ring + _REFUSED) + 1)
        return False
    store64(ring + _SLOTS + ((tail & load64(ring + _MASK)) << 3), mbuf)
    store_release(ring + _TAIL, tail + 1)
    return True


@kernel
def push_burst(ring, mbufs, n):
    """Append as many of the *n* addresses at *mbufs* as fit, in order; how many."""
    tail = load64(ring + _TAIL)
    mask = load64(ring + _MASK)
    fit = _room(ring, tail, n)
    for i in range(fit):
        store64(ring + _SLOTS + (((tail + i) & mask) << 3), load64(mbufs + (i << 3)))
    store_release(ring + _TAIL, tail + fit)
    if fit < n:
        store64(ring + _REFUSED, load64(ring + _REFUSED) + n - fit)
    return fit


@kernel
def pop_burst(ring, mbufs, n):
    """Move up to *n* addresses to the 64-bit words at *mbufs*, oldest first; how many."""
    head = load64(ring + _HEAD)
    there = load64(ring + _TAIL_SEEN) - head
    if there < n:
        tail = load_acquire(ring + _TAIL)
        store64(ring + _TAIL_SEEN, tail)
        there = tail - head
    mask = load64(ring + _MASK)
    count = min(n, there)
    for i in range(count):
        store64(mbufs + (i << 3), load64(ring + _SLOTS + (((head + i) & mask) << 3)))
    if count > 0:
        store_release(ring + _HEAD, head + count)
    return count
