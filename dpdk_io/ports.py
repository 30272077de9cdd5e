"""Devices opened for a set of cores: one receive and one transmit queue per core, queue i for the i-th core."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType
from typing import Any, Protocol

from dpdk_io import devices, loopback, requirements
from dpdk_io.errors import DeviceError, UsageError
from dpdk_io.ring import check_capacity


@dataclass(frozen=True)
class Options:
    """How ports are opened.

    mbuf_cnt: mbufs per socket, or per loopback device, best 2^n - 1; cache_size: how many of them a core keeps to itself
    rxd, txd: descriptors per queue; ring_size: packets in a ring of loopback or net_ring, a power of two
    prefix: EAL's file prefix; hugepages: None for where there are enough of them
    promiscuous; nic_loopback: the device sends to itself; checksums: it computes those of packets marked by
    `mbuf.leave_checksums`, or is refused; scatter: loopback devices spread flows over all queues
    rss_key, rss_types: RSS with this key (empty: the device's own) over these of DPDK's types (0: no RSS)
    """

    mbuf_cnt: int = 16383
    cache_size: int = 128
    rxd: int = 1024
    txd: int = 1024
    ring_size: int = 4096
    prefix: str = "te-apps"
    hugepages: bool | None = None
    promiscuous: bool = True
    nic_loopback: bool = False
    checksums: bool = False
    scatter: bool = False
    rss_key: bytes = b""
    rss_types: int = 0


class OpenDevice(Protocol):
    """What a driver opens: `loopback.Loopback`, `ethport.EthPort`."""

    n_queues: int

    @property
    def handle(self) -> int: ...
    def pool(self, queue: int) -> int: ...
    def stats(self) -> dict[str, int]: ...
    def free_mbufs(self) -> int: ...
    def close(self) -> None: ...


class Port:
    """An open device. Compiled code uses `handle`, `pool(queue)` and the five kernels of `driver`.

    `device` is the driver's own object, for what not every driver has; `packets` how many a capture file delivers, or None.
    """

    def __init__(self, name: str, driver: ModuleType, device: OpenDevice, cores: Sequence[int], mac: bytes) -> None:
        self.name = name
        self.driver = driver
        self.device = device
        self.cores = tuple(cores)
        self.mac = mac
        self.packets: int | None = None

    @property
    def handle(self) -> int:
        """What `rx_burst` and `tx_burst` take as port."""
        return self.device.handle

    @property
    def n_queues(self) -> int:
        """Queue pairs: one per core."""
        return self.device.n_queues

    def pool(self, queue: int) -> int:
        """What `alloc_bulk` and `free_bulk` take on the core of *queue*."""
        return self.device.pool(queue)

    def stats(self) -> dict[str, int]:
        """The device's counters by name."""
        return self.device.stats()

    def free_mbufs(self) -> int:
        """Mbufs nobody holds, in the pools of this port; exact when no core is running."""
        return self.device.free_mbufs()

    def exhausted(self) -> bool:
        """Whether a capture file has been read to its end; False for what never ends."""
        if self.packets is None:
            return False
        stats = self.stats()
        return stats["rx_packets"] + stats["rx_errors"] + stats["rx_no_mbuf"] >= self.packets

    def close(self) -> None:
        """Stop the device; nothing may poll it any more. Closing twice is harmless."""
        self.device.close()


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


class Ports(list[Port]):
    """Open ports, in the order they were asked for. As a context manager it closes them at the end, last first.

    They are closed when the program exits, too, and SIGTERM and SIGHUP then end it as an exception would, unless it handles them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._after: list[Callable[[], None]] = []
        self._obeyed: list[signal.Signals] = []
        self._obey_signals()
        atexit.register(self.close)

    def _obey_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _exit)
                self._obeyed.append(number)

    def close(self) -> None:
        """Close every port, then the mempools. Closing twice is harmless."""
        for port in reversed(self):
            port.close()
        while self._after:
            self._after.pop()()
        while self._obeyed and threading.current_thread() is threading.main_thread():
            number = self._obeyed.pop()
            if signal.getsignal(number) is _exit:
                signal.signal(number, signal.SIG_DFL)
        atexit.unregister(self.close)

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_ports(
    specs: Sequence[str], cores: Sequence[int] | Sequence[Sequence[int]], options: Options | None = None, **changes: Any
) -> Ports:
    """Open every device of *specs* (see `devices`) with one queue pair for each of *cores*, or for each of its own cores when
    *cores* holds one sequence per device. *changes* are fields of `Options`.

    DeviceError names cause and remedy; every name is checked before anything is opened, and what was opened is closed again.
    """
    chosen = Options(**{**(vars(options) if options else {}), **changes})
    check_capacity(chosen.ring_size)
    wanted = _plan(specs, _cores_of_each(specs, cores))
    ports = Ports()
    try:
        if any(device.kind != devices.LOOPBACK for device, _ in wanted):
            _open_dpdk(ports, wanted, chosen)
        else:
            for device, own in wanted:
                ports.append(_loopback_port(device, own, chosen, len(ports)))
    except BaseException:
        ports.close()
        raise
    return ports


def _cores_of_each(specs: Sequence[str], cores: Sequence[Any]) -> list[tuple[int, ...]]:
    own = [(core,) if isinstance(core, int) else tuple(core) for core in cores]
    if cores and all(isinstance(core, int) for core in cores):
        own = [tuple(cores)] * len(specs)
    if len(own) != len(specs):
        raise UsageError(f"{len(specs)} devices need {len(specs)} lists of cores, not {len(own)}: give one list for each")
    for chosen in own:
        if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
            raise UsageError(f"a device needs one or more cores, each named once, not {list(chosen)}: name cores from 0 on")
    return own


def _plan(specs: Sequence[str], cores: Sequence[tuple[int, ...]]) -> list[tuple[devices.Device, tuple[int, ...]]]:
    plan: list[tuple[devices.Device, tuple[int, ...]]] = []
    for spec, own in zip(specs, cores, strict=True):
        taken = {device.name for device, _ in plan if device.kind != devices.LOOPBACK}
        device = devices.parse(spec, len(own), taken)
        if device.kind == devices.PCI:
            requirements.pci(device.name)
        plan.append((device, own))
    return plan


def _loopback_port(device: devices.Device, cores: Sequence[int], options: Options, number: int) -> Port:
    if options.checksums:
        raise DeviceError(f"{device.name} computes no checksums: set checksum to false")
    opened = loopback.Loopback(
        len(cores),
        ring_size=options.ring_size,
        mbuf_cnt=options.mbuf_cnt,
        cache_size=options.cache_size,
        scatter=options.scatter or device.scatter,
    )
    return Port(device.name, loopback, opened, cores, _local_mac(number))


def _mac_of(device: devices.Device, mac: bytes, number: int) -> bytes:
    """The address to send from. A tap driver reports that of the kernel's end, which must not be ours as well."""
    if not any(mac):
        return _local_mac(number)
    return mac[:5] + bytes([mac[5] ^ 1]) if device.kind == "tap" else mac


def _local_mac(number: int) -> bytes:
    """A locally administered address, for devices that have none."""
    return bytes([2, 0, 0, 0, 0, number])


def _open_dpdk(ports: Ports, wanted: Sequence[tuple[devices.Device, tuple[int, ...]]], options: Options) -> None:
    """Imported here alone, so that the embedded device needs nothing of DPDK."""
    from dpdk_io import eal, ethdev, ethport, mempools

    sockets = {mempools.socket_of(core) for _, cores in wanted for core in cores}
    pools = mempools.Mempools(options.mbuf_cnt, options.cache_size)
    pci = [device.devargs for device, _ in wanted if device.kind == devices.PCI]
    eal.start(
        pci, memory=options.mbuf_cnt * mempools.MBUF_BYTES * len(sockets), prefix=options.prefix, hugepages=options.hugepages
    )
    ports._after.append(pools.close)
    settings = ethport.Settings(
        rxd=options.rxd,
        txd=options.txd,
        ring_size=options.ring_size,
        nic_loopback=options.nic_loopback,
        checksums=options.checksums,
        promiscuous=options.promiscuous,
        rss_types=options.rss_types,
        rss_key=options.rss_key,
    )
    for device, cores in wanted:
        if device.kind == devices.LOOPBACK:
            ports.append(_loopback_port(device, cores, options, len(ports)))
            continue
        opened = ethport.EthPort(device, [pools.of(core) for core in cores], settings)
        port = Port(device.name, ethdev, opened, cores, _mac_of(device, opened.mac, len(ports)))
        port.packets = device.packets
        ports.append(port)
