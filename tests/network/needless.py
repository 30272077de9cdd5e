"""Reads a capture for data that was sent again although the sender had been told that it arrived."""

from __future__ import annotations

import socket
import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

Flow = tuple[bytes, bytes]
SYN, FIN, ACK = 2, 1, 16


def tcp_of(file: Path) -> Iterator[tuple[float, Flow, bytes, int]]:
    """Of all in a pcap of Ethernet: time, flow (address and port of either side), the segment from its header on, its length."""
    with file.open("rb") as pcap:
        order = "<" if pcap.read(24)[:4] == b"\xd4\xc3\xb2\xa1" else ">"
        while head := pcap.read(16):
            seconds, micros, size, _ = struct.unpack(order + "IIII", head)
            frame = pcap.read(size)
            if frame[12:14] == b"\x08\x00" and frame[23] == 6:
                start = 14 + frame[14] % 16 * 4
                flow = (frame[26:30] + frame[start : start + 2], frame[30:34] + frame[start + 2 : start + 4])
                yield seconds + micros / 1e6, flow, frame[start:], int.from_bytes(frame[16:18], "big") + 14 - start


def sack_blocks(segment: bytes) -> Iterator[tuple[int, int]]:
    """The edges in the option of kind 5 (RFC 2018)."""
    at, end = 20, segment[12] // 16 * 4
    while at < end and segment[at]:
        if segment[at] == 1:
            at += 1
            continue
        if segment[at] == 5:
            edges = struct.unpack(f"!{(segment[at + 1] - 2) // 4}I", segment[at + 2 : at + segment[at + 1]])
            yield from zip(edges[::2], edges[1::2], strict=True)
        at += segment[at + 1]


@dataclass
class Sent:
    """One direction of a connection: what was sent, and what the sender was told, in bytes from the initial number on."""

    first: int
    until: int = 0
    again: int = 0
    times: list[float] = field(default_factory=list)
    acked: list[int] = field(default_factory=list)
    sacked: list[tuple[float, int, int]] = field(default_factory=list)

    def offset(self, number: int) -> int:
        """Numbers far above all are old ones from below the first."""
        offset = (number - self.first) % 2**32
        return offset if offset < 2**31 else offset - 2**32

    def told(self, time: float, segment: bytes) -> None:
        acked = self.offset(int.from_bytes(segment[8:12], "big"))
        if not self.acked or acked > self.acked[-1]:
            self.times.append(time)
            self.acked.append(acked)
        for left, right in sack_blocks(segment):
            self.sacked.append((time, self.offset(left), self.offset(right)))

    def known(self, start: int, end: int) -> float:
        """When the sender was told that all of it had arrived; infinity if it was not."""
        at = bisect_left(self.acked, end)
        acked = self.times[at : at + 1]
        return min([inf, *acked, *(when for when, left, right in self.sacked if left <= start and end <= right)])


@dataclass
class Hearing:
    """Up to when a host must have heard what arrived: it may take *grace* seconds, and a machine may hold it up.

    A host of many connections that sends nothing for longer than *grace* was held up, and for *grace* once more it may act on
    timeouts before it hears what has arrived meanwhile.
    """

    grace: float
    last: float = -inf
    silent_from: float = -inf
    again_from: float = -inf

    def at(self, time: float) -> float:
        """The host sends at *time*."""
        if time - self.last > self.grace:
            self.silent_from, self.again_from = self.last, time
        self.last = time
        return (self.silent_from if time - self.again_from < self.grace else time) - self.grace


@dataclass
class Read:
    """What a capture showed of one host: segments with data, those sent again, and those of them that were `needless`."""

    segments: int = 0
    again: int = 0
    needless: list[str] = field(default_factory=list)


def read(file: Path, sender: str, grace: float = 0.05) -> Read:
    """Of *sender*, in a capture at its own interface; it may take *grace* seconds to hear what has arrived there."""
    result, flows, address, hearing = Read(), {}, socket.inet_aton(sender), Hearing(grace)
    for time, (source, target), segment, length in tcp_of(file):
        flags, number = segment[13], int.from_bytes(segment[4:8], "big")
        if source[:4] == address:
            heard = hearing.at(time)
            if flags & SYN:
                flows[source, target] = Sent(number)
            elif (source, target) in flows:
                size = length - segment[12] // 16 * 4 + (flags & FIN)
                if size:
                    _sent(result, flows[source, target], time, heard, number, size)
        elif flags & ACK and (target, source) in flows:
            flows[target, source].told(time, segment)
    return result


def _sent(result: Read, flow: Sent, time: float, heard: float, number: int, size: int) -> None:
    start = flow.offset(number)
    result.segments += 1
    if start < flow.until:
        result.again += 1
        known = flow.known(start, start + size)
        if known <= heard:
            late = (time - known) * 1e3
            result.needless.append(f"{time:.6f}: {size} bytes at {start}, {late:.1f} ms after they were acknowledged")
    flow.until = max(flow.until, start + size)
