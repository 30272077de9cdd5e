"""A client and a server on one wire, or one host that is both, and a witness who counts what passes.

`Witness` is the model: it knows the frames alone, and says what each side's counters must be.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.engine.host import BURST, CLIENT_MAC, Host

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_MOST_TURNS = 5000

Fate = Callable[[int], bool]
"""Does the n-th frame on the wire arrive?"""


class Segment(NamedTuple):
    """What a frame of ours says. ports: those of sender and receiver; size: of the payload."""

    src: int
    dst: int
    ports: tuple[int, int]
    seq: int
    ack: int
    flags: int
    window: int
    size: int


def segment(frame: bytes) -> Segment:
    """Ethernet, IPv4 without options or IPv6 without extensions, and TCP are taken for granted."""
    if frame[12:14] == b"\x86\xdd":
        size = int.from_bytes(frame[18:20], "big")
        src, dst = int.from_bytes(frame[22:38], "big"), int.from_bytes(frame[38:54], "big")
        sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", frame, 54)
        return Segment(src, dst, (sport, dport), seq, ack, flags, window, size - (offset >> 4) * 4)
    total, src, dst = struct.unpack_from("!2xH8xII", frame, 14)
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", frame, 34)
    return Segment(src, dst, (sport, dport), seq, ack, flags, window, total - 20 - (offset >> 4) * 4)


@dataclass
class Course:
    """How far a connection has come."""

    fins: list[bool] = field(default_factory=list)
    """Who sent a FIN, in order: the client?"""
    fin_seq: dict[bool, int] = field(default_factory=dict)
    handshake: bool = False
    fin_acked: set[bool] = field(default_factory=set)


class Witness:
    """Counts the frames of connections to port *listen*, on a wire that loses none."""

    def __init__(self, listen: int) -> None:
        self.listen = listen
        self.sent: dict[str, Counter[str]] = {"client": Counter(), "server": Counter()}
        self.packets = 0
        self.opened: list[tuple[int, int, int]] = []
        """(source address, source port, destination address) of each SYN, in order."""
        self.open: dict[tuple[int, int, int], Course] = {}
        self.most_open = 0

    def see(self, frame: bytes) -> None:
        """Count *frame*."""
        seg = segment(frame)
        by_client = seg.ports[1] == self.listen
        key = (seg.src, seg.ports[0], seg.dst) if by_client else (seg.dst, seg.ports[1], seg.src)
        self.packets += 1
        sent = self.sent["client" if by_client else "server"]
        if seg.flags & SYN:
            if by_client:
                assert key not in self.open, "a port twice at the same time"
                self.opened.append(key)
                self.open[key] = Course()
                self.most_open = max(self.most_open, len(self.open))
            sent["SentSyn" if by_client else "SentSynAck"] += 1
            return
        self._count(seg, sent, self.open[key], by_client)
        if len(self.open[key].fin_acked) == 2:
            del self.open[key]

    def _count(self, seg: Segment, sent: Counter[str], course: Course, by_client: bool) -> None:
        meant = False
        if by_client and not course.handshake:
            course.handshake = meant = True
            sent["SentSynAck2"] += 1
        other = course.fin_seq.get(not by_client)
        if other is not None and seg.ack == (other + 1) % 2**32 and by_client not in course.fin_acked:
            course.fin_acked.add(by_client)
            meant = True
            sent["SentAck4Fin"] += 1
        if seg.size:
            sent["SentPayload"] += 1
            sent["BytesSent"] += seg.size
        if seg.flags & FIN:
            sent["SentFinPssv" if course.fins else "SentFin"] += 1
            course.fins.append(by_client)
            course.fin_seq[by_client] = (seg.seq + seg.size) % 2**32
        elif not seg.size and not meant:
            sent["SentAck"] += 1

    def expected(self, role: str) -> dict[str, int]:
        """The counters of packets that *role* must have."""
        other = "server" if role == "client" else "client"
        received = {name.replace("BytesSent", "BytesReceived").replace("Sent", "Recv"): n for name, n in self.sent[other].items()}
        return dict(self.sent[role]) | received


PACKET_COUNTERS = (
    "SentSyn", "SentSynAck", "SentSynAck2", "SentFin", "SentFinPssv", "SentAck4Fin", "SentAck", "SentPayload", "SentRst",
    "RecvSyn", "RecvSynAck", "RecvSynAck2", "RecvFin", "RecvFinPssv", "RecvAck4Fin", "RecvAck", "RecvPayload", "RecvRst",
    "Unexpected", "Retransmissions", "Urgent", "BytesSent", "BytesReceived",
)  # fmt: skip


class Wire:
    """Takes frames from hosts to hosts, those of every turn to the other host (or the same, when there is one)."""

    def __init__(self, *hosts: Host, fate: Fate = lambda number: True, witness: Witness | None = None) -> None:
        self.hosts = hosts
        self._fate = fate
        self._witness = witness
        self._number = 0
        self._under_way: list[list[bytes]] = [[] for _ in hosts]
        self.lost: list[bytes] = []

    def _to(self, frame: bytes) -> int:
        return 0 if len(self.hosts) == 1 or frame[:6] == CLIENT_MAC else 1

    def turn(self) -> int:
        """Everybody receives what is under way, and sends; how many frames are under way then."""
        arriving, self._under_way = self._under_way, [[] for _ in self.hosts]
        for host, frames in zip(self.hosts, arriving, strict=True):
            for frame in host.run(frames, burst=BURST):
                self._send(frame)
        return sum(map(len, self._under_way))

    def _send(self, frame: bytes) -> None:
        number, self._number = self._number, self._number + 1
        if not self._fate(number):
            self.lost.append(frame)
            return
        if self._witness is not None:
            self._witness.see(frame)
        self._under_way[self._to(frame)].append(frame)

    def run(self) -> None:
        """Until nobody has anything to say: not even a client, which opens nothing while bursts are full, a turn later."""
        for _ in range(_MOST_TURNS):
            if not any(self.turn() for _ in range(3)):
                return
        raise AssertionError(f"still {[h.engine.open for h in self.hosts]} open after {_MOST_TURNS} turns")

    def advance(self, ms: float) -> None:
        for host in self.hosts:
            host.advance(ms)
