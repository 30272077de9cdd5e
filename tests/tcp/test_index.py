"""The connection index against a dictionary, and its hash."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.block import Block
from tcp.connection import CONN
from tcp.index import SPACING, insert, lookup, new_index, prefetch_entry, remove, tuple_hash

CAPACITY = 32
TUPLES = st.tuples(st.integers(0, 3), st.sampled_from([1, 65535]), st.integers(0xFFFFFFFC, 0xFFFFFFFF), st.sampled_from([1, 2]))


class Connections:
    """Slots, and the tuples in them."""

    def __init__(self, weak: bool) -> None:
        self.index: Block = new_index(CAPACITY, 0x1234567890ABCDEF)
        self.conns = aligned(CAPACITY, np.dtype({"names": ["conn"], "formats": [CONN], "itemsize": SPACING}))["conn"]
        self.weak = weak

    def hashed(self, key: tuple[int, int, int, int]) -> int:
        """With *weak* hashes clusters get long and wrap around the end."""
        value = tuple_hash(int(self.index.record.seed), *key)
        return (value & 0x10000000) | 62 | (value & 3) if self.weak else value

    def find(self, key: tuple[int, int, int, int]) -> int:
        hashed = self.hashed(key)
        prefetch_entry(self.index.record, hashed)
        return int(lookup(self.index.record, hashed, self.conns.ctypes.data, *key))

    def add(self, slot: int, key: tuple[int, int, int, int]) -> None:
        conn = self.conns[slot]
        conn.local_ip, conn.local_port, conn.peer_ip, conn.peer_port = key
        insert(self.index.record, self.hashed(key), slot)

    def drop(self, slot: int, key: tuple[int, int, int, int]) -> bool:
        return bool(remove(self.index.record, self.hashed(key), slot))


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(TUPLES, max_size=80))
def test_index_is_a_dictionary(weak: bool, keys: list[tuple[int, int, int, int]]) -> None:
    connections = Connections(weak)
    model: dict[tuple[int, int, int, int], int] = {}
    free = list(range(CAPACITY))
    for key in keys:
        assert connections.find(key) == model.get(key, -1)
        if key in model:
            slot = model.pop(key)
            assert connections.drop(slot, key)
            free.append(slot)
        else:
            model[key] = free.pop()
            connections.add(model[key], key)
        assert {k: connections.find(k) for k in model} == model
    assert np.count_nonzero(connections.index.arrays[1].entry) == len(model)


@pytest.mark.parametrize("capacity", [1, 2, 3, 32, 1000])
def test_index_has_room_for_every_slot(capacity: int) -> None:
    """As many again are free, so that a search ends."""
    index = new_index(capacity, 1)
    for slot in range(capacity):
        insert(index.record, tuple_hash(1, slot, 1, 2, 3), slot)
    entries = index.arrays[1].entry
    assert np.count_nonzero(entries) == capacity <= len(entries) // 2


def test_index_remove_what_is_not_there() -> None:
    connections = Connections(weak=False)
    assert not connections.drop(0, (1, 2, 3, 4))
    connections.add(0, (1, 2, 3, 4))
    assert not connections.drop(1, (1, 2, 3, 4))
    assert np.count_nonzero(connections.index.arrays[1].entry) == 1


@pytest.mark.parametrize("capacity", [0, -1, (1 << 30) + 1])
def test_index_refuses(capacity: int) -> None:
    with pytest.raises(ValueError, match="index"):
        new_index(capacity, 1)


@pytest.mark.parametrize("mask", [1023, 4095])
def test_hash_spreads_neighbouring_tuples(mask: int) -> None:
    """At least as evenly as chance would: chi-squared below five standard deviations, in the bits that choose the entry."""
    n = 4 * (mask + 1)
    counts = np.zeros(mask + 1)
    for k in range(n):
        counts[tuple_hash(99, 0x0A000001, 1024 + k % 5000, 0x0A000002 + k // 5000, 80) & mask] += 1
    chi = ((counts - 4) ** 2 / 4).sum()
    assert chi - mask < 5 * (2 * mask) ** 0.5


def test_hash_depends_on_the_seed_and_every_part() -> None:
    hashes = {
        tuple_hash(seed, a, b, c, d) for seed in (1, 1 << 62) for a in (1, 2) for b in (3, 4) for c in (5, 6) for d in (7, 8)
    }
    assert len(hashes) == 32
