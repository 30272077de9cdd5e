"""The C shim: built at first use against the installed DPDK headers, kept in the user's cache, loaded, and its layout checked."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

from llvmlite import binding

from dpdk_io.cache import cache_dir, unfinished
from dpdk_io.errors import DeviceError
from dpdk_io.jit import load_library
from dpdk_io.mbuf import HEADROOM, MBUF

PACKAGE = "libdpdk"
INSTALL = "apt-get install dpdk libdpdk-dev gcc pkg-config"
_SOURCES = sorted(Path(__file__).parent.glob("shim*.c"))
_FLAGS = ["-O3", "-march=native", "-shared", "-fPIC"]
_OLDEST = (22, 11)


class _Field(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("offset", ctypes.c_int32), ("size", ctypes.c_int32)]


def compiler() -> str:
    """The C compiler: `$CC`, cc or gcc; DeviceError without one."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(shlex.split(name)[0]):
            return name
    raise DeviceError(f"no C compiler to build the DPDK shim: {INSTALL}, or use --device loopback")


def pkg_config(*options: str) -> str:
    """What pkg-config says of DPDK; DeviceError when it or DPDK's development files are missing."""
    if not shutil.which("pkg-config"):
        raise DeviceError(f"pkg-config is missing, which finds DPDK: {INSTALL}, or use --device loopback")
    asked = subprocess.run(["pkg-config", *options, PACKAGE], capture_output=True, text=True)
    if asked.returncode:
        raise DeviceError(f"DPDK's development files are not installed: {INSTALL}, or use --device loopback")
    return asked.stdout.strip()


@cache
def version() -> str:
    """The installed DPDK's version, as "22.11.4"; DeviceError when it is missing or older than 22.11."""
    found = pkg_config("--modversion")
    if tuple(int(part) for part in found.split("-")[0].split(".")[:2]) < _OLDEST:
        raise DeviceError(f"DPDK {found} is too old: 22.11 or later is needed")
    return found


@cache
def drivers() -> frozenset[str]:
    """The network drivers installed with DPDK, as "ring" for net_ring; empty where they cannot be told apart from DPDK itself."""
    try:
        library = Path(pkg_config("--variable=libdir"))
    except DeviceError:
        return frozenset()
    found = library.glob("dpdk/pmds-*/librte_net_*.so")
    return frozenset(path.name.removeprefix("librte_net_").removesuffix(".so") for path in found)


def _digest(flags: list[str]) -> str:
    told = hashlib.sha256()
    for part in (*(source.read_text() for source in _SOURCES), version(), binding.get_host_cpu_name(), *flags):
        told.update(part.encode() + b"\0")
    return told.hexdigest()[:16]


def build() -> Path:
    """The path of the built shim, compiled if the cache does not hold it; DeviceError tells the compiler's first complaint."""
    flags = [*_FLAGS, *shlex.split(pkg_config("--cflags", "--libs"))]
    target = cache_dir() / f"shim_{_digest(flags)}.so"
    if not target.exists():
        made = unfinished(target)
        try:
            _compile(flags, made)
            os.replace(made, target)
        finally:
            made.unlink(missing_ok=True)
    return target


def _compile(flags: list[str], output: Path) -> None:
    command = [*shlex.split(compiler()), *map(str, _SOURCES), "-o", str(output), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:])
        raise DeviceError(f"the DPDK shim does not compile ({complaint.strip()}): {INSTALL}, or use --device loopback")


def _check_layout(shim: ctypes.CDLL) -> None:
    """Refuse a DPDK whose mbuf is not the one `mbuf.MBUF` describes."""
    shim.te_layout.restype = ctypes.POINTER(_Field)
    theirs = {}
    for field in shim.te_layout():
        if field.name is None:
            break
        theirs[field.name.decode()] = (field.offset, field.size)
    ours = {name: (field[1], field[0].itemsize) for name, field in (MBUF.fields or {}).items()}
    ours |= {"": (0, MBUF.itemsize), "headroom": (HEADROOM, 0)}
    wrong = [name or "mbuf" for name in ours if ours[name] != theirs.get(name)]
    if wrong:
        raise DeviceError(f"DPDK {version()} lays out {', '.join(wrong)} of its mbuf in another way: use DPDK 22.11 to 23.11")


_POINTERS = ("te_pool_create", "te_flow_to_queue")


@cache
def load() -> ctypes.CDLL:
    """The shim, ready for Python and for compiled code; DeviceError when it cannot be built or does not fit."""
    path = build()
    try:
        shim = load_library(str(path))
    except OSError as error:
        raise DeviceError(f"the DPDK libraries cannot be loaded ({error}): {INSTALL}") from error
    for name in _POINTERS:
        getattr(shim, name).restype = ctypes.c_void_p
    for name in ("te_version", "te_strerror", "te_runtime_dir"):
        getattr(shim, name).restype = ctypes.c_char_p
    _check_layout(shim)
    return shim
