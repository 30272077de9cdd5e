"""Checked values that name cores, addresses, ports and interfaces."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from typing import Any

from apps.addresses import Interface, endpoint_text, ip_text, is_ip6, parse_mac
from apps.config import KernelSide, Listener, Target
from apps.errors import ConfigError, nearest
from apps.portblocks import is_port_mask
from apps.values import each, integer, name, shown, text

_INTERFACE_NAME = re.compile(r"[^\s/:,]{1,15}")


def _core_numbers(value: Any, where: str) -> Iterable[Any]:
    if isinstance(value, int):
        return [value]
    if isinstance(value, list):
        return value
    numbers: list[int] = []
    for part in str(value).split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part)
        if not match:
            raise ConfigError(f"{where}: {shown(value)} is not a list of cores; give 0,1 or 0-3")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"{where}: the range {first}-{last} runs backwards; give {last}-{first}")
        numbers.extend(range(first, last + 1))
    return numbers


def cores(value: Any, where: str) -> tuple[int, ...]:
    """CPU numbers, as a list, `0,1` or `0-3`; each must be usable by this process."""
    numbers = each(integer(0, 65535), "core")(_core_numbers(value, where), where)
    usable = sorted(os.sched_getaffinity(0))
    for number in numbers:
        if number not in usable:
            listed = ",".join(map(str, usable[:8])) + (",..." if len(usable) > 8 else "")
            raise ConfigError(f"{where}: core {number} cannot be used here; choose among {listed} with --cores")
    return numbers


def host_ip(value: Any, where: str) -> int:
    """The IPv4 or IPv6 address of one host."""
    if "%" in text(value, where):
        raise ConfigError(f"{where}: {shown(value)} has a zone; there is no link but the device's: leave out the % and the rest")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ConfigError(f"{where}: {shown(value)} is not an IP address; give one like 10.0.0.1 or 2001:db8::1") from None
    if address.is_loopback:
        raise ConfigError(f"{where}: {value} is inside the kernel, where no device leads; use an address on the device's link")
    if not _is_host(address):
        example = "10.0.0.1" if address.version == 4 else "2001:db8::1"
        raise ConfigError(f"{where}: {value} is not the address of a host; give one like {example}")
    return int(address)


def _is_host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """No group's, nor one of those that stand for none or, in IPv6, for an IPv4 address."""
    if address.version == 4:
        return int(address) >> 24 != 0 and int(address) >> 28 < 14
    return not address.is_multicast and int(address) >> 64 != 0


def gateways(value: Any, where: str) -> tuple[int, ...]:
    """One address, or a list: one of each family."""
    found = each(host_ip, "address")(value if isinstance(value, list | tuple) else [value], where)
    if len({is_ip6(ip) for ip in found}) != len(found):
        raise ConfigError(f"{where}: {', '.join(map(ip_text, found))} are too many; give one gateway for IPv4 and one for IPv6")
    return found


tcp_port = integer(1, 65535, "a port")

MOST_ADDRESSES = 4096
"""In all: each has a queue of client ports, 2 bytes a port."""
MOST_TARGETS = 4096


def interface(value: Any, where: str) -> Interface:
    """`ADDR/LEN`, `FIRST-LAST/LEN`, or with a host part of zero all hosts of a network: `NET/LEN`."""
    hosts, slash, length = text(value, where).partition("/")
    head, dash, tail = hosts.partition("-")
    bits, example = (128, "2001:db8::1/64") if ":" in hosts else (32, "10.0.0.1/24")
    if not slash or not re.fullmatch(r"\d{1,3}", length) or not 1 <= int(length) <= bits:
        raise ConfigError(f"{where}: {shown(value)} needs a prefix length of 1 to {bits}; give ADDR/LEN like {example}")
    first = host_ip(head, where)
    result = Interface(first, int(length), host_ip(tail, where) - first + 1 if dash else 1)
    whole = 1 << (bits - result.prefix)
    if not dash and result.prefix < bits - 1 and first % whole == 0:
        result = Interface(first + 1, result.prefix, whole - (1 if is_ip6(first) else 2))
    if result.count < 1:
        raise ConfigError(f"{where}: the range {hosts} runs backwards; give {tail}-{head}")
    if result.count > MOST_ADDRESSES:
        raise ConfigError(f"{where}: {value} are {result.count} addresses; give at most {MOST_ADDRESSES}: FIRST-LAST/LEN")
    if not (result.is_host(first) or not dash) or not result.is_host(result.addresses[-1]):
        raise ConfigError(
            f"{where}: {value} names the network's broadcast address, or one that is not on its link; give hosts' addresses"
        )
    return result


