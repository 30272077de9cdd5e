"""The embedded mempool: mbufs in one block of numpy memory, a stack of free ones for all cores and a cache for each.

Both are last-in first-out, so that the mbufs in use stay in the processor's caches however large the pool is. An mbuf may be
freed on another core than it was allocated on. Reference counts above one are not supported: nothing here shares an mbuf.
"""

from __future__ import annotations

import numpy as np

from dpdk_io import mbuf as mb
from dpdk_io import requirements
from dpdk_io.errors import UsageError
from dpdk_io.idle import sched_yield
from dpdk_io.jit import kernel, rare
from dpdk_io.memory import aligned, copy_many, exchange, load64, store64, store_release

STRIDE = 37 * 64
"""Bytes from one mbuf to the next: header, headroom and data room, and one line more. The odd number of cache lines makes the
headers of neighbours fall into different sets of the L1 cache, where 36 lines would use a quarter of them."""
assert mb.MBUF.itemsize + mb.HEADROOM + mb.DATA_ROOM <= STRIDE

_LOCK, _FREE, _STACK = 0, 8, 64
_SHARED, _KEEP, _COUNT, _SLOTS = 0, 8, 16, 64


class Mempool:
    """*count* mbufs and one cache per core, which keeps at most twice *cache_size* mbufs from the others."""

    def __init__(self, count: int, cores: int, cache_size: int = 128) -> None:
        if count < 1 or cores < 1 or cache_size < 0:
            raise UsageError(
                f"a mempool of {count} mbufs, {cores} cores, cache {cache_size} is impossible: use at least 1, 1 and 0"
            )
        requirements.memory(f"{count} mbufs", count * STRIDE)
        self.count = count
        self._block = aligned(count * STRIDE, np.uint8)
        addresses = self._block.ctypes.data + STRIDE * np.arange(count, dtype=np.int64)
        self._shared = aligned(_STACK // 8 + count, np.int64)
        self._shared[_FREE // 8] = count
        self._shared[_STACK // 8 :] = addresses[::-1]
        self._caches = [self._cache(cache_size) for _ in range(cores)]
        self._format(addresses)

    def _cache(self, size: int) -> np.ndarray:
        cache = aligned(_SLOTS // 8 + self.count, np.int64)
        cache[_SHARED // 8] = self._shared.ctypes.data
        cache[_KEEP // 8] = size
        return cache

    def _format(self, addresses: np.ndarray) -> None:
        rows = np.asarray(self._block).reshape(self.count, STRIDE)
        headers = np.ndarray(self.count, mb.MBUF, rows.data, strides=(STRIDE,))
        headers["buf_addr"] = addresses + mb.MBUF.itemsize
        headers["data_off"] = mb.HEADROOM
        headers["refcnt"] = 1
        headers["nb_segs"] = 1
        headers["buf_len"] = mb.HEADROOM + mb.DATA_ROOM

    def pool(self, core: int) -> int:
        """What `alloc_bulk` and `free_bulk` take on the *core*-th core, and on no other."""
        return self._caches[core].ctypes.data

    def available(self) -> int:
        """Free mbufs, those in the caches included; exact when no core is running."""
        return int(self._shared[_FREE // 8]) + sum(int(cache[_COUNT // 8]) for cache in self._caches)


@kernel
def _lock(shared):
    while exchange(shared + _LOCK, 1) != 0:
        sched_yield()


@rare
def _refill(cache, count, n):
    """Take from the stack what is missing for *n*, and a cacheful more; the cache's new count."""
    shared = load64(cache + _SHARED)
    _lock(shared)
    free = load64(shared + _FREE)
    take = min(free, n - count + load64(cache + _KEEP))
    copy_many(cache + _SLOTS + (count << 3), shared + _STACK + ((free - take) << 3), take << 3)
    store64(shared + _FREE, free - take)
    store_release(shared + _LOCK, 0)
    store64(cache + _COUNT, count + take)
    return count + take


@rare
def _flush(cache, count, keep):
    """Give all but *keep* of the cache's *count* mbufs back to the stack."""
    shared = load64(cache + _SHARED)
    _lock(shared)
    free = load64(shared + _FREE)
    copy_many(shared + _STACK + (free << 3), cache + _SLOTS + (keep << 3), (count - keep) << 3)
    store64(shared + _FREE, free + count - keep)
    store_release(shared + _LOCK, 0)
    store64(cache + _COUNT, keep)


@kernel
def alloc_bulk(pool, mbufs, n):
    """Write the addresses of *n* cleared mbufs to the words at *mbufs* and return n, or return 0 when so many are not free."""
    count = load64(pool + _COUNT)
    if count < n:
        count = _refill(pool, count, n)
        if count < n:
            return 0
    first = pool + _SLOTS + ((count - n) << 3)
    for i in range(n):
        fresh = load64(first + (i << 3))
        mb.clear(fresh)
        store64(mbufs + (i << 3), fresh)
    store64(pool + _COUNT, count - n)
    return n


@kernel
def free_bulk(pool, mbufs, n):
    """Give back the *n* mbufs at the words at *mbufs*, every segment of their chains included."""
    count = load64(pool + _COUNT)
    for i in range(n):
        segment = load64(mbufs + (i << 3))
        while segment != 0:
            store64(pool + _SLOTS + (count << 3), segment)
            count += 1
            segment = load64(segment + mb.NEXT)
    store64(pool + _COUNT, count)
    keep = load64(pool + _KEEP)
    if count > 2 * keep:
        _flush(pool, count, keep)


@kernel
def reuse(pool, mbuf):
    """Clear an mbuf that nobody needs any more, as if from `alloc_bulk`. False: it is a chain and must be freed."""
    if not mb.is_lone(mbuf):
        return False
    mb.clear(mbuf)
    return True
