"""Checked values that name cores, addresses, ports and interfaces."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from apps.addresses import Interface, ip_text, parse_ip, parse_mac
from apps.config import KernelSide, Target
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
    """The IPv4 address of one host."""
    try:
        ip = parse_ip(text(value, where))
    except ValueError:
        remedy = "; IPv6 is not supported" if ":" in value else ""
        raise ConfigError(f"{where}: {shown(value)} is not an IPv4 address; give one like 10.0.0.1{remedy}") from None
    if ip >> 24 == 127:
        raise ConfigError(f"{where}: {value} is inside the kernel, where no device leads; use an address on the device's link")
    if ip >> 24 == 0 or ip >> 28 >= 14:
        raise ConfigError(f"{where}: {value} is not the address of a host; give one like 10.0.0.1")
    return ip


def interface(value: Any, where: str) -> Interface:
    """`ADDR/LEN`."""
    address, slash, length = text(value, where).partition("/")
    if ":" in address:
        host_ip(address, where)
    if not slash or not re.fullmatch(r"\d{1,2}", length) or not 1 <= int(length) <= 32:
        raise ConfigError(f"{where}: {shown(value)} needs a prefix length of 1 to 32; give ADDR/LEN like 10.0.0.1/24")
    result = Interface(host_ip(address, where), int(length))
    if not result.is_host(result.address):
        raise ConfigError(f"{where}: {value} names the network or its broadcast, not a host; give a host's address")
    return result


def mac(value: Any, where: str) -> int:
    """The MAC address of one station."""
    try:
        result = parse_mac(text(value, where))
    except ValueError:
        raise ConfigError(f"{where}: {shown(value)} is not a MAC address; give one like 02:00:00:00:00:01") from None
    if result == 0 or result >> 40 & 1:
        raise ConfigError(f"{where}: {value} is not the address of one station; give a unicast MAC address")
    return result


tcp_port = integer(1, 65535, "a port")


def _target_from_text(value: str, where: str) -> Target:
    head, at, station = value.partition("@")
    ip, colon, port = head.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,9}", port):
        raise ConfigError(f"{where}: {shown(value)} is not a target; give IP:PORT like 10.0.0.2:80, or IP:PORT@MAC")
    return Target(head, host_ip(ip, where), tcp_port(int(port), where), mac(station, where) if at else None)


_TARGET_KEYS = ("id", "ip", "port", "mac")


def target(value: Any, where: str) -> Target:
    """`IP:PORT`, `IP:PORT@MAC` or a table of id, ip, port and mac."""
    if isinstance(value, str):
        return _target_from_text(value, where)
    if not isinstance(value, dict):
        raise ConfigError(f'{where}: {shown(value)} is not a target; give {{ ip = "10.0.0.2", port = 80 }}')
    for key in value:
        if key not in _TARGET_KEYS:
            raise ConfigError(f"{where}.{key}: unknown key; a target has {', '.join(_TARGET_KEYS)}{nearest(key, _TARGET_KEYS)}")
    for key in ("ip", "port"):
        if key not in value:
            raise ConfigError(f"{where}.{key}: missing; a target needs ip and port")
    ip, port = host_ip(value["ip"], f"{where}.ip"), tcp_port(value["port"], f"{where}.port")
    identity = text(value["id"], f"{where}.id") if "id" in value else f"{ip_text(ip)}:{port}"
    return Target(identity, ip, port, mac(value["mac"], f"{where}.mac") if "mac" in value else None)


def targets(value: Any, where: str) -> tuple[Target, ...]:
    """A list of targets, not empty, each address and port and each id once."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: {shown(value)} is not a list; give targets = [ ... ]")
    if not value:
        raise ConfigError(f'{where}: empty; give at least one target, or none and role = "server"')
    places = [where if where.startswith("-") else f"{where}[{index}]" for index in range(len(value))]
    result = tuple(target(item, place) for item, place in zip(value, places, strict=True))
    for index, (item, place) in enumerate(zip(result, places, strict=True)):
        if any((item.ip, item.port, item.mac) == (other.ip, other.port, other.mac) for other in result[:index]):
            raise ConfigError(f"{place}: {ip_text(item.ip)}:{item.port} is given twice; name each target once")
        if any(item.id == other.id for other in result[:index]):
            raise ConfigError(f"{place}.id: {shown(item.id)} is given twice; ids must differ")
    return result


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
        interface(value["address"], where) if "address" in value else None,
        name(value["namespace"], where) if "namespace" in value else None,
    )
