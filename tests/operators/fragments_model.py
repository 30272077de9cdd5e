"""Reassembly without a care for speed, as a list of pieces for each datagram; and frames that are fragments."""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from operators.parse import FRAGMENT, ICMP6
from tests.operators.models import checksum, expected

ETHERNET = bytes.fromhex("02000000000b 02000000000a")
SRC, DST = bytes((10, 1, 2, 3)), bytes((10, 4, 5, 6))
SRC6, DST6 = bytes.fromhex("fd00" + "00" * 12 + "0102"), bytes.fromhex("fd00" + "00" * 12 + "0304")
LIFETIME = 60
ROOM = 2048
NOT_ECT, ECT, CE = 0, 2, 3


class Piece(NamedTuple):
    """A fragment by what it says. The bytes count, not whether they make sense."""

    version: int = 4
    ident: int = 1
    start: int = 0
    data: bytes = b""
    more: bool = False
    proto: int = 17
    vlan: int = 0
    ecn: int = 0
    source: int = 3
    headers: bytes = b""
    """IPv4 options, or IPv6 extension headers of 8 bytes each, in front of the fragment header."""

    def head(self, length: int, fragmented: bool) -> bytes:
        """The frame in front of *length* bytes of data, as a fragment's or as that of a whole datagram."""
        tag = b"\x81\x00" + self.vlan.to_bytes(2, "big") if self.vlan else b""
        if self.version == 4:
            word = (self.start // 8 | self.more << 13) if fragmented else 0
            size = 20 + len(self.headers)
            ip = struct.pack("!BBHHHBBH", 0x40 | size // 4, self.ecn, size + length, self.ident, word, 64, self.proto, 0)
            ip += SRC[:3] + bytes((self.source,)) + DST + self.headers
            return ETHERNET + tag + b"\x08\x00" + ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
        behind = 44 if fragmented else self.proto
        headers = bytearray(self.headers)
        for at in range(0, len(headers), 8):
            headers[at] = 60 if at + 8 < len(headers) else behind
        own = struct.pack("!BBHI", self.proto, 0, self.start | self.more, self.ident) if fragmented else b""
        first = 60 if headers else behind
        ip = struct.pack("!IHBB", 6 << 28 | self.ecn << 20, len(headers) + len(own) + length, first, 64)
        return ETHERNET + tag + b"\x86\xdd" + ip + SRC6[:15] + bytes((self.source,)) + DST6 + bytes(headers) + own

    @property
    def frame(self) -> bytes:
        return self.head(len(self.data), True) + self.data

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    @property
    def units(self) -> set[int]:
        """The units of 8 bytes that it covers, in part at least."""
        return set(range(self.start // 8, -(-self.end // 8)))

    @property
    def key(self) -> tuple[int, ...]:
        """What tells datagrams apart; the protocol is for IPv4 alone."""
        return self.version, self.vlan, self.ident, self.source, self.proto if self.version == 4 else 0


def cut(data: bytes, sizes: list[int], **fields: int) -> list[Piece]:
    """*data* in fragments of so many bytes, and one with the rest."""
    starts = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    ends = [*starts[1:], len(data)]
    return [Piece(start=a, data=data[a:b], more=b < len(data), **fields) for a, b in zip(starts, ends, strict=True)]  # type: ignore[arg-type]


def whole(pieces: list[Piece]) -> bytes:
    """The frame that they make."""
    pieces = sorted(pieces, key=lambda piece: piece.start)
    first, data = pieces[0], b"".join(piece.data for piece in pieces)
    marked = first._replace(ecn=CE) if any(piece.ecn == CE for piece in pieces) else first
    return marked.head(len(data), False) + data


def hostile_fragments() -> list[bytes]:
    """Of datagrams that become whole where there is room behind one of them, and of others that lie about lengths."""
    rng = random.Random(3)
    made = []
    for ident in range(60):
        body = rng.randbytes(rng.choice((9, 40, 100)))
        pieces = cut(body, [8], version=rng.choice((4, 6)), ident=ident % 7, proto=rng.choice((6, 17, 58, 60, 253)))
        lie = rng.choice(pieces)._replace(start=rng.choice((0, 8, 2040, 65528)), more=rng.random() < 0.5)
        frames = [piece.frame + bytes(rng.choice((0, 200))) for piece in rng.sample([*pieces, lie], 3)]
        made += [*frames, frames[0][: rng.randrange(14, 80)]]
    return made


def is_known(piece: Piece, others: list[Piece]) -> bool:
    """Has the same fragment come before; for IPv4, is there no byte in it that has not?"""
    if piece.version == 6:
        return (piece.start, piece.data, piece.more) in [(other.start, other.data, other.more) for other in others]
    known = {other.start + k: byte for other in others for k, byte in enumerate(other.data)}
    ends = [other.end for other in others if not other.more]
    return (piece.end in ends) != piece.more and all(known.get(piece.start + k) == byte for k, byte in enumerate(piece.data))


@dataclass
class Model:
    """What becomes of fragments. `counters` are those of `reassemble`."""

    capacity: int
    now: float = 0.0
    counters: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    """Fragments that became part of another one's datagram."""
    waiting: dict[tuple[int, ...], tuple[float, list[Piece]]] = field(default_factory=dict)
    """In the order in which they began."""

    def put(self, piece: Piece) -> bytes | None:
        """The datagram that is whole by this fragment."""
        alone = piece.start == 0 and not piece.more
        if not piece.data or (piece.more and len(piece.data) % 8):
            return self._lose("malformed")
        if not alone:
            for key, (began, _) in list(self.waiting.items()):
                if self.now - began > LIFETIME:
                    self._drop(key, "timed_out")
        key = piece.key if not alone else ()
        if piece.end > ROOM:
            return self._refuse(key, "too_long")
        if piece.start == 0 and piece.proto == 6 and len(piece.data) < max(20, (piece.data + bytes(20))[12] // 16 * 4):
            return self._refuse(key, "tiny")
        if alone:
            return self._finish([piece])
        if key not in self.waiting:
            if len(self.waiting) == self.capacity:
                self._drop(next(iter(self.waiting)), "evicted")
            self.waiting[key] = self.now, []
        others = self.waiting[key][1]
        if is_known(piece, others):
            return self._lose("duplicate")
        ends = [other.end for other in others if not other.more]
        if any(piece.end > end or (not piece.more and piece.end != end) for end in ends):
            return self._refuse(key, "conflict")
        if not piece.more and any(other.end > piece.end for other in others):
            return self._refuse(key, "conflict")
        if any(piece.units & other.units for other in others):
            return self._refuse(key, "overlap")
        others.append(piece)
        self.counters["unfinished"] += 1
        if not any(not other.more for other in others) or set().union(*(other.units for other in others)) != set(
            range(max(max(other.units) for other in others) + 1)
        ):
            return None
        self.counters["unfinished"] -= len(others)
        del self.waiting[key]
        return self._finish(others)

    def _finish(self, pieces: list[Piece]) -> bytes | None:
        frame = whole(pieces)
        if {CE, NOT_ECT} <= {piece.ecn for piece in pieces}:
            return self._lose("conflict", len(pieces))
        if len(frame) > ROOM:
            return self._lose("too_long", len(pieces))
        meta = expected(frame)
        if isinstance(meta, str) or meta["kind"] == FRAGMENT or (meta["kind"] == ICMP6 and 133 <= frame[meta["l4"]] <= 137):
            return self._lose("malformed", len(pieces))
        self.counters["whole"] += 1
        self.joined += len(pieces) - 1
        return frame

    def _lose(self, reason: str, count: int = 1) -> None:
        self.counters[reason] += count

    def _refuse(self, key: tuple[int, ...], reason: str) -> None:
        if key in self.waiting:
            self._drop(key, reason)
        self._lose(reason)

    def _drop(self, key: tuple[int, ...], reason: str) -> None:
        count = len(self.waiting.pop(key)[1])
        self.counters["unfinished"] -= count
        self._lose(reason, count)
