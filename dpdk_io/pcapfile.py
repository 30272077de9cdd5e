"""How many packets a capture file holds, so that reading it can be known to have ended. libpcap's format and pcapng."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from dpdk_io.errors import DeviceError

_PCAP = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
_PCAPNG, _PCAPNG_LITTLE = b"\x0a\x0d\x0d\x0a", b"\x4d\x3c\x2b\x1a"
_PACKET_BLOCKS = {2, 3, 6}


def count_packets(path: str | Path) -> int:
    """Complete packets in the file; DeviceError when it is no capture. A packet cut off at the end does not count."""
    with open(path, "rb") as file:
        magic = file.read(4)
        if magic in _PCAP:
            return _count_records(file, _PCAP[magic])
        if magic == _PCAPNG:
            return _count_blocks(file)
    raise DeviceError(f"'{path}' is no pcap file: use one that tcpdump -w wrote")


def _count_records(file: BinaryIO, order: str) -> int:
    size = file.seek(0, 2)
    position, count = 24, 0
    while position + 16 <= size:
        file.seek(position + 8)
        position += 16 + struct.unpack(f"{order}I", file.read(4))[0]
        count += position <= size
    return count


def _count_blocks(file: BinaryIO) -> int:
    size = file.seek(0, 2)
    position, count, order = 0, 0, "<"
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        if head[:4] == _PCAPNG:
            order = "<" if head[8:] == _PCAPNG_LITTLE else ">"
        kind, length = struct.unpack(f"{order}II", head[:8])
        position += max(length, 12)
        count += kind in _PACKET_BLOCKS and position <= size
    return count
