"""TCP segments in IP packets: read into SEGMENT records, and made of them. Payload sent is zeros."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from apps.endpoint.packets import TTL, Ip, Place, checksum, ip_packet, ones_sum, pseudo_header
from dpdk_io.memory import aligned
from operators import wire
from tcp import SEGMENT
from tcp.header import HEADER_LEN, header_len, parse_header, parse_options, write_header

_LONGEST_HEADER = 60
_FLOW_LABEL = 0xFFFFF


class Reader:
    """Fills one SEGMENT record from packets."""

    def __init__(self) -> None:
        self._memory = aligned(1, SEGMENT)
        self.segment: Any = self._memory[0]
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def read(self, ip: Ip) -> str:
        """Fill `segment` from the TCP segment in *ip*; what is wrong with it, or nothing."""
        data = ip.payload
        if ones_sum(pseudo_header(ip.source, ip.destination, wire.PROTO_TCP, len(data)) + data):
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
    """Makes packets of SEGMENT records."""

    def __init__(self) -> None:
        self._header = np.zeros(_LONGEST_HEADER, np.uint8)

    def packet(self, out: Any, local: Place, peer: Place, tos: int = 0, ttl: int = TTL) -> bytes:
        """The packet of the SEGMENT *out*."""
        length = int(write_header(int(self._header.ctypes.data), local[1], peer[1], out))
        head = bytearray(self._header[:length].tobytes())
        payload = int(out.payload_len)
        pseudo = pseudo_header(local[0], peer[0], wire.PROTO_TCP, length + payload)
        head[16:18] = checksum(pseudo + head)
        label = zlib.crc32(pseudo[:32] + struct.pack(">HH", local[1], peer[1])) & _FLOW_LABEL
        return ip_packet(local[0], peer[0], wire.PROTO_TCP, bytes(head) + bytes(payload), tos, ttl, label)
