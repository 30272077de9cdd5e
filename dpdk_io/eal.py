"""EAL, DPDK's environment: started once per process, silent, and its log turned into one line when something fails."""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dpdk_io import requirements, shim
from dpdk_io.errors import DeviceError

_MB = 1 << 20
_OVERHEAD = 64 * _MB
"""What EAL, its rings and the drivers take beside the mbufs; generous."""
_HUGEPAGES = Path("/sys/kernel/mm/hugepages")

_CAUSE = re.compile(
    r"error|fail|cannot|can't|could not|unable|invalid|denied|no such|not (enough|found|permitted|supported|available|exist)",
    re.I,
)
_WHERE = re.compile(r"^(\w+: )?(\w+\(\): )?")
_NOISE = re.compile(
    r"telemetry|libbpf|bpffs|dispatcher|mp action|No available.*hugepages|VFIO|probe IOVA|(Detected|Multi-process|Selected)",
    re.I,
)
_REMEDIES = (
    (r"mmap.*temporarily unavailable|umem", "run as root, or with CAP_IPC_LOCK as well"),
    (r"xsk socket", "run as root, or with CAP_SYS_ADMIN as well; no other program may use the queue"),
    (r"permi|denied|privileged", "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"),
    (r"memory|hugepage|ENOMEM", "free memory or reserve hugepages: sysctl -w vm.nr_hugepages=512"),
    (r"connect socket", "start the other side first, with role=server"),
    (r"no such device|cannot find device", "name a device that exists: see `te-apps doctor`"),
    (r"driver|\bbus\b|parse device|shared object|\.so\b", "install the driver: apt-get install dpdk, and see `te-apps doctor`"),
    (r"busy|already|in use|exists", "stop the program that uses it or choose another name"),
)
_lock = threading.Lock()
_running = False
_refused = ""
_printed: list[str] = []


def running() -> bool:
    """Whether EAL was started in this process."""
    return _running


def free_hugepages() -> int:
    """Bytes of hugepages nobody has taken."""
    total = 0
    for size in _HUGEPAGES.glob("hugepages-*kB"):
        total += int(size.name.removeprefix("hugepages-").removesuffix("kB")) * 1024 * int((size / "free_hugepages").read_text())
    return total


def _cpu_set() -> str:
    return ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))


def arguments(pci: Sequence[str], memory: int, prefix: str, *, hugepages: bool) -> list[str]:
    """EAL's command line for the PCI addresses *pci*, *memory* bytes of mbufs and the file prefix *prefix*.

    lcore 0 spans all the process's cores: the thread that starts EAL would be pinned to one otherwise.
    """
    devices = [word for address in pci for word in ("-a", address)] if pci else ["--no-pci", "--iova-mode=va"]
    where = ["--in-memory"] if hugepages else ["--no-huge", "--no-shconf", "-m", str((memory + _OVERHEAD) // _MB + 1)]
    return ["te-apps", *devices, *where, f"--lcores=0@({_cpu_set()})", "--no-telemetry", f"--file-prefix={prefix}"]


def start(pci: Sequence[str] = (), *, memory: int = 256 * _MB, prefix: str = "te-apps", hugepages: bool | None = None) -> None:
    """Start EAL, if it is not running: with *pci* devices, room for *memory* bytes of mbufs, in hugepages where enough are free
    (*hugepages* None) or not. DeviceError when that fails; it cannot be tried again in this process."""
    global _running, _refused
    with _lock:
        if _refused:
            raise DeviceError(_refused)
        if _running:
            return
        wanted = free_hugepages() >= memory + _OVERHEAD if hugepages is None else hugepages
        _memory(memory, hugepages=wanted)
        line = arguments(pci, memory, prefix, hugepages=wanted)
        error, said = _init(line)
        if error < 0:
            _refused = one_line("DPDK does not start", error, said)
            raise DeviceError(_refused)
        _running = True
        atexit.register(_stop)


def _memory(needed: int, *, hugepages: bool) -> None:
    """Refuse what does not fit before EAL, which cannot start twice, finds out."""
    if not hugepages:
        requirements.memory("mbufs and DPDK", needed + _OVERHEAD)
    elif needed > (free := free_hugepages()):
        pages = (needed + _OVERHEAD) // (2 * _MB) + 1
        remedy = f"lower mbuf_cnt or sysctl -w vm.nr_hugepages={pages}"
        raise DeviceError(f"mbufs need {needed // _MB} MB of hugepages, {free // _MB} are free: {remedy}")


def _init(line: Sequence[str]) -> tuple[int, str]:
    """rte_eal_init's result and all it said, on whatever channel: its usage text goes to stdout, past its log."""
    dpdk = shim.load()
    dpdk.te_log_open()
    words = (ctypes.c_char_p * len(line))(*(word.encode() for word in line))
    with quiet():
        result = dpdk.te_eal_init(len(line), words)
    return result, take_log()


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, what drivers and their libraries print joins the log. For set-up only: file descriptors 1 and 2 are
    turned away for the whole process."""
    saved = [(number, copy) for number in (1, 2) if (copy := _copy(number)) is not None]
    output = os.memfd_create("eal")
    for number, _ in saved:
        os.dup2(output, number)
    try:
        yield
    finally:
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)
        os.lseek(output, 0, os.SEEK_SET)
        _printed.append(os.read(output, 1 << 20).decode(errors="replace"))
        os.close(output)


def _stop() -> None:
    global _running
    if _running:
        _running = False
        dpdk = shim.load()
        directory = dpdk.te_runtime_dir().decode()
        dpdk.te_eal_cleanup()
        with suppress(OSError):
            os.rmdir(directory)


def _copy(number: int) -> int | None:
    """A copy of a file descriptor, out of the way of the standard ones; None when it is closed."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    except OSError:
        return None


def take_log() -> str:
    """What EAL and the drivers logged, and printed within `quiet`, since the last call."""
    buffer = ctypes.create_string_buffer(65536)
    taken = shim.load().te_log_take(buffer, len(buffer))
    printed = "".join(_printed)
    _printed.clear()
    return buffer.raw[:taken].decode(errors="replace") + printed


def one_line(what: str, error: int, log: str) -> str:
    """*what*, the log's first complaint or else the name of errno *error*, and a remedy. Drivers return -1 for anything."""
    lines = [re.sub(r"\s+", " ", _WHERE.sub("", line)).strip(" .") for line in log.splitlines()]
    complaints = [line for line in lines if _CAUSE.search(line) and not _NOISE.search(line)]
    cause = complaints[0] if complaints else "no reason given" if error == -1 else os.strerror(abs(error))
    remedy = next((told for pattern, told in _REMEDIES if re.search(pattern, cause, re.I)), "see `te-apps doctor`")
    return f"{what} ({cause}): {remedy}"


def check(what: str, result: int) -> int:
    """*result* of a DPDK call when it is not negative; DeviceError, with what was logged, when it is."""
    if result < 0:
        raise DeviceError(one_line(what, result, take_log()))
    return result


def register_thread() -> None:
    """Make the calling thread known to EAL, so that it gets a mempool cache of its own. Nothing to do where EAL does not run."""
    if _running:
        check("the polling thread cannot be registered with DPDK", shim.load().te_thread_register())


def unregister_thread() -> None:
    """Undo `register_thread`, in the same thread, when it has stopped polling."""
    if _running:
        shim.load().te_thread_unregister()