def ports(value: Any, where: str) -> range:
    """`FIRST-LAST`, ports that clients connect from."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", str(value))
    if not match:
        raise ConfigError(f"{where}: {shown(value)} is not a range of ports; give FIRST-LAST like 1024-65535")
    first, last = tcp_port(int(match[1]), where), tcp_port(int(match[2]), where)
    if last < first:
        raise ConfigError(f"{where}: the range {first}-{last} runs backwards; give {last}-{first}")
    return range(first, last + 1)


def mac(value: Any, where: str) -> int:
    """The MAC address of one station."""
    try:
        result = parse_mac(text(value, where))
    except ValueError:
        raise ConfigError(f"{where}: {shown(value)} is not a MAC address; give one like 02:00:00:00:00:01") from None
    if result == 0 or result >> 40 & 1:
        raise ConfigError(f"{where}: {value} is not the address of one station; give a unicast MAC address")
    return result


def _targets_from_text(value: str, where: str) -> list[Target]:
    head, at, station = value.partition("@")
    place = _place(head)
    if place is None:
        raise ConfigError(
            f"{where}: {shown(value)} is not a target; give IP:PORT like 10.0.0.2:80 or [2001:db8::2]:80, or IP:PORT@MAC"
        )
    number, found = tcp_port(place[1], where), mac(station, where) if at else None
    return [Target(endpoint_text(ip, number), ip, number, found) for ip in _hosts(place[0], where)]


def _hosts(value: Any, where: str) -> range:
    """`IP` or `FIRST-LAST`."""
    head, dash, tail = text(value, where).partition("-")
    first = host_ip(head, where)
    last = host_ip(tail, where) if dash else first
    if not 0 <= last - first < MOST_ADDRESSES:
        raise ConfigError(f"{where}: {value} is not a range of 1 to {MOST_ADDRESSES} addresses; give FIRST-LAST")
    return range(first, last + 1)


def _place(value: str) -> tuple[str, int] | None:
    """The two halves of `IP:PORT`, IPv6 in brackets; None when it is something else."""
    match = re.fullmatch(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*)):(\d{1,9})", value)
    return (match[1] or match[2], int(match[3])) if match else None


def listener(value: Any, where: str) -> Listener:
    """A port, of all our addresses, or `IP:PORT`, of one."""
    if not isinstance(value, str):
        return tcp_port(value, where)
    if re.fullmatch(r"\d{1,9}", value):
        return tcp_port(int(value), where)
    place = _place(value)
    if place is None:
        raise ConfigError(
            f"{where}: {shown(value)} is no place to listen; give a port, or IP:PORT like 10.0.0.1:80 or [2001:db8::1]:80"
        )
    return host_ip(place[0], where), tcp_port(place[1], where)


_TARGET_KEYS = ("id", "ip", "port", "mac")


def target(value: Any, where: str) -> list[Target]:
    """`IP:PORT`, `IP:PORT@MAC` or a table of id, ip, port and mac; IP may be a range, FIRST-LAST."""
    if isinstance(value, str):
        return _targets_from_text(value, where)
    if not isinstance(value, dict):
        raise ConfigError(f'{where}: {shown(value)} is not a target; give {{ ip = "10.0.0.2", port = 80 }}')
    for key in value:
        if key not in _TARGET_KEYS:
            raise ConfigError(f"{where}.{key}: unknown key; a target has {', '.join(_TARGET_KEYS)}{nearest(key, _TARGET_KEYS)}")
    for key in ("ip", "port"):
        if key not in value:
            raise ConfigError(f"{where}.{key}: missing; a target needs ip and port")
    ips, port = _hosts(value["ip"], f"{where}.ip"), tcp_port(value["port"], f"{where}.port")
    identity = text(value["id"], f"{where}.id") if "id" in value else ""
    station = mac(value["mac"], f"{where}.mac") if "mac" in value else None
    several = [f"{identity}-{ip_text(ip)}" if identity else endpoint_text(ip, port) for ip in ips]
    names = [identity] if identity and len(ips) == 1 else several
    return [Target(name, ip, port, station) for name, ip in zip(names, ips, strict=True)]


def targets(value: Any, where: str) -> tuple[Target, ...]:
    """A list of targets, not empty, each address and port and each id once."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: {shown(value)} is not a list; give targets = [ ... ]")
    if not value:
        raise ConfigError(f'{where}: empty; give at least one target, or none and role = "server"')
    places = [where if where.startswith("-") else f"{where}[{index}]" for index in range(len(value))]
    result = [(item, place) for given, place in zip(value, places, strict=True) for item in target(given, place)]
    if len(result) > MOST_TARGETS:
        raise ConfigError(f"{where}: {len(result)} targets are too many; give at most {MOST_TARGETS}")
    seen: set[Any] = set()
    ids: set[str] = set()
    for item, place in result:
        if (item.ip, item.port, item.mac) in seen:
            raise ConfigError(f"{place}: {endpoint_text(item.ip, item.port)} is given twice; name each target once")
        if item.id in ids:
            raise ConfigError(f"{place}.id: {shown(item.id)} is given twice; ids must differ")
        seen.add((item.ip, item.port, item.mac))
        ids.add(item.id)
    return tuple(item for item, _ in result)


