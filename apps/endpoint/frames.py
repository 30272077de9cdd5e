"""Frames as bytes: TCP segments taken out of them and put into them, ARP, and what ICMP errors quote. Payload sent is zeros."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from dpdk_io.memory import aligned
from operators import wire
from tcp import SEGMENT
from tcp.header import HEADER_LEN, header_len, parse_header, parse_options, write_header

_PORTS = struct.Struct(">HH")
_ADDRESSES = struct.Struct(">II")
_ARP = struct.Struct(">HHHH6sI6sI")
_BROADCAST = 0xFFFFFFFFFFFF
_DONT_FRAGMENT = 0x4000
_LONGEST_HEADER = 60


class Packet(NamedTuple):
    """A TCP segment that arrived: who sent it to whom."""

    source_mac: int
    local: tuple[int, int]
    peer: tuple[int, int]
    segment: bytes

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What tells connections apart."""
        return (*self.local, *self.peer)


def _sum(data: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071); 0 stands for both zeros."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF


def _checksum(data: bytes) -> int:
    return 0xFFFF - _sum(data)


def _pseudo(source: int, destination: int, length: int) -> bytes:
    return struct.pack(">IIHH", source, destination, wire.PROTO_TCP, length)


def _transport(frame: bytes) -> tuple[int, int]:
    """Where the IPv4 payload begins and ends; `operators.parse` has checked that it is there."""
    ip = wire.ETH_HEADER
    header = (frame[ip] & 15) * 4
    return ip + header, ip + int.from_bytes(frame[ip + wire.IP_TOTAL_LENGTH : ip + wire.IP_TOTAL_LENGTH + 2], "big")


def unpack(frame: bytes) -> Packet:
    """The TCP segment in the IPv4 packet in *frame*."""
    start, end = _transport(frame)
    source, destination = _ADDRESSES.unpack_from(frame, wire.ETH_HEADER + wire.IP_SRC)
    sport, dport = _PORTS.unpack_from(frame, start)
    mac = int.from_bytes(frame[wire.ETH_SRC : wire.ETH_SRC + 6], "big")
    return Packet(mac, (destination, dport), (source, sport), frame[start:end])


def intact(packet: Packet) -> bool:
    """Does the checksum fit?"""
    return _sum(_pseudo(packet.peer[0], packet.local[0], len(packet.segment)) + packet.segment) == 0


class Reader:
    """Fills one SEGMENT record from packets."""

    def __init__(self) -> None:
        self._memory = aligned(1, SEGMENT)
        self.segment: Any = self._memory[0]
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def read(self, packet: Packet) -> bool:
        """Fill `segment`; False when the options are malformed."""
        data = packet.segment
        head = data[:_LONGEST_HEADER]
        self._header[: len(head)] = np.frombuffer(head, np.uint8)
        address = int(self._header.ctypes.data)
        length = int(header_len(address))
        parse_header(address, self.segment)
        self.segment.payload_len = len(data) - length
        return length == HEADER_LEN or bool(parse_options(address + HEADER_LEN, length - HEADER_LEN, self.segment))


class Writer:
    """Makes frames of segments."""

    def __init__(self, mac: int) -> None:
        self._mac = mac
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def tcp(self, out: Any, local: tuple[int, int], peer: tuple[int, int], to: int, tos: int = 0, ttl: int = 64) -> bytes:
        """The frame of the SEGMENT *out* to the MAC address *to*."""
        length = int(write_header(int(self._header.ctypes.data), local[1], peer[1], out))
        head = bytearray(self._header[:length].tobytes())
        payload = int(out.payload_len)
        check = _checksum(_pseudo(local[0], peer[0], length + payload) + head)
        head[16:18] = check.to_bytes(2, "big")
        ip = _ipv4(length + payload, local[0], peer[0], tos, ttl)
        return self._padded(to, wire.ETHERTYPE_IPV4, ip + bytes(head) + bytes(payload))

    def arp_request(self, own: int, ip: int) -> bytes:
        """Who has *ip*?"""
        mac = self._mac.to_bytes(6, "big")
        lengths = wire.ARP_SIX_FOUR
        arp = _ARP.pack(wire.ARP_ETHERNET, wire.ETHERTYPE_IPV4, lengths, wire.ARP_REQUEST, mac, own, bytes(6), ip)
        return self._padded(_BROADCAST, wire.ETHERTYPE_ARP, arp)

    def _padded(self, to: int, ethertype: int, content: bytes) -> bytes:
        frame = to.to_bytes(6, "big") + self._mac.to_bytes(6, "big") + ethertype.to_bytes(2, "big") + content
        return frame.ljust(wire.MIN_FRAME, b"\0")


def _ipv4(payload: int, source: int, destination: int, tos: int, ttl: int) -> bytes:
    total = wire.IP_HEADER + payload
    head = struct.pack(">BBHHHBBHII", 0x45, tos, total, 0, _DONT_FRAGMENT, ttl, wire.PROTO_TCP, 0, source, destination)
    return head[:10] + _checksum(head).to_bytes(2, "big") + head[12:]


def arp_sender(frame: bytes) -> tuple[int, int] | None:
    """IP and MAC address of the sender of an ARP packet; None when it is no station's."""
    start = wire.ETH_HEADER
    kinds = struct.unpack_from(">HHH", frame, start)
    if kinds != (wire.ARP_ETHERNET, wire.ETHERTYPE_IPV4, wire.ARP_SIX_FOUR):
        return None
    _, _, _, _, sender, ip, _, _ = _ARP.unpack_from(frame, start)
    mac = int.from_bytes(sender, "big")
    return None if mac == 0 or mac & wire.ETH_GROUP_BIT else (ip, mac)


class IcmpError(NamedTuple):
    """An ICMP error about a segment of ours (RFC 792): where that came from and went to, and its sequence number."""

    type: int
    code: int
    local: tuple[int, int]
    peer: tuple[int, int]
    seq: int
    mtu: int

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What tells connections apart."""
        return (*self.local, *self.peer)


def icmp_error(frame: bytes) -> IcmpError | None:
    """The error in *frame* if it quotes a TCP segment and is intact."""
    start, end = _transport(frame)
    icmp = frame[start:end]
    quoted = icmp[wire.ICMP_HEADER :]
    if _sum(icmp) or len(quoted) < wire.IP_HEADER or quoted[0] >> 4 != 4 or quoted[wire.IP_PROTOCOL] != wire.PROTO_TCP:
        return None
    tcp = quoted[(quoted[0] & 15) * 4 :]
    if len(tcp) < 8:
        return None
    source, destination = _ADDRESSES.unpack_from(quoted, wire.IP_SRC)
    sport, dport = _PORTS.unpack_from(tcp)
    seq = int.from_bytes(tcp[4:8], "big")
    return IcmpError(icmp[0], icmp[1], (source, sport), (destination, dport), seq, int.from_bytes(icmp[6:8], "big"))
