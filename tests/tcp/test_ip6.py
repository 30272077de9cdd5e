"""The table of IPv6 addresses against a dictionary; numbers, MSS and checksums of the other family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.block import Block
from tcp.ip6 import (
    FIRST_NUMBER,
    NOT_THERE,
    OURS,
    digest,
    enter,
    find,
    hold,
    intern,
    is_host,
    is_ours,
    let_go,
    new_addresses,
    octets_of,
    sweep,
)  # fmt: skip

CAPACITY = 6
SOME = [bytes.fromhex("20010db8") + bytes(11) + bytes([k]) for k in range(10)]
STEPS = st.tuples(st.sampled_from(["packet", "hold", "let go", "sweep"]), st.sampled_from(SOME))


class Table:
    """A table, and what is told of it by a dictionary from address to users; loose ones are those with none."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.block: Block = new_addresses(capacity, 0x1234567890ABCDEF)
        self.record = self.block.record
        self.words = aligned(16, np.uint8)
        self.model: dict[bytes, int] = {}

    def at(self, octets: bytes) -> int:
        self.words[:] = np.frombuffer(octets, np.uint8)
        return self.words.ctypes.data

    def entry(self, number: int) -> Any:
        return self.block.arrays[1][number - FIRST_NUMBER]

    def find(self, octets: bytes) -> int:
        return int(find(self.record, self.at(octets)))

    def intern(self, octets: bytes) -> int:
        return int(intern(self.record, self.at(octets)))

    def take(self, step: str, octets: bytes) -> None:
        """One step in both."""
        if step == "packet":
            fits = octets in self.model or len(self.model) < CAPACITY
            assert (self.intern(octets) != NOT_THERE) == fits
            if fits:
                self.model.setdefault(octets, 0)
        elif step == "hold" and octets in self.model:
            hold(self.record, self.find(octets))
            self.model[octets] += 1
        elif step == "let go" and self.model.get(octets):
            let_go(self.record, self.find(octets))
            self.model[octets] -= 1
        elif step == "sweep":
            loose = [octets for octets, users in self.model.items() if users == 0]
            assert sweep(self.record) == len(loose)
            for octets in loose:
                del self.model[octets]

    def check(self) -> None:
        assert int(self.record.used) == len(self.model)
        numbers = {octets: self.find(octets) for octets in SOME}
        assert {octets for octets, number in numbers.items() if number != NOT_THERE} == set(self.model)
        there = [number for number in numbers.values() if number != NOT_THERE]
        assert len(set(there)) == len(there)
        assert all(FIRST_NUMBER <= number < FIRST_NUMBER + CAPACITY for number in there)
        for octets in self.model:
            assert bytes(self.entry(numbers[octets]).octets) == octets


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_the_table_is_a_dictionary(steps: list[tuple[str, bytes]]) -> None:
    table = Table()
    for step in steps:
        table.take(*step)
        table.check()


def test_a_number_stays_while_it_is_held_whatever_else_comes_and_goes() -> None:
    table = Table()
    number = table.intern(SOME[0])
    hold(table.record, number)
    for k in range(1000):
        table.intern(k.to_bytes(16, "big"))
        if k % 4 == 3:
            sweep(table.record)
    assert table.find(SOME[0]) == number
    let_go(table.record, number)
    sweep(table.record)
    assert (table.find(SOME[0]), int(table.record.used)) == (NOT_THERE, 0)


def test_our_own_stay_for_ever() -> None:
    table = Table()
    number = enter(table.block, SOME[0], OURS)
    assert enter(table.block, SOME[0], OURS) == number
    assert is_ours(table.record, number)
    assert not is_ours(table.record, table.intern(SOME[1]))
    assert not is_ours(table.record, NOT_THERE)
    hold(table.record, number)
    let_go(table.record, number)
    sweep(table.record)
    assert (table.find(SOME[0]), table.find(SOME[1])) == (number, NOT_THERE)


def test_a_target_stays_for_ever() -> None:
    table = Table()
    number = enter(table.block, SOME[0])
    sweep(table.record)
    hold(table.record, number)
    let_go(table.record, number)
    sweep(table.record)
    assert table.find(SOME[0]) == number
    assert not is_ours(table.record, number)


def test_a_full_table_says_so() -> None:
    table = Table(2)
    assert [table.intern(octets) for octets in SOME[:3]] == [FIRST_NUMBER, FIRST_NUMBER + 1, NOT_THERE]
    with pytest.raises(ValueError, match="holds 2 addresses"):
        enter(table.block, SOME[3])
    assert sweep(table.record) == 2
    assert table.intern(SOME[2]) != NOT_THERE


@pytest.mark.parametrize("capacity", [0, 1 << 28])
def test_sizes_that_cannot_be(capacity: int) -> None:
    with pytest.raises(ValueError, match="holds 1 to"):
        new_addresses(capacity, 1)


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_what_an_entry_knows(octets: bytes) -> None:
    table = Table()
    number = table.intern(octets)
    words = sum(int.from_bytes(octets[k : k + 2], "big") for k in range(0, 16, 2))
    assert int(table.entry(number).added) % 0xFFFF == words % 0xFFFF
    assert octets_of(table.record, number) == table.block.arrays[1].ctypes.data + (number - FIRST_NUMBER) * 32
    assert is_host(table.at(octets)) == (octets[:8] != bytes(8) and octets[0] != 0xFF)


def test_the_digest_is_the_addresss_whatever_its_number() -> None:
    tables = [Table(), Table()]
    tables[1].intern(SOME[9])
    places = [int(octets_of(table.record, table.intern(SOME[0]))) for table in tables]
    keys = (0x0123456789ABCDEF, 0x76543210)
    same, other = (int(digest(place, *keys)) for place in places)
    assert same == other
    assert 0 <= same < 1 << 32
    everybody = {int(digest(tables[0].at(octets), *keys)) for octets in SOME[:6]}
    assert len(everybody) == 6


def test_addresses_that_differ_in_their_last_bits_alone_spread_over_the_buckets() -> None:
    table = new_addresses(1 << 12, 99)
    words = aligned(16, np.uint8)
    for k in range(1 << 12):
        words[:] = np.frombuffer(SOME[0][:12] + k.to_bytes(4, "big"), np.uint8)
        intern(table.record, words.ctypes.data)
    heads = np.asarray(table.arrays[2]["place"])
    assert np.count_nonzero(heads) / len(heads) > 0.58
