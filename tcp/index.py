"""The connection index: from a 4-tuple to a slot of the CONN array.

Open addressing with linear probing, at most half full. An entry is 8 bytes: the 32-bit hash of the tuple above the slot and a
mark, or 0. The low bits of the hash say where its probing starts, so an entry can be moved without its connection being read.
Removal shifts the entries after it back: there are no tombstones.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.expect import likely
from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import add64, aligned, i64, load32, load64, mul64, prefetch, shr64, store64
from tcp.block import Block

INDEX = np.dtype({"names": ["entries", "mask", "seed"], "formats": ["<i8", "<i8", "<i8"], "itemsize": 64})
"""entries: address; mask: how many there are - 1; seed: of the hash."""

_ENTRY = np.dtype([("entry", "<u8")])
SPACING = 128
"""Bytes from one CONN of the table to the next: after each there is as much for the application."""
_PORTS = 8
_ODD1, _ODD2 = -0x61C8864680B583EB, -0x4B47D0C5A1A5F4CD
_MARK = 1 << 30
"""Beside a slot, which is below it: an entry is never 0."""


@kernel
def tuple_hash(seed, local_ip, local_port, peer_ip, peer_port):
    """The 32-bit hash of a 4-tuple (host byte order) under the 63-bit *seed*."""
    word = mul64((mul64(peer_ip, 1 << 32) | local_ip) ^ seed, _ODD1)
    return shr64(mul64(add64(word ^ shr64(word, 32), peer_port << 16 | local_port), _ODD2), 32)


@kernel
def prefetch_entry(index, hashed):
    """Ask for the cache line where the search for *hashed* starts."""
    prefetch(i64(index.entries) + (hashed & i64(index.mask)) * 8)


@inlined
def lookup(index, hashed, conns, local_ip, local_port, peer_ip, peer_port):
    """The slot of the connection with this 4-tuple, whose hash is *hashed*, or -1. *conns*: address of the table of CONN."""
    entries = i64(index.entries)
    mask = i64(index.mask)
    ips = mul64(peer_ip, 1 << 32) | local_ip
    ports = peer_port << 16 | local_port
    first = mul64(hashed, 1 << 32) | _MARK  # the entry of slot 0
    position = hashed & mask
    while True:
        entry = load64(entries + position * 8)
        slot = entry ^ first
        if likely(0 <= slot < _MARK):
            conn = conns + slot * SPACING
            if likely(load64(conn) == ips and load32(conn + _PORTS) == ports):
                return slot
        if entry == 0:
            return -1
        position = (position + 1) & mask


@kernel
def insert(index, hashed, slot):
    """Enter *slot* under *hashed*, a tuple that is not there yet. There is room for every slot."""
    entries = i64(index.entries)
    mask = i64(index.mask)
    position = hashed & mask
    while load64(entries + position * 8) != 0:
        position = (position + 1) & mask
    store64(entries + position * 8, mul64(hashed, 1 << 32) | _MARK | slot)


@kernel
def remove(index, hashed, slot):
    """Take *slot* out, entered under *hashed*. False when it is not there."""
    entries = i64(index.entries)
    mask = i64(index.mask)
    wanted = mul64(hashed, 1 << 32) | _MARK | slot
    position = hashed & mask
    entry = load64(entries + position * 8)
    while entry != wanted:
        if entry == 0:
            return False
        position = (position + 1) & mask
        entry = load64(entries + position * 8)
    _close_gap(entries, mask, position)
    return True


@kernel
def _close_gap(entries, mask, gap):
    """Move back what probing would no longer find behind the free position *gap*."""
    position = (gap + 1) & mask
    entry = load64(entries + position * 8)
    while entry != 0:
        home = shr64(entry, 32) & mask
        if (position - home) & mask >= (position - gap) & mask:
            store64(entries + gap * 8, entry)
            gap = position
        position = (position + 1) & mask
        entry = load64(entries + position * 8)
    store64(entries + gap * 8, 0)


def index_bytes(capacity: int) -> int:
    """Bytes of an index for *capacity* connections."""
    return _ENTRY.itemsize << (2 * capacity - 1).bit_length()


def new_index(capacity: int, seed: int) -> Block:
    """An empty index for *capacity* connections, 1 to 2^30, at 16 to 32 bytes each. *seed* makes the hash unpredictable."""
    if not 1 <= capacity <= 1 << 30:
        raise ValueError(f"an index holds 1 to {1 << 30} connections, not {capacity}")
    size = index_bytes(capacity) // _ENTRY.itemsize
    record = aligned(1, INDEX)
    entries = aligned(size, _ENTRY)
    record[0].entries = entries.ctypes.data
    record[0].mask = size - 1
    record[0].seed = seed & ((1 << 63) - 1)
    return Block(record[0], (record, entries))
