"""What devices need of the machine, checked before DPDK starts: each check returns, or raises DeviceError with the remedy."""

from __future__ import annotations

import os
from pathlib import Path

from dpdk_io.errors import DeviceError

_CAPABILITIES = {"net_admin": 12, "net_raw": 13, "sys_admin": 21, "bpf": 39}
_IFNAMSIZ, _SUN_PATH = 16, 108
_FOR_DPDK = {"vfio-pci", "igb_uio", "uio_pci_generic", "mlx4_core", "mlx5_core"}
"""mlx4_core and mlx5_core share their device with DPDK; the others hand it over."""
PCI_DEVICES = Path("/sys/bus/pci/devices")
TUN = Path("/dev/net/tun")


def has_capability(name: str) -> bool:
    """Whether this process has the capability CAP_*name* in effect."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAPABILITIES[name] & 1)


def capabilities(device: str, *names: str) -> None:
    """All of the capabilities *names*."""
    missing = [f"CAP_{name.upper()}" for name in names if not has_capability(name)]
    if missing:
        raise DeviceError(f"{device} needs {' and '.join(missing)}: run as root, or use --device loopback or ring")


def interfaces() -> list[str]:
    """The network interfaces of this namespace."""
    return sorted(entry.name for entry in Path("/sys/class/net").iterdir() if entry.is_dir())


def interface(device: str, name: str) -> None:
    """An interface *name* in this namespace."""
    interface_name(device, name)
    if not (Path("/sys/class/net") / name).exists():
        raise DeviceError(f"{device}: there is no interface '{name}': choose one of {', '.join(interfaces())}")


def interface_name(device: str, name: str) -> None:
    """A *name* the kernel accepts for an interface."""
    if not name or len(name) >= _IFNAMSIZ or "/" in name or any(c.isspace() for c in name):
        raise DeviceError(f"{device}: '{name}' is no interface name: use 1 to {_IFNAMSIZ - 1} characters without '/' and spaces")


def tun(device: str) -> None:
    """The kernel's tap driver, and the right to use it."""
    if not TUN.exists():
        raise DeviceError(f"{device}: {TUN} is missing: modprobe tun, or give the container this device")
    capabilities(device, "net_admin")


def readable(device: str, path: str) -> None:
    """A file that can be read."""
    if not os.path.isfile(path):
        raise DeviceError(f"{device}: there is no file '{path}': check the path")
    if not os.access(path, os.R_OK):
        raise DeviceError(f"{device}: '{path}' may not be read: check its permissions")


def writable(device: str, path: str) -> None:
    """A path at which a file can be made or replaced."""
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise DeviceError(f"{device}: there is no directory '{directory}': make it first")
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else directory, os.W_OK):
        raise DeviceError(f"{device}: '{path}' cannot be written: choose another path")


def socket_path(device: str, path: str) -> None:
    """A path at which a UNIX socket can lie."""
    if len(os.fsencode(path)) >= _SUN_PATH:
        raise DeviceError(f"{device}: '{path}' is too long for a socket: use at most {_SUN_PATH - 1} bytes")
    writable(device, path)


def pci(address: str) -> None:
    """A PCI device at *address* (domain:bus:slot.function), in the hands of a kernel driver that lets DPDK have it."""
    place = PCI_DEVICES / address
    if not place.exists():
        raise DeviceError(f"there is no PCI device {address}: look for it with dpdk-devbind.py --status")
    driver = os.path.basename(os.path.realpath(place / "driver")) if (place / "driver").exists() else "no driver"
    if driver not in _FOR_DPDK:
        raise DeviceError(f"{address} is bound to {driver}: dpdk-devbind.py --bind=vfio-pci {address}")


def memory(what: str, needed: int) -> None:
    """So many bytes of ordinary memory, free now."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    if needed > free:
        raise DeviceError(f"{what} need {needed >> 20} MB, and {free >> 20} MB are free: lower mbuf_cnt")


def rx_queues(interface: str) -> int:
    """Receive queues of a kernel interface."""
    return len(list((Path("/sys/class/net") / interface / "queues").glob("rx-*")))
