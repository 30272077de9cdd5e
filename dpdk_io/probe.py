"""What works on this machine, and the remedy for what does not. No device is opened and EAL is not started."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dpdk_io import clock, eal, shim
from dpdk_io import requirements as needs
from dpdk_io.cache import chosen_dir, usable
from dpdk_io.errors import DeviceError

_AF_XDP = 44
_DRIVERS = ("ring", "null", "pcap", "tap", "af_packet", "af_xdp", "memif")
_PRIVILEGES = {"tap": ("net_admin",), "af_packet": ("net_raw", "net_admin"), "af_xdp": ("net_raw", "net_admin")}


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks() -> list[Check]:
    """Everything, in the order in which it matters."""
    found = [_cores(), _cycle_counter(), _cache(), _privileges(), *_dpdk(), _hugepages(), _tun(), _af_xdp()]
    return [*found, Check("device loopback", True, "embedded: needs nothing"), *_devices(_all_well(found))]


def _all_well(found: list[Check]) -> dict[str, bool]:
    return {check.name: check.ok for check in found}


def _asked(name: str, question: Callable[[], object]) -> Check:
    """The answer to *question*, or the DeviceError it raises, split into what was seen and what to do."""
    try:
        return Check(name, True, str(question()))
    except DeviceError as error:
        cause, _, remedy = str(error).rpartition(": ")
        return Check(name, False, cause, remedy)


def _cores() -> Check:
    usable_cores = sorted(os.sched_getaffinity(0))
    return Check("cores", True, f"{len(usable_cores)} to use: {', '.join(map(str, usable_cores))}")


def _cycle_counter() -> Check:
    flags = Path("/proc/cpuinfo").read_text()
    steady = "constant_tsc" in flags and "nonstop_tsc" in flags or os.uname().machine != "x86_64"
    detail = f"{clock.hertz() / 1e9:.3f} GHz, {'steady' if steady else 'changes with the processor frequency'}"
    return Check("cycle counter", steady, detail, "" if steady else "fix the frequency: cpupower frequency-set -g performance")


def _cache() -> Check:
    path = chosen_dir()
    well = usable(path)
    return Check("cache directory", well, str(path), "" if well else "set TE_APPS_CACHE to a directory of yours")


def _privileges() -> Check:
    missing = [f"CAP_{name.upper()}" for name in ("net_admin", "net_raw") if not needs.has_capability(name)]
    detail = f"without {' and '.join(missing)}" if missing else "CAP_NET_ADMIN and CAP_NET_RAW"
    return Check("privileges", not missing, detail, "run as root for tap, af_packet and af_xdp" if missing else "")


def _dpdk() -> Iterator[Check]:
    yield _asked("C compiler", shim.compiler)
    yield _asked("DPDK", shim.version)
    yield _asked("DPDK shim", lambda: shim.load().te_version().decode() + ", the mbuf's layout fits")


def _hugepages() -> Check:
    free = eal.free_hugepages() >> 20
    detail = f"{free} MB free" if free else "none free: ordinary memory is used, which is slower"
    return Check("hugepages", free > 0, detail, "" if free else "sysctl -w vm.nr_hugepages=512")


def _tun() -> Check:
    there = needs.TUN.exists()
    return Check("tap interfaces", there, str(needs.TUN) if there else f"{needs.TUN} is missing", "" if there else "modprobe tun")


def _af_xdp() -> Check:
    try:
        socket.socket(_AF_XDP, socket.SOCK_RAW).close()
    except OSError as error:
        return Check("AF_XDP", False, error.strerror or "no such socket", "run as root, on a kernel with CONFIG_XDP_SOCKETS")
    return Check("AF_XDP", True, "sockets can be made")


def _devices(well: dict[str, bool]) -> Iterator[Check]:
    drivers = shim.drivers()
    for kind in _DRIVERS:
        reasons = {
            "the DPDK shim": well["DPDK shim"],
            f"the driver net_{kind}": not drivers or kind in drivers,
            "privileges": all(map(needs.has_capability, _PRIVILEGES.get(kind, ()))),
            "tap interfaces": kind != "tap" or well["tap interfaces"],
            "AF_XDP": kind != "af_xdp" or well["AF_XDP"],
        }
        missing = [reason for reason, met in reasons.items() if not met]
        detail = f"lacks {' and '.join(missing)}" if missing else "can be used"
        yield Check(f"device {kind}", not missing, detail, "mend what it lacks, named above" if missing else "")
