"""The names people give devices, turned into what DPDK takes: `tap:te0` into `net_tap0,iface=te0`.

    loopback, loopback:scatter     the embedded device, as one that steers and one that cannot
    ring, null                     net_ring, net_null
    tap:te0                        a tap interface made by the driver, gone at the end
    af_packet:eth1, af_xdp:eth1    an interface of the kernel
    memif:PATH[,role=client]       shared memory with another process, over a socket at PATH; who comes first is the server
    pcap:IN,OUT                    capture files; `pcap:IN` discards what is sent, `pcap:,OUT` receives nothing
    7:00.0, 0000:07:00.0           a PCI device
    virtio:SPEC, dpdk:DEVARGS      as in older configurations; `queues={}` is filled in
    net_tap0,iface=te0             EAL's devargs, as they are

More options for the driver may follow each, after a comma. Mistakes are DeviceErrors, raised before DPDK starts. Whether a PCI
device is there is asked only when it is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches

from dpdk_io import requirements as needs
from dpdk_io.errors import DeviceError
from dpdk_io.pcapfile import count_packets
from dpdk_io.shim import drivers

LOOPBACK, PCI = "loopback", "pci"
SHORT_NAMES = (LOOPBACK, "ring", "null", "tap", "af_packet", "af_xdp", "memif", "pcap")
_PCI = re.compile(r"(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.I)
_RAW = re.compile(r"(?:net|eth)_(\w*?[a-z])(\d+)$|(virtio_user)(\d+)$")
_MOST_QUEUES = {"ring": 16, "tap": 16, "af_packet": 16, "pcap": 1, "null": 1024, "memif": 255}


@dataclass(frozen=True)
class Device:
    """A device that can be opened: `kind` is the driver, `name` what DPDK will call it, `devargs` the whole of its description.

    `packets` is how many a capture file will deliver in all, where that is known.
    """

    kind: str
    name: str
    devargs: str
    scatter: bool = False
    packets: int | None = None


def parse(spec: str, queues: int, taken: Collection[str] = ()) -> Device:
    """The device that *spec* names, with *queues* queue pairs and none of the names *taken*; DeviceError if it cannot be."""
    spec = spec.strip()
    for prefix in ("dpdk:", "virtio:"):
        if spec.startswith(prefix):
            spec = _virtio(spec[len(prefix) :], taken) if prefix == "virtio:" else spec[len(prefix) :]
    spec = spec.replace("queues={}", f"queues={queues}")
    if spec.split(":")[0] == LOOPBACK:
        return _loopback(spec)
    if pci := _PCI.fullmatch(spec.split(",")[0]):
        domain, bus, slot, function = pci.groups(default="0")
        name = f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(slot, 16):02x}.{function}"
        return _new(Device(PCI, name, ",".join([name, *spec.split(",")[1:]])), taken)
    return _vdev(_expand(spec, taken), queues, taken)


def _loopback(spec: str) -> Device:
    if spec not in (LOOPBACK, f"{LOOPBACK}:scatter"):
        raise DeviceError(f"'{spec}' is no device: use {LOOPBACK} or {LOOPBACK}:scatter")
    return Device(LOOPBACK, spec, "", scatter=spec != LOOPBACK)


def _new(device: Device, taken: Collection[str]) -> Device:
    if device.name in taken:
        raise DeviceError(f"the device {device.name} is named twice: name each once")
    return device


def _free_name(kind: str, taken: Collection[str]) -> str:
    return next(name for number in range(len(taken) + 1) if (name := f"net_{kind}{number}") not in taken)


def _virtio(spec: str, taken: Collection[str]) -> str:
    """The predecessors wrote `virtio:` before a name and options, or before options alone."""
    return spec if _RAW.match(spec.split(",")[0]) else f"{_free_name('virtio_user', taken)},{spec}"


def _expand(spec: str, taken: Collection[str]) -> str:
    """Devargs for a short name; devargs themselves as they are."""
    kind, colon, rest = spec.partition(":")
    if _RAW.match(spec.split(",")[0]):
        return re.sub(r"^eth_", "net_", spec)
    bare, comma, options = kind.partition(",")
    if bare in ("ring", "null"):
        return _free_name(bare, taken) + (comma + options if not colon else "," + rest if rest else "")
    if kind in _OPTIONS:
        if not rest:
            raise DeviceError(f"'{spec}' lacks a name: write {_OPTIONS[kind][0]}")
        return f"{_free_name(kind, taken)},{_OPTIONS[kind][1](rest)}"
    raise _unknown(spec, bare)


def _unknown(spec: str, kind: str) -> DeviceError:
    if kind == "kni":
        return DeviceError(f"'{spec}': DPDK has no KNI any more: use tap:{spec.partition(':')[2] or 'te0'}")
    near = get_close_matches(kind.removeprefix("net_"), SHORT_NAMES, 1)
    guess = f"did you mean {near[0]}?" if near else f"use {', '.join(SHORT_NAMES)}, a PCI address or EAL devargs"
    return DeviceError(f"'{spec}' is no device: {guess}")


def _memif(rest: str) -> str:
    path, _, options = rest.partition(",")
    given = f",{options}" if options else ""
    role = "" if "role=" in options else ",role=client" if os.path.exists(path) else ",role=server"
    return f"socket={path},socket-abstract=no{role}{given}"


def _pcap(rest: str) -> str:
    source, _, sink = rest.partition(",")
    return ",".join(f"{key}={path}" for key, path in (("rx_pcap", source), ("tx_pcap", sink)) if path)


_OPTIONS: dict[str, tuple[str, Callable[[str], str]]] = {
    "tap": ("tap:te0", "iface={}".format),
    "af_packet": ("af_packet:eth1", "iface={}".format),
    "af_xdp": ("af_xdp:eth1", "iface={}".format),
    "memif": ("memif:/run/te.sock", _memif),
    "pcap": ("pcap:in.pcap,out.pcap", _pcap),
}
"""Short names that take a name of their own: an example, and how the driver is told."""


def _vdev(devargs: str, queues: int, taken: Collection[str]) -> Device:
    """Check the virtual device *devargs* and add the options its queue count takes."""
    name, *words = devargs.split(",")
    found = _RAW.match(name)
    assert found is not None
    kind = found[1] or found[3]
    _installed(name, kind)
    options = dict(word.partition("=")[::2] for word in words)
    most = _MOST_QUEUES.get(kind)
    if most is not None and queues > most:
        raise DeviceError(
            f"{name} has at most {most} queue{'s' if most > 1 else ''}, not one for each of {queues} cores: use fewer"
        )
    more = _CHECKS[kind](name, options, queues) if kind in _CHECKS else []
    packets = count_packets(options["rx_pcap"]) if "rx_pcap" in options and "infinite_rx" not in options else None
    return _new(Device(kind, name, ",".join([devargs, *more]), packets=packets), taken)


def _installed(name: str, kind: str) -> None:
    """Refuse a driver that DPDK was installed without; net_virtio_user is in librte_net_virtio, net_bonding in ..._bond."""
    there = drivers()
    if there and not any(kind.startswith(driver) for driver in there):
        near = get_close_matches(kind, there, 1)
        guess = f"did you mean net_{near[0]}?" if near else "see `te-apps doctor` for the drivers there are"
        raise DeviceError(f"{name}: DPDK has no driver net_{kind}: {guess}")


def _check_tap(name: str, options: dict[str, str], queues: int) -> list[str]:
    needs.interface_name(name, options.get("iface", "dtap0"))
    needs.tun(name)
    return []


def _check_af_packet(name: str, options: dict[str, str], queues: int) -> list[str]:
    needs.interface(name, options.get("iface", ""))
    needs.capabilities(name, "net_raw", "net_admin")
    defaults = {"qpairs": str(queues), "framecnt": "4096", "qdisc_bypass": "1"}
    return [f"{key}={value}" for key, value in defaults.items() if key not in options]


def _check_af_xdp(name: str, options: dict[str, str], queues: int) -> list[str]:
    interface = options.get("iface", "")
    needs.interface(name, interface)
    needs.capabilities(name, "net_raw", "net_admin")
    there = needs.rx_queues(interface)
    if queues > there:
        raise DeviceError(f"{name}: {interface} has {there} queues for {queues} cores: use fewer, or ethtool -L {interface}")
    return [] if "queue_count" in options else [f"queue_count={queues}"]


def _check_memif(name: str, options: dict[str, str], queues: int) -> list[str]:
    if options.get("role", "client") not in ("server", "client"):
        raise DeviceError(f"{name}: a memif's role is server or client, not '{options['role']}'")
    if options.get("socket-abstract") == "no":
        needs.socket_path(name, options.get("socket", ""))
    return []


def _check_pcap(name: str, options: dict[str, str], queues: int) -> list[str]:
    if "rx_pcap" in options:
        needs.readable(name, options["rx_pcap"])
    if "tx_pcap" in options:
        needs.writable(name, options["tx_pcap"])
    if "iface" in options:
        needs.interface(name, options["iface"])
        needs.capabilities(name, "net_raw")
    return []


_CHECKS: dict[str, Callable[[str, dict[str, str], int], list[str]]] = {
    "tap": _check_tap,
    "af_packet": _check_af_packet,
    "af_xdp": _check_af_xdp,
    "memif": _check_memif,
    "pcap": _check_pcap,
}