def port_mask(value: Any, where: str) -> int:
    """A 16-bit mask of leading ones, as a hexadecimal string or an int."""
    try:
        mask = value if isinstance(value, int) else int(text(value, where), 16)
    except ValueError:
        raise ConfigError(f'{where}: {shown(value)} is not hexadecimal; give a mask like "E000"') from None
    if isinstance(value, bool) or not is_port_mask(mask):
        raise ConfigError(f'{where}: {shown(value)} is not a run of leading ones in 16 bits; give a mask like "E000"')
    return mask


def interface_name(value: Any, where: str) -> str:
    """A name the kernel takes for a network interface."""
    if not _INTERFACE_NAME.fullmatch(text(value, where)) or value in (".", ".."):
        raise ConfigError(f"{where}: {shown(value)} is no interface name; give at most 15 characters without space, / or :")
    return value


def _single(value: Any, where: str) -> Interface:
    result = interface(value, where)
    if result.count > 1:
        raise ConfigError(f"{where}: {value} are several addresses; the kernel's interface takes one, ADDR/LEN")
    return result


_KERNEL_SIDE_KEYS = ("name", "address", "namespace")


def kernel_side(value: Any, where: str) -> KernelSide:
    """`NAME`, `NAME,ADDR/LEN` or a table of name, address and namespace."""
    if isinstance(value, str):
        head, comma, address = value.partition(",")
        value = {"name": head, **({"address": address} if comma else {})}
    if not isinstance(value, dict) or "name" not in value:
        raise ConfigError(f'{where}: {shown(value)} names no interface; give {{ name = "te-kernel", address = "10.0.0.1/24" }}')
    for key in value:
        if key not in _KERNEL_SIDE_KEYS:
            raise ConfigError(
                f"{where}.{key}: unknown key; there are {', '.join(_KERNEL_SIDE_KEYS)}{nearest(key, _KERNEL_SIDE_KEYS)}"
            )
    return KernelSide(
        interface_name(value["name"], where),
        _single(value["address"], where) if "address" in value else None,
        name(value["namespace"], where) if "namespace" in value else None,
    )
