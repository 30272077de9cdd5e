"""Ethernet frames without VLAN tags, and ARP (RFC 826), as bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from operators import wire

BROADCAST = 0xFFFFFFFFFFFF
_ARP = struct.Struct(">HHHH6sI6sI")
_ETHERNET_IPV4 = (wire.ARP_ETHERNET, wire.ETHERTYPE_IPV4, wire.ARP_SIX_FOUR)
_ETHERTYPES = {4: wire.ETHERTYPE_IPV4, 6: wire.ETHERTYPE_IPV6}


class Ethernet(NamedTuple):
    """A frame: who sent it, whether to a group, and what."""

    source: int
    to_group: bool
    destination: int
    ethertype: int
    content: bytes


def ethernet(frame: bytes) -> Ethernet:
    """The frame taken apart; it has at least 14 bytes."""
    destination = int.from_bytes(frame[:6], "big")
    source, ethertype = int.from_bytes(frame[6:12], "big"), int.from_bytes(frame[12:14], "big")
    return Ethernet(source, bool(destination & wire.ETH_GROUP_BIT), destination, ethertype, frame[wire.ETH_HEADER :])


def framed(to: int, source: int, packet: bytes) -> bytes:
    """The frame of an IP packet."""
    return _frame(to, source, _ETHERTYPES[packet[0] >> 4], packet)


def _frame(to: int, source: int, ethertype: int, content: bytes) -> bytes:
    frame = to.to_bytes(6, "big") + source.to_bytes(6, "big") + ethertype.to_bytes(2, "big") + content
    return frame.ljust(wire.MIN_FRAME, b"\0")


class Arp(NamedTuple):
    """An ARP packet about IPv4 over Ethernet."""

    operation: int
    sender_mac: int
    sender_ip: int
    target_ip: int


def arp(packet: bytes) -> Arp | None:
    """The packet taken apart; None when it is of another kind, or from no station."""
    if len(packet) < wire.ARP_SIZE or _ARP.unpack_from(packet)[:3] != _ETHERNET_IPV4:
        return None
    _, _, _, operation, sender, sender_ip, _, target_ip = _ARP.unpack_from(packet)
    mac = int.from_bytes(sender, "big")
    return None if mac == 0 or mac & wire.ETH_GROUP_BIT else Arp(operation, mac, sender_ip, target_ip)


def arp_frame(operation: int, own_mac: int, own: int, ip: int, to: int | None = None) -> bytes:
    """From us, who have *own*, about *ip*: a request to everybody, or the reply to the station *to*."""
    target = bytes(6) if to is None else to.to_bytes(6, "big")
    content = _ARP.pack(*_ETHERNET_IPV4, operation, own_mac.to_bytes(6, "big"), own, target, ip)
    return _frame(BROADCAST if to is None else to, own_mac, wire.ETHERTYPE_ARP, content)
