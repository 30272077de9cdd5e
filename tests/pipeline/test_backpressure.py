"""A port that does not take what is sent: nothing is lost without a name, and every mbuf comes back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from dpdk_io import loopback
from dpdk_io.loopback import Loopback, alloc_bulk, free_bulk, pair, rx_burst, tx_burst
from dpdk_io.mbuf import set_length
from operators.macswap import macswap
from pipeline import TX, Core, Pipeline
from pipeline.outbox import QUEUE
from tests.pipeline.test_run import feed

RING = 64
MBUFS = 8192


class End:
    """One end of the cable as a port."""

    driver: ModuleType = loopback

    def __init__(self, device: Loopback) -> None:
        self.device = device
        self.handle = device.handle

    def pool(self, queue: int) -> int:
        return self.device.pool(queue)


class Peer:
    """The other end, moved by hand."""

    def __init__(self, device: Loopback) -> None:
        self._device = device
        self._mbufs = np.zeros(32, np.int64)

    def send(self, frames: int) -> int:
        n = alloc_bulk(self._device.pool(0), self._mbufs.ctypes.data, frames)
        for mbuf in self._mbufs[:n].tolist():
            set_length(mbuf, 60)
        sent = tx_burst(self._device.handle, 0, self._mbufs.ctypes.data, n)
        free_bulk(self._device.pool(0), self._mbufs.ctypes.data + 8 * sent, n - sent)
        return sent

    def receive(self) -> int:
        n = rx_burst(self._device.handle, 0, self._mbufs.ctypes.data, 32)
        free_bulk(self._device.pool(0), self._mbufs.ctypes.data, n)
        return n


def poll_until(core: Core, condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        core.poll(0.002)
        if condition():
            return
    raise AssertionError(f"not reached: {core.counters()}")


def cable(patience: int = 1 << 60) -> tuple[Core, Peer, Loopback]:
    """A core, the peer at the other end, and the device; for so many cycles the core waits for a port that takes nothing."""
    near, far = pair(1, ring_size=RING, mbuf_cnt=MBUFS)
    core = Core(Pipeline("pressed", [feed, macswap]), End(near), 0)
    core.record.tx_patience = patience
    core.compile()
    return core, Peer(far), near


def test_a_generator_waits_for_a_port_that_is_full() -> None:
    core, peer, near = cable()
    core.states[0][0].packets = 3000
    poll_until(core, lambda: core.record.queued[TX] == QUEUE)
    core.poll(0.01)
    assert (core.counters()["tx_packets"], core.counters()["tx_full"], core.record.queued[TX]) == (RING, 0, QUEUE)
    received = [0]

    def all_received() -> bool:
        received[0] += peer.receive()
        return received[0] == 3000

    poll_until(core, all_received)
    assert core.states[0][0].packets == 0
    core.finish()
    assert near.mempool.available() == MBUFS


def test_packets_that_find_the_send_queue_full_are_counted() -> None:
    """Reading stops at first; when the port stays full, packets are read and dropped by name rather than left in the card."""
    core, peer, near = cable()
    core.states[0][0].packets = 3000
    poll_until(core, lambda: core.record.queued[TX] == QUEUE)
    for sent in range(32, 320, 32):
        assert peer.send(32) == 32
        poll_until(core, lambda: core.counters()["rx_packets"] == sent)  # noqa: B023
        assert core.counters()["tx_full"] == sent
    core.finish()
    assert core.drops()["tx_unsent"] == QUEUE
    while peer.receive():
        pass
    assert near.mempool.available() == MBUFS


def test_a_dead_port_holds_nobody_up_until_it_takes_packets_again() -> None:
    core, peer, near = cable(patience=0)
    core.states[0][0].packets = 2500
    poll_until(core, lambda: core.states[0][0].packets == 0)
    assert core.counters()["tx_full"] == 2500 - RING - QUEUE
    assert core.record.tx_dead == 1
    received = peer.receive()
    poll_until(core, lambda: core.counters()["tx_packets"] == RING + received)
    core.finish()
    while more := peer.receive():
        received += more
    assert received + core.drops()["tx_unsent"] + core.counters()["tx_full"] == 2500
    assert near.mempool.available() == MBUFS
