"""DPDK mempools, one per socket, for the cores that poll there."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

from dpdk_io import shim
from dpdk_io.eal import one_line, take_log
from dpdk_io.errors import DeviceError, UsageError

MBUF_BYTES = 2432
"""Memory one mbuf takes, the pool's own bookkeeping included."""
_MOST, _MOST_CACHED = 1 << 26, 512
_ANY_SOCKET = -1
_numbers = itertools.count()


def socket_of(core: int) -> int:
    """The socket (NUMA node) of a core; 0 where the kernel does not tell."""
    nodes = list(Path(f"/sys/devices/system/cpu/cpu{core}").glob("node[0-9]*"))
    return int(nodes[0].name.removeprefix("node")) if nodes else 0


class Mempools:
    """Pools of *mbuf_cnt* mbufs (best 2^n - 1), made when first asked for, with caches of *cache_size* mbufs per core."""

    def __init__(self, mbuf_cnt: int, cache_size: int) -> None:
        if not 1 <= mbuf_cnt <= _MOST:
            raise UsageError(f"a mempool of {mbuf_cnt} mbufs is impossible: use mbuf_cnt from 1023 to {_MOST}")
        most = min(_MOST_CACHED, mbuf_cnt * 2 // 3)
        if not 0 <= cache_size <= most:
            raise UsageError(f"a mempool of {mbuf_cnt} mbufs has a cache of 0 to {most}, not {cache_size}: change cache_size")
        self._count, self._cache = mbuf_cnt, cache_size
        self._pools: dict[int, int] = {}

    def of(self, core: int) -> int:
        """The address of the pool on the socket of *core*."""
        socket = socket_of(core)
        if socket not in self._pools:
            self._pools[socket] = self._create(socket)
        return self._pools[socket]

    def _create(self, socket: int) -> int:
        dpdk = shim.load()
        for where in (socket, _ANY_SOCKET):
            name = f"mbufs_{next(_numbers)}".encode()
            pool = dpdk.te_pool_create(name, self._count, self._cache, where)
            if pool:
                return pool
        raise DeviceError(one_line(f"no memory for {self._count} mbufs", -dpdk.te_last_error(), take_log()))

    def close(self) -> None:
        """Free the pools; no port may use them any more."""
        while self._pools:
            shim.load().te_pool_free(ctypes.c_void_p(self._pools.popitem()[1]))
