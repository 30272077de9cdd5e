"""Frames as bytes: what arrives taken apart and checked, and what is sent put together. Payload sent is zeros.

IPv4 over Ethernet without VLAN tags, ARP, ping, and what ICMP errors quote (RFC 791, 792, 826).
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from dpdk_io.memory import aligned
from operators import wire
from tcp import SEGMENT
from tcp.header import HEADER_LEN, header_len, parse_header, parse_options, write_header

_ADDRESSES = struct.Struct(">II")
_ARP = struct.Struct(">HHHH6sI6sI")
_ETHERNET_IPV4 = (wire.ARP_ETHERNET, wire.ETHERTYPE_IPV4, wire.ARP_SIX_FOUR)
_BROADCAST = 0xFFFFFFFFFFFF
_DONT_FRAGMENT = 0x4000
_LONGEST_HEADER = 60
_TTL = 64

Place = tuple[int, int]
"""Address and port, in host byte order."""
Key = tuple[int, int, int, int]
"""Our address and port, the peer's address and port: what tells connections apart."""


def ones_sum(data: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), 0 for either zero; over intact data it is 0."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF


def _checksum(data: bytes) -> bytes:
    """The complement of the sum, which is the negative zero unless every byte is 0."""
    total = ones_sum(data) or (0xFFFF if any(data) else 0)
    return (0xFFFF - total).to_bytes(2, "big")


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


class Ipv4(NamedTuple):
    """An IPv4 packet without its header and what padded the frame."""

    source: int
    destination: int
    protocol: int
    tos: int
    is_fragment: bool
    payload: bytes


def ipv4(packet: bytes) -> Ipv4 | None:
    """The packet taken apart; None when its header is damaged. Options are passed over (MUST-50)."""
    if len(packet) < wire.IP_HEADER or packet[0] >> 4 != 4:
        return None
    header = (packet[0] & 15) * 4
    total, _, fragment = struct.unpack_from(">HHH", packet, wire.IP_TOTAL_LENGTH)
    if header < wire.IP_HEADER or total < header or len(packet) < total or ones_sum(packet[:header]):
        return None
    source, destination = _ADDRESSES.unpack_from(packet, wire.IP_SRC)
    is_fragment = bool(fragment & wire.IP_MORE_FRAGMENTS_OR_OFFSET)
    return Ipv4(source, destination, packet[wire.IP_PROTOCOL], packet[wire.IP_TOS], is_fragment, packet[header:total])


def _pseudo(source: int, destination: int, length: int) -> bytes:
    return struct.pack(">IIHH", source, destination, wire.PROTO_TCP, length)


class Reader:
    """Fills one SEGMENT record from packets."""

    def __init__(self) -> None:
        self._memory = aligned(1, SEGMENT)
        self.segment: Any = self._memory[0]
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def read(self, ip: Ipv4) -> str:
        """Fill `segment` from the TCP segment in *ip*; what is wrong with it, or nothing."""
        data = ip.payload
        if ones_sum(_pseudo(ip.source, ip.destination, len(data)) + data):
            return "checksum"
        head = data[:_LONGEST_HEADER]
        self._header[: len(head)] = np.frombuffer(head, np.uint8)
        address = int(self._header.ctypes.data)
        length = int(header_len(address)) if len(data) >= HEADER_LEN else 0
        if not HEADER_LEN <= length <= len(data):
            return "bad_tcp"
        parse_header(address, self.segment)
        self.segment.payload_len = len(data) - length
        self.segment.tos = ip.tos
        if length > HEADER_LEN and not parse_options(address + HEADER_LEN, length - HEADER_LEN, self.segment):
            return "bad_options"
        return ""


class Writer:
    """Makes frames of what the station *mac* sends."""

    def __init__(self, mac: int) -> None:
        self._mac = mac.to_bytes(6, "big")
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def tcp(self, out: Any, local: Place, peer: Place, to: int, tos: int = 0, ttl: int = _TTL) -> bytes:
        """The frame of the SEGMENT *out* to the MAC address *to*."""
        length = int(write_header(int(self._header.ctypes.data), local[1], peer[1], out))
        head = bytearray(self._header[:length].tobytes())
        payload = int(out.payload_len)
        head[16:18] = _checksum(_pseudo(local[0], peer[0], length + payload) + head)
        return self._ipv4(to, local[0], peer[0], wire.PROTO_TCP, bytes(head) + bytes(payload), tos, ttl)

    def echo_reply(self, ip: Ipv4, to: int) -> bytes:
        """The answer to the ping *ip*."""
        rest = bytes((wire.ICMP_ECHO_REPLY, 0, 0, 0)) + ip.payload[4:]
        icmp = rest[:2] + _checksum(rest) + rest[4:]
        return self._ipv4(to, ip.destination, ip.source, wire.PROTO_ICMP, icmp)

    def arp_request(self, own: int, ip: int) -> bytes:
        """Who has *ip*?"""
        return self._arp(_BROADCAST, wire.ARP_REQUEST, own, bytes(6), ip)

    def arp_reply(self, own: int, to: int, ip: int) -> bytes:
        """*own* is ours, to *ip*, who asked."""
        return self._arp(to, wire.ARP_REPLY, own, to.to_bytes(6, "big"), ip)

    def _arp(self, to: int, operation: int, own: int, target: bytes, ip: int) -> bytes:
        return self._padded(to, wire.ETHERTYPE_ARP, _ARP.pack(*_ETHERNET_IPV4, operation, self._mac, own, target, ip))

    def _ipv4(
        self, to: int, source: int, destination: int, protocol: int, payload: bytes, tos: int = 0, ttl: int = _TTL
    ) -> bytes:
        total = wire.IP_HEADER + len(payload)
        head = struct.pack(">BBHHHBBHII", 0x45, tos, total, 0, _DONT_FRAGMENT, ttl, protocol, 0, source, destination)
        return self._padded(to, wire.ETHERTYPE_IPV4, head[:10] + _checksum(head) + head[12:] + payload)

    def _padded(self, to: int, ethertype: int, content: bytes) -> bytes:
        frame = to.to_bytes(6, "big") + self._mac + ethertype.to_bytes(2, "big") + content
        return frame.ljust(wire.MIN_FRAME, b"\0")


def is_ping(ip: Ipv4) -> bool:
    """Whether *ip* is an intact echo request."""
    return (
        ip.payload[:2] == bytes((wire.ICMP_ECHO_REQUEST, 0)) and len(ip.payload) >= wire.ICMP_HEADER and not ones_sum(ip.payload)
    )


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


class IcmpError(NamedTuple):
    """An ICMP error about a segment of ours: where that came from and went to, and its sequence number."""

    type: int
    code: int
    key: Key
    seq: int
    mtu: int


def icmp_error(ip: Ipv4) -> IcmpError | None:
    """The error in *ip* if it is intact and quotes a TCP segment."""
    icmp = ip.payload
    quoted = icmp[wire.ICMP_HEADER :]
    if ones_sum(icmp) or len(quoted) < wire.IP_HEADER or quoted[0] >> 4 != 4 or quoted[wire.IP_PROTOCOL] != wire.PROTO_TCP:
        return None
    tcp = quoted[(quoted[0] & 15) * 4 :]
    if len(tcp) < 8:
        return None
    source, destination = _ADDRESSES.unpack_from(quoted, wire.IP_SRC)
    sport, dport, seq = struct.unpack_from(">HHI", tcp)
    return IcmpError(icmp[0], icmp[1], (source, sport, destination, dport), seq, int.from_bytes(icmp[6:8], "big"))
