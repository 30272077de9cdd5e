"""Datagrams of which fragments have come: a table of a fixed size, in memory of its own, so that no mbuf waits for the others.

Each has the frame's headers, those of the fragment that begins it, and its data, with a mark for every unit of 8 bytes. The table
is searched from one end to the other, and keys are compared as they are: there is no hash that an attacker could aim at.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.clock import hertz
from dpdk_io.jit import kernel
from dpdk_io.mbuf import DATA_ROOM
from dpdk_io.memory import aligned, i64, record_at, store64

CAPACITY = 64
"""Datagrams that a core keeps at a time."""
LIFETIME_S = 60
"""After the first fragment (RFC 8200 section 4.5, RFC 1122 section 3.3.2)."""
UNIT = 8
MOST_DATA = DATA_ROOM
"""Bytes behind the IP header, at most: what is whole goes into one mbuf."""
MOST_HEAD = 256
"""Bytes of headers in front of that."""

FITS, MALFORMED, TINY, TOO_LONG, DUPLICATE, OVERLAP, CONFLICT, TIMED_OUT, EVICTED = range(9)
"""What comes of a fragment, or of all that have come of a datagram."""

_KEY = ("src_high", "src_low", "dst_high", "dst_low", "name")
PIECE = np.dtype([(n, "i8") for n in (*_KEY, "version", "l3", "head", "at", "start", "bytes", "more", "proto", "ecn")])
"""What a fragment says. head: bytes of the frame in front of the fragment header, of IPv4 all headers'; at: where the data is in
the frame; start: its place in the datagram; more: 0 in the last; proto: the protocol of what is whole; ecn: the codepoint."""

_KEPT = ("l3", "head", "proto", "began", "fragments", "units", "reach", "total", "ecns", "block")
DATAGRAM = np.dtype([(n, "i8") for n in (*_KEY, *_KEPT)])
"""began: when the first fragment came; fragments: how many have, 0: the place is free; units: received; reach: where the data
ends that has come; total: where the datagram ends, -1: not known; ecns: a bit for each codepoint seen; block: its memory."""

_DATAGRAM = DATAGRAM.itemsize

TABLE = np.dtype([("capacity", "i8"), ("lifetime", "i8"), ("datagrams", "i8"), ("piece", "i8")])
"""lifetime: in cycles. Behind the last datagram there is one more, for fragments that are a whole datagram."""

MARKS, HEAD, DATA = 0, MOST_DATA // UNIT + UNIT, MOST_DATA // UNIT + UNIT + MOST_HEAD
"""Where in its block a datagram has a byte for every unit, and one more; its headers; its data."""
_BLOCK = DATA + MOST_DATA


class Fragments:
    """The datagrams that one core waits for. `address` is what operators take as the resource `fragments`:
    `resources={"fragments": Fragments}` makes each core its own."""

    def __init__(self, core: int = 0, capacity: int = CAPACITY, rate: float | None = None) -> None:
        """*rate*: cycles in a second, for those who have a clock of their own."""
        self._blocks = aligned((capacity + 1) * _BLOCK // UNIT, np.int64)
        self.datagrams = aligned(capacity + 1, DATAGRAM)
        self.datagrams.block = self._blocks.ctypes.data + np.arange(capacity + 1) * _BLOCK
        self._piece = aligned(1, PIECE)
        self._table = aligned(1, TABLE)
        record = self._table[0]
        record.capacity, record.lifetime = capacity, int(LIFETIME_S * (rate or hertz()))
        record.datagrams, record.piece = self.datagrams.ctypes.data, self._piece.ctypes.data
        self.address: int = self._table.ctypes.data

    @property
    def memory(self) -> list[tuple[int, int]]:
        """Where it lies, as (address, bytes)."""
        return [(part.ctypes.data, part.nbytes) for part in (self._blocks, self.datagrams, self._piece, self._table)]


@kernel
def piece_of(fragments):
    """The record to describe a fragment in."""
    return record_at(i64(record_at(fragments, TABLE).piece), PIECE)


@kernel
def datagram_at(fragments, k):
    """The k-th of the table."""
    return record_at(i64(record_at(fragments, TABLE).datagrams) + k * _DATAGRAM, DATAGRAM)


@kernel
def is_part(datagram, piece):
    """Do the fragment and the datagram have the same key?"""
    return (
        i64(datagram.name) == i64(piece.name)
        and i64(datagram.src_low) == i64(piece.src_low)
        and i64(datagram.dst_low) == i64(piece.dst_low)
        and i64(datagram.src_high) == i64(piece.src_high)
        and i64(datagram.dst_high) == i64(piece.dst_high)
    )


@kernel
def begin(datagram, piece, now):
    """The datagram that the fragment is of, with nothing received."""
    datagram.name = i64(piece.name)
    datagram.src_high = i64(piece.src_high)
    datagram.src_low = i64(piece.src_low)
    datagram.dst_high = i64(piece.dst_high)
    datagram.dst_low = i64(piece.dst_low)
    datagram.began = now
    datagram.fragments = 0
    datagram.units = 0
    datagram.reach = 0
    datagram.total = -1
    datagram.ecns = 0
    for k in range(0, HEAD, 8):
        store64(i64(datagram.block) + MARKS + k, i64(0))
