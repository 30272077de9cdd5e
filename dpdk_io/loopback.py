"""The embedded device: what is sent on queue i is received on queue i, in this process, without DPDK or privileges.

With *scatter* a flow's packets arrive on whichever queue a hash of its addresses and ports says: a device that spreads what it
receives and cannot be told how. Two devices made by `pair` are the ends of one cable instead of each its own.
"""

from __future__ import annotations

import numpy as np

from dpdk_io import mbuf as mb
from dpdk_io.jit import kernel
from dpdk_io.memory import add64, aligned, load32, load64, mul64, shr64, store64
from dpdk_io.mempool import Mempool, alloc_bulk, free_bulk, reuse
from dpdk_io.ring import Ring, pop_burst, push, push_burst

__all__ = ["Loopback", "alloc_bulk", "free_bulk", "pair", "reuse", "rx_burst", "tx_burst"]

_FAN, _QUEUES = 0, 64
_TX, _RX, _TURN, _QUEUE_BITS = 0, 8, 16, 6
_ADDRESSES, _PORTS, _KEY_END = 26, 34, 38
_GOLDEN = -7046029254386353131


class Loopback:
    """One device of *n_queues* queue pairs; its rings and mbufs live as long as this object."""

    def __init__(
        self,
        n_queues: int,
        *,
        ring_size: int = 4096,
        mempool: Mempool | None = None,
        first_core: int = 0,
        mbuf_cnt: int = 16384,
        cache_size: int = 128,
        scatter: bool = False,
    ) -> None:
        """Rings of *ring_size* packets (a power of two), and mbufs: *mbuf_cnt* of its own, or the caches from *first_core* on of
        a *mempool* that another device uses too."""
        self.n_queues = n_queues
        self._first_core = first_core
        self.mempool = mempool or Mempool(mbuf_cnt, n_queues, cache_size)
        self._fan = n_queues if scatter else 1
        self._sent = [[Ring(ring_size) for _ in range(self._fan)] for _ in range(n_queues)]
        self._received = self._sent
        self._wire()

    def _wire(self) -> None:
        """Lay the rings' addresses out for the kernels: per queue those it sends into, then those it receives from."""
        fan = self._fan
        self._tables = [aligned(2 * fan, np.int64) for _ in range(self.n_queues)]
        self._memory = aligned(_QUEUES // 8 + (self.n_queues << _QUEUE_BITS) // 8, np.int64)
        self._memory[_FAN // 8] = fan
        for queue, table in enumerate(self._tables):
            table[:fan] = [ring.address for ring in self._sent[queue]]
            table[fan:] = [rings[queue].address for rings in self._received] if fan > 1 else self._received[queue][0].address
            entry = (_QUEUES + (queue << _QUEUE_BITS)) // 8
            self._memory[entry + _TX // 8] = table.ctypes.data
            self._memory[entry + _RX // 8] = table.ctypes.data + 8 * fan

    def connect(self, other: Loopback) -> None:
        """Make what this device sends the other's to receive, and the reverse."""
        self._received, other._received = other._sent, self._sent
        self._wire()
        other._wire()

    @property
    def handle(self) -> int:
        """What `rx_burst` and `tx_burst` take as port."""
        return self._memory.ctypes.data

    def pool(self, queue: int) -> int:
        """The mempool as the core of *queue* sees it."""
        return self.mempool.pool(self._first_core + queue)

    def free_mbufs(self) -> int:
        """Mbufs nobody holds."""
        return self.mempool.available()

    def stats(self) -> dict[str, int]:
        """`rx_packets`, `tx_packets`, and `tx_full`: packets that found the ring full and stayed with the sender."""
        sent = [ring.counts() for rings in self._sent for ring in rings]
        received = [ring.counts() for rings in self._received for ring in rings]
        return {
            "rx_packets": sum(c["popped"] for c in received),
            "tx_packets": sum(c["pushed"] for c in sent),
            "tx_full": sum(c["refused"] for c in sent),
        }

    def close(self) -> None:
        """Nothing is held but memory."""


def pair(
    n_queues: int, *, ring_size: int = 4096, mbuf_cnt: int = 16384, cache_size: int = 128, scatter: bool = False
) -> tuple[Loopback, Loopback]:
    """Two devices at the ends of one cable; options as for `Loopback`. They share the mbufs, and each has caches of its own."""
    mempool = Mempool(mbuf_cnt, 2 * n_queues, cache_size)
    near = Loopback(n_queues, ring_size=ring_size, mempool=mempool, scatter=scatter)
    far = Loopback(n_queues, ring_size=ring_size, mempool=mempool, first_core=n_queues, scatter=scatter)
    near.connect(far)
    return near, far


@kernel
def _flow_hash(mbuf):
    """A number by the twelve bytes where an IPv4 header without options has its addresses and a TCP header its ports."""
    if mb.data_len(mbuf) < _KEY_END:
        return 0
    data = mb.data(mbuf)
    return shr64(mul64(add64(load64(data + _ADDRESSES), mul64(load32(data + _PORTS), _GOLDEN)), _GOLDEN), 33)


@kernel
def _scatter_burst(rings, fan, mbufs, n):
    for i in range(n):
        mbuf = load64(mbufs + (i << 3))
        if not push(load64(rings + ((_flow_hash(mbuf) % fan) << 3)), mbuf):
            return i
    return n


@kernel
def _gather_burst(queue, rings, fan, mbufs, n):
    """Receive from every ring in turn, beginning with another one each time so that none starves."""
    turn = load64(queue + _TURN)
    store64(queue + _TURN, turn + 1)
    count = 0
    for k in range(fan):
        count += pop_burst(load64(rings + (((turn + k) % fan) << 3)), mbufs + (count << 3), n - count)
    return count


@kernel
def rx_burst(port, queue, mbufs, n):
    """Move up to *n* received mbufs to the words at *mbufs*; how many."""
    entry = port + _QUEUES + (queue << _QUEUE_BITS)
    rings = load64(entry + _RX)
    fan = load64(port + _FAN)
    if fan > 1:
        return _gather_burst(entry, rings, fan, mbufs, n)
    return pop_burst(load64(rings), mbufs, n)


@kernel
def tx_burst(port, queue, mbufs, n):
    """Send the *n* mbufs at *mbufs*, in order, as far as there is room; how many. The others still belong to the caller."""
    rings = load64(port + _QUEUES + (queue << _QUEUE_BITS) + _TX)
    fan = load64(port + _FAN)
    if fan > 1:
        return _scatter_burst(rings, fan, mbufs, n)
    return push_burst(load64(rings), mbufs, n)
