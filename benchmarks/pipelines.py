"""Pipelines of te-apps as works to be timed: their compiled loops, entered from this thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from apps.hooks import Contents
from apps.load import load_traffic
from apps.macswap import pipeline as macswap_pipeline
from apps.trafficpipeline import Site, traffic_pipeline
from dpdk_io.clock import cycles, hertz
from dpdk_io.mbuf import frame, header
from dpdk_io.ports import Port
from pipeline.core import Core

FRAME = 60
"""Bytes of a packet, as in loops.c."""


def stay() -> None:
    """Keep this thread on the processor it is on."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Polled:
    """A core's loop: call it with seconds to run it so long; it returns the packets received."""

    def __init__(self, core: Core) -> None:
        self.core = core
        core.compile()

    def __call__(self, seconds: float) -> int:
        before = self.core.counters()["rx_packets"]
        self.core.poll(seconds)
        return self.core.counters()["rx_packets"] - before

    @property
    def lost(self) -> int:
        """Packets that were dropped, by whatever name."""
        return sum(self.core.drops().values())


def macswap(port: Port) -> Polled:
    """The app's pipeline on queue 0 of *port*."""
    return Polled(Core(macswap_pipeline(), port, 0, idle="spin"))


def fill(port: Port, packets: int) -> None:
    """Put so many packets on the way to queue 0 of *port*, a device that brings back what is sent."""
    words = np.zeros(packets, np.int64)
    if port.driver.alloc_bulk(port.pool(0), words.ctypes.data, packets) != packets:
        raise MemoryError(f"{port.name} has no {packets} mbufs")
    for mbuf in words.tolist():
        fields = header(mbuf)
        fields.data_len = fields.pkt_len = FRAME
        frame(mbuf)[:] = np.arange(FRAME)
    sent = port.driver.tx_burst(port.handle, 0, words.ctypes.data, packets)
    if sent != packets:
        raise BufferError(f"{port.name} took {sent} of {packets} packets")


class Traffic(Polled):
    """trafficengine on *port*: both roles on one core, connections without end."""

    def __init__(self, port: Port) -> None:
        config, _ = load_traffic(None, {"devices": [port.name], "duration_s": 3600.0, "seed": 1})
        site = Site(config, port, None, Contents())
        super().__init__(Core(traffic_pipeline(site), port, 0, idle="spin"))
        self._engine = site.engines[0]
        self._engine.start(cycles(), hertz())
        self._engine.begin(cycles())

    def completed(self) -> int:
        """Connections of the client that have come to their end."""
        return self._engine.counters("client")["completed"]

    def failed(self) -> int:
        """Connections that have not."""
        return self._engine.counters("client")["failed"]


@contextmanager
def finished(*works: Polled) -> Iterator[None]:
    """At the end of the block the loops give back what they hold."""
    try:
        yield
    finally:
        for work in works:
            work.core.finish()
