"""The loops in C that pipelines are compared with, as functions of Python."""

from __future__ import annotations

import ctypes
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from dpdk_io.clock import cycles, hertz
from dpdk_io.ports import Port
from dpdk_io.shim import compiler, pkg_config

_SOURCE = Path(__file__).with_name("loops.c")
_FLAGS = ["-O3", "-march=native", "-shared", "-fPIC"]


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "loops.so"
        flags = shlex.split(pkg_config("--cflags", "--libs"))
        subprocess.run([*shlex.split(compiler()), str(_SOURCE), "-o", str(target), *_FLAGS, *flags], check=True)
        library = ctypes.CDLL(str(target))
    for loop in (library.bench_macswap, library.bench_floor):
        loop.restype = ctypes.c_int64
    return library


class _Counters(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("bytes", "runts", "lost")]


class Loop:
    """A loop in C on queue 0 of *port*: call it with seconds to run it so long; it returns the packets received."""

    def __init__(self, port: Port, *, floor: bool = False) -> None:
        """*floor*: build, send, receive and free packets; else swap the MAC addresses of those that are received."""
        words = [port.handle, 0, *([port.pool(0)] if floor else [])]
        self._words = [ctypes.c_int64(word) for word in words]
        self._loop = _library().bench_floor if floor else _library().bench_macswap
        self._counters = _Counters()

    def __call__(self, seconds: float) -> int:
        until = ctypes.c_uint64(cycles() + int(seconds * hertz()))
        packets = self._loop(*self._words, until, ctypes.byref(self._counters))
        if packets < 0:
            raise MemoryError("the loop in C found no free mbufs")
        return packets

    @property
    def lost(self) -> int:
        """Packets the device did not take, and frames too short to be any."""
        return self._counters.lost + self._counters.runts
