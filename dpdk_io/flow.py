"""Steering by the device: one rte_flow rule per queue, or RSS with a known key and redirection table."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from dpdk_io import shim
from dpdk_io.eal import check, quiet, take_log
from dpdk_io.errors import DeviceError, UsageError
from dpdk_io.ethport import EthPort
from dpdk_io.ports import Port

RSS_IPV4_TCP = 1 << 4
"""DPDK's bit for TCP over IPv4, hashed by addresses and ports (RTE_ETH_RSS_NONFRAG_IPV4_TCP)."""
RSS_IPV6_TCP = 1 << 10
"""The same over IPv6 (RTE_ETH_RSS_NONFRAG_IPV6_TCP)."""

_USUAL_KEY = 40
"""Bytes of the key where the driver does not say."""


@dataclass(frozen=True)
class Rule:
    """Packets whose IPv4 destination and TCP destination port, each under its mask, are *ip* and *port* go to *queue*. A mask
    of 0 leaves that field out. Host order."""

    queue: int
    ip: int = 0
    ip_mask: int = 0
    port: int = 0
    port_mask: int = 0


@dataclass(frozen=True)
class Ability:
    """What a port can do: hash these RSS types with a key of so many bytes over a table of so many entries (0: it cannot)."""

    rss_types: int
    key_bytes: int
    reta_size: int

    @property
    def rss(self) -> bool:
        """Whether flows of TCP over IPv4 can be spread by a key and a table of our choice."""
        return bool(self.rss_types & RSS_IPV4_TCP and self.key_bytes and self.reta_size)


def _eth(port: Port) -> EthPort:
    if not isinstance(port.device, EthPort):
        raise DeviceError(f"{port.name} does not steer by rules: steer in software")
    return port.device


def ability(port: Port) -> Ability:
    """What *port* can do by RSS; only trying tells about rules."""
    if not isinstance(port.device, EthPort):
        return Ability(0, 0, 0)
    info = port.device.info
    return Ability(info.rss_types, info.key_bytes or (_USUAL_KEY if info.reta_size else 0), info.reta_size)


def install(port: Port, rules: Sequence[Rule]) -> None:
    """Make the device apply *rules*, all or none; DeviceError with its reason when it cannot."""
    device = _eth(port)
    for rule in rules:
        if not 0 <= rule.queue < port.n_queues:
            raise UsageError(f"{port.name} has no queue {rule.queue}: use 0 to {port.n_queues - 1}")
        if reason := _refused(device, rule):
            remove(port)
            raise DeviceError(f"{port.name} does not take the rule for queue {rule.queue} ({reason}): steer in software")


def _refused(device: EthPort, rule: Rule) -> str:
    """Ask for one rule; why it was refused, or nothing."""
    why = ctypes.create_string_buffer(128)
    with quiet():
        made = shim.load().te_flow_to_queue(
            device.handle, rule.queue,
            socket.htonl(rule.ip), socket.htonl(rule.ip_mask), socket.htons(rule.port), socket.htons(rule.port_mask),
            why, len(why),
        )  # fmt: skip
    take_log()
    return "" if made else why.value.decode() or "no reason given"


def remove(port: Port) -> None:
    """Remove all rules."""
    with quiet():
        shim.load().te_flow_flush(_eth(port).handle)
    take_log()


def set_rss(port: Port, key: bytes, queues: Sequence[int], types: int = RSS_IPV4_TCP) -> None:
    """Hash *types* with *key*, and send hash h to `queues[h % len(queues)]`; DeviceError where the device cannot."""
    device, can = _eth(port), ability(port)
    if not can.rss or not can.rss_types & types:
        raise DeviceError(f"{port.name} does not spread flows by RSS: steer in software")
    if len(key) != can.key_bytes or can.reta_size % len(queues):
        raise UsageError(f"{port.name} takes a key of {can.key_bytes} bytes and a table that divides {can.reta_size} entries")
    table = (ctypes.c_uint16 * can.reta_size)(*(queues[i % len(queues)] for i in range(can.reta_size)))
    what = f"{port.name} does not take the RSS key or table"
    check(what, shim.load().te_rss_key(device.handle, key, len(key), ctypes.c_uint64(can.rss_types & types)))
    check(what, shim.load().te_rss_reta(device.handle, table, can.reta_size))
