"""Devices opened for a set of cores: one receive and one transmit queue per core, queue i for the i-th core."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType, TracebackType
from typing import Protocol

from dpdk_io import loopback
from dpdk_io.errors import DeviceError


class Device(Protocol):
    """What a driver opens: see `loopback.Loopback`."""

    n_queues: int

    @property
    def handle(self) -> int: ...
    def pool(self, queue: int) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...


class Port:
    """An open device. Compiled code uses `handle`, `pool(queue)` and the four kernels of `driver`."""

    def __init__(self, name: str, driver: ModuleType, device: Device, cores: Sequence[int], mac: bytes) -> None:
        self.name = name
        self.driver = driver
        self.cores = tuple(cores)
        self.mac = mac
        self._device = device

    @property
    def handle(self) -> int:
        """What `rx_burst` and `tx_burst` take as port."""
        return self._device.handle

    @property
    def n_queues(self) -> int:
        return self._device.n_queues

    def pool(self, queue: int) -> int:
        """What `alloc_bulk` and `free_bulk` take on the core of *queue*."""
        return self._device.pool(queue)

    def stats(self) -> dict[str, int]:
        """The device's counters by name."""
        return self._device.stats()

    def close(self) -> None:
        """Stop the device; nothing may poll it any more. Closing twice is harmless."""
        self._device.close()


class Ports(list[Port]):
    """Open ports, in the order they were asked for. As a context manager it closes them at the end, last first."""

    def close(self) -> None:
        for port in reversed(self):
            port.close()

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_ports(
    specs: Sequence[str],
    cores: Sequence[int],
    *,
    mbuf_cnt: int = 16383,
    cache_size: int = 128,
    rxd: int = 4096,
    txd: int = 4096,
    scatter: bool = False,
) -> Ports:
    """Open every device of *specs* with one queue pair for each of *cores*; DeviceError names cause and remedy."""
    ports = Ports()
    for index, spec in enumerate(specs):
        if spec != "loopback":
            raise DeviceError(f"unknown device '{spec}': use loopback")
        device = loopback.Loopback(len(cores), ring_size=txd, mbuf_cnt=mbuf_cnt, cache_size=cache_size, scatter=scatter)
        ports.append(Port(spec, loopback, device, cores, bytes([2, 0, 0, 0, 0, index])))
    return ports
