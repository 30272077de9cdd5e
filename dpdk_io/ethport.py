"""One DPDK port: probed, configured with a queue pair per core, started, counted and closed."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from dpdk_io import shim
from dpdk_io.devices import Device
from dpdk_io.eal import check, quiet, take_log
from dpdk_io.errors import DeviceError

COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_missed", "rx_errors", "tx_errors", "rx_no_mbuf")
_DRIVER_RING = 16
_CHECKSUMS = 1 << 1 | 1 << 3
"""RTE_ETH_TX_OFFLOAD_IPV4_CKSUM and ..._TCP_CKSUM."""
_NAME = 64


class Info(ctypes.Structure):
    """What a port can do, as the driver tells it; `rss_types` and the offloads are DPDK's bit masks."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("max_rx_queues", "max_tx_queues", "rss_types", "key_bytes", "reta_size")),
        *((name, ctypes.c_int64) for name in ("rx_offloads", "tx_offloads", "socket", "mtu")),
        ("driver", ctypes.c_char * 32),
    ]


class _Conf(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("queues", "rxd", "txd", "loopback", "tx_offloads", "rss_types", "key_bytes")),
        ("key", ctypes.c_uint8 * 64),
    ]


@dataclass(frozen=True)
class Settings:
    """How a port is set up; the fields are those of `ports.Options`."""

    rxd: int = 1024
    txd: int = 1024
    ring_size: int = 4096
    nic_loopback: bool = False
    checksums: bool = False
    promiscuous: bool = True
    rss_types: int = 0
    rss_key: bytes = b""


class EthPort:
    """The open port of *device*; its mempools, one address per queue, are somebody else's to free."""

    def __init__(self, device: Device, pools: Sequence[int], settings: Settings) -> None:
        self.n_queues = len(pools)
        self.device = device
        self._pools = tuple(pools)
        self._dpdk = shim.load()
        self._ring = device.kind == "ring" and "," not in device.devargs
        self._what = f"{device.name} cannot be opened"
        self.handle = self._probe(settings)
        self._open = True
        try:
            self._start(settings)
        except BaseException:
            self.close()
            raise

    def _probe(self, settings: Settings) -> int:
        devargs = self.device.devargs
        if self._ring:
            made = self._dpdk.te_rings_create(self.device.name.encode(), _DRIVER_RING, settings.ring_size)
            check(self._what, made)
            devargs += f",nodeaction={self.device.name}:0:ATTACH"
        with quiet():
            port = self._dpdk.te_dev_probe(devargs.encode(), self.device.name.encode())
        return check(self._what, port)

    def _start(self, settings: Settings) -> None:
        most = min(self.info.max_rx_queues, self.info.max_tx_queues)
        if self.n_queues > most:
            raise DeviceError(f"{self.device.name} has {most} queues, not one for each of {self.n_queues} cores: use fewer cores")
        offloads = _CHECKSUMS if settings.checksums else 0
        if offloads & ~self.info.tx_offloads:
            raise DeviceError(f"{self.device.name} computes no checksums: set checksum to false")
        key = (ctypes.c_uint8 * 64)(*settings.rss_key)
        conf = _Conf(
            self.n_queues,
            settings.rxd,
            settings.txd,
            settings.nic_loopback,
            offloads,
            settings.rss_types,
            len(settings.rss_key),
            key,
        )
        pools = (ctypes.c_void_p * self.n_queues)(*self._pools)
        with quiet():
            started = self._dpdk.te_port_start(self.handle, ctypes.byref(conf), pools)
        check(self._what, started)
        self._dpdk.te_port_promiscuous(self.handle, settings.promiscuous)
        take_log()

    @property
    def info(self) -> Info:
        """What the port can do."""
        info = Info()
        check(f"{self.device.name} does not tell what it can", self._dpdk.te_port_info(self.handle, ctypes.byref(info)))
        return info

    @property
    def mac(self) -> bytes:
        """The port's own address."""
        mac = (ctypes.c_uint8 * 6)()
        check(f"{self.device.name} has no MAC address", self._dpdk.te_port_mac(self.handle, mac))
        return bytes(mac)

    def pool(self, queue: int) -> int:
        """The address of the queue's mempool."""
        return self._pools[queue]

    def free_mbufs(self) -> int:
        """Mbufs nobody holds in the queues' pools."""
        return sum(self._dpdk.te_pool_available(ctypes.c_void_p(pool)) for pool in set(self._pools))

    def link(self) -> tuple[bool, int]:
        """Whether the link is up, and its speed in Mbit/s."""
        up, mbps = ctypes.c_int64(), ctypes.c_int64()
        check(f"{self.device.name} has no link", self._dpdk.te_port_link(self.handle, ctypes.byref(up), ctypes.byref(mbps)))
        return bool(up.value), mbps.value

    def stats(self) -> dict[str, int]:
        """`COUNTERS` by name."""
        values = (ctypes.c_uint64 * len(COUNTERS))()
        check(f"{self.device.name} does not count", self._dpdk.te_port_stats(self.handle, values))
        return dict(zip(COUNTERS, values, strict=True))

    def xstats(self) -> dict[str, int]:
        """The driver's own counters by the names it gives them."""
        count = self._dpdk.te_port_xstats(self.handle, None, None, 0)
        if count <= 0:
            return {}
        names = ctypes.create_string_buffer(_NAME * count)
        values = (ctypes.c_uint64 * count)()
        count = self._dpdk.te_port_xstats(self.handle, names, values, count)
        shown = [names.raw[_NAME * i : _NAME * (i + 1)].split(b"\0")[0].decode() for i in range(count)]
        return dict(zip(shown, values, strict=False))

    def close(self) -> None:
        """Stop and close the port and remove its device, and with it what the driver made in the kernel."""
        if self._open:
            self._open = False
            with quiet():
                self._dpdk.te_port_close(self.handle)
            take_log()
            if self._ring:
                self._dpdk.te_rings_free(self.device.name.encode(), _DRIVER_RING)
