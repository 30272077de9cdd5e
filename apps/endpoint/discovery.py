"""Neighbour discovery (RFC 4861) in packets as bytes, by what the operators have for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from apps.endpoint.packets import Ip
from dpdk_io.memory import aligned
from operators import wire
from operators.edit import get_mac
from operators.icmp6 import ND_SIZE, is_neighbourly, option, write_neighbourly

ALL_NODES = 0xFF02 << 112 | 1
_SOLICITED_NODES = 0xFF02 << 112 | 0x1FF << 24
_SIZE = wire.IP6_HEADER + ND_SIZE
_WHERE = np.dtype([(name, "<i8") for name in ("l3", "l4", "payload", "payload_len")])


class Neighbourly(NamedTuple):
    """A solicitation or advertisement. The source is 0 of somebody who looks whether the target is free. *overrides*: *mac*
    counts even where another one is known (RFC 4861 sections 7.2.3 and 7.2.5)."""

    is_question: bool
    source: int
    target: int
    mac: int | None
    overrides: bool


def solicited_nodes(ip: int) -> int:
    """The group that the station with *ip* hears, as all do whose address ends as it does (RFC 4291 section 2.7.1)."""
    return _SOLICITED_NODES | ip & 0xFFFFFF


def group_mac(ip: int) -> int:
    """The MAC address of a group (RFC 2464 section 7)."""
    return 0x3333 << 32 | ip & 0xFFFFFFFF


class Discovery:
    """Reads and writes messages of neighbour discovery for the station *mac*."""

    def __init__(self, mac: int) -> None:
        self._mac = mac
        self._memory = aligned(1, _WHERE)
        self._where: Any = self._memory[0]
        self._packet = np.zeros(_SIZE, np.uint8)

    @staticmethod
    def is_meant(ip: Ip) -> bool:
        """Whether *ip* is a solicitation or an advertisement."""
        return ip.protocol == wire.PROTO_ICMP6 and ip.payload[:1] in (
            bytes((wire.ND_SOLICITATION,)), bytes((wire.ND_ADVERTISEMENT,))
        )  # fmt: skip

    def read(self, packet: bytes, ip: Ip) -> Neighbourly | None:
        """The message in *packet*, which *ip* is; None for one that sections 7.1.1 and 7.1.2 say to discard."""
        where, message = self._where, ip.payload
        where.l3, where.l4 = 0, wire.IP6_HEADER + int.from_bytes(packet[4:6], "big") - len(message)
        where.payload, where.payload_len = int(where.l4) + wire.ICMP_HEADER, len(message) - wire.ICMP_HEADER
        memory = np.frombuffer(packet, np.uint8)
        place = int(memory.ctypes.data)
        if not is_neighbourly(place, where):
            return None
        is_question = message[0] == wire.ND_SOLICITATION
        told = int(option(place, where, wire.ND_SOURCE_MAC if is_question else wire.ND_TARGET_MAC))
        mac = int(get_mac(told)) if told else None
        looks = is_question and ip.source == 0
        if (looks and mac is not None) or (mac is not None and mac & wire.ETH_GROUP_BIT):
            return None
        target = int.from_bytes(message[wire.ND_TARGET : wire.ND_OPTIONS], "big")
        overrides = is_question or bool(message[wire.ND_FLAGS] & wire.ND_OVERRIDE)
        return Neighbourly(is_question, ip.source, target, mac, overrides)

    def question(self, own: int, target: int) -> tuple[bytes, int]:
        """The packet that asks for the MAC address of *target*, and the one that it goes to (section 7.2.2)."""
        group = solicited_nodes(target)
        return self._written(own, group, target, wire.ND_SOLICITATION, 0, wire.ND_SOURCE_MAC), group_mac(group)

    def answer(self, asked: Neighbourly, source_mac: int) -> tuple[bytes, int]:
        """The same for our answer (section 7.2.4): to who asked, or to all if they look whether the address is free."""
        own, kind, option_kind = asked.target, wire.ND_ADVERTISEMENT, wire.ND_TARGET_MAC
        if asked.source == 0:
            packet = self._written(own, ALL_NODES, own, kind, wire.ND_OVERRIDE, option_kind)
            return packet, group_mac(ALL_NODES)
        packet = self._written(own, asked.source, own, kind, wire.ND_OVERRIDE | wire.ND_SOLICITED, option_kind)
        return packet, asked.mac if asked.mac is not None else source_mac

    def _written(self, source: int, destination: int, target: int, kind: int, flags: int, option_kind: int) -> bytes:
        addresses = b"".join(ip.to_bytes(16, "big") for ip in (source, destination))
        at = wire.IP6_HEADER + wire.ND_TARGET
        self._packet[wire.IP6_SRC : wire.IP6_HEADER] = np.frombuffer(addresses, np.uint8)
        self._packet[at : at + 16] = np.frombuffer(target.to_bytes(16, "big"), np.uint8)
        write_neighbourly(int(self._packet.ctypes.data), kind, flags, option_kind, self._mac)
        return self._packet.tobytes()
