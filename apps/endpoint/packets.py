"""IP packets as bytes: what arrives taken apart and checked, and what is sent put together (RFC 791, RFC 8200)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from apps.addresses import is_ip6
from operators import wire

_ADDRESSES = struct.Struct(">II")
_IP6 = struct.Struct(">IHBB16s16s")
_DONT_FRAGMENT = 0x4000
_EXTENSIONS = (wire.IP6_HOP_BY_HOP, wire.IP6_ROUTING, wire.IP6_DESTINATION)
TTL = 64

Place = tuple[int, int]
"""Address and port, in host byte order."""
Key = tuple[int, int, int, int]
"""Our address and port, the peer's address and port: what tells connections apart."""


def ones_sum(data: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), 0 for either zero; over intact data it is 0."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF


def checksum(data: bytes) -> bytes:
    """The complement of the sum, which is the negative zero unless every byte is 0."""
    total = ones_sum(data) or (0xFFFF if any(data) else 0)
    return (0xFFFF - total).to_bytes(2, "big")


def pseudo_header(source: int, destination: int, protocol: int, length: int) -> bytes:
    """What checksums cover beside the *length* bytes they stand in (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    if is_ip6(source):
        return source.to_bytes(16, "big") + destination.to_bytes(16, "big") + struct.pack(">II", length, protocol)
    return struct.pack(">IIHH", source, destination, protocol, length)


class Ip(NamedTuple):
    """An IP packet without its headers and what padded the frame. *tos*: type of service, or traffic class."""

    source: int
    destination: int
    protocol: int
    tos: int
    is_fragment: bool
    payload: bytes


def ipv4(packet: bytes) -> Ip | None:
    """The packet taken apart; None when its header is damaged. Options are passed over (MUST-50)."""
    if len(packet) < wire.IP_HEADER or packet[0] >> 4 != 4:
        return None
    header = (packet[0] & 15) * 4
    total, _, fragment = struct.unpack_from(">HHH", packet, wire.IP_TOTAL_LENGTH)
    if header < wire.IP_HEADER or total < header or len(packet) < total or ones_sum(packet[:header]):
        return None
    source, destination = _ADDRESSES.unpack_from(packet, wire.IP_SRC)
    is_fragment = bool(fragment & wire.IP_MORE_FRAGMENTS_OR_OFFSET)
    return Ip(source, destination, packet[wire.IP_PROTOCOL], packet[wire.IP_TOS], is_fragment, packet[header:total])


def ipv6(packet: bytes) -> Ip | None:
    """The packet taken apart; None when it is damaged. Extension headers are passed over, but for a routing header whose route
    goes on, which is then the protocol (RFC 8200 section 4)."""
    if len(packet) < wire.IP6_HEADER or packet[0] >> 4 != 6:
        return None
    word, length, protocol, _, source, destination = _IP6.unpack_from(packet)
    place, end = wire.IP6_HEADER, wire.IP6_HEADER + length
    if len(packet) < end:
        return None
    while protocol in _EXTENSIONS:
        if end < place + 8:
            return None
        if protocol == wire.IP6_ROUTING and packet[place + wire.IP6_SEGMENTS_LEFT]:
            break
        protocol, place = packet[place], place + (packet[place + 1] + 1) * 8
        if end < place:
            return None
    addresses = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
    return Ip(*addresses, protocol, word >> 20 & 0xFF, protocol == wire.IP6_FRAGMENT, packet[place:end])


def ip_packet(
    source: int, destination: int, protocol: int, payload: bytes, tos: int = 0, ttl: int = TTL, label: int = 0
) -> bytes:
    """The packet of the addresses' family. *label*: the flow label of an IPv6 one (RFC 6437)."""
    if is_ip6(source):
        octets = source.to_bytes(16, "big"), destination.to_bytes(16, "big")
        return _IP6.pack(6 << 28 | tos << 20 | label, len(payload), protocol, ttl, *octets) + payload
    total = wire.IP_HEADER + len(payload)
    head = struct.pack(">BBHHHBBHII", 0x45, tos, total, 0, _DONT_FRAGMENT, ttl, protocol, 0, source, destination)
    return head[:10] + checksum(head) + head[12:] + payload
