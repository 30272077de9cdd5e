"""Free slots and client ports."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcp.ports import PORTS, give_port, new_ports, take_port
from tcp.slots import give_slot, new_slots, take_slot


def test_slots_last_freed_is_taken_first() -> None:
    slots = new_slots(3).record
    assert [take_slot(slots) for _ in range(4)] == [0, 1, 2, -1]
    give_slot(slots, 0)
    give_slot(slots, 2)
    assert [take_slot(slots) for _ in range(3)] == [2, 0, -1]


@pytest.mark.parametrize("capacity", [0, 1 << 32])
def test_slots_refuse(capacity: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        new_slots(capacity)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 100), st.lists(st.booleans(), max_size=60))
def test_ports_are_a_queue(n: int, seed: int, takes: list[bool]) -> None:
    ports = new_ports(range(65536 - n, 65536), seed)
    model = deque(ports.arrays[1].port.tolist())
    assert sorted(model) == list(range(65536 - n, 65536))
    in_use: deque[int] = deque()
    for take in takes:
        if take:
            assert take_port(ports.record) == (model[0] if model else -1)
            if model:
                in_use.append(model.popleft())
        elif in_use:
            give_port(ports.record, in_use[0])
            model.append(in_use.popleft())
    assert ports.record.free == len(model)


def test_ports_per_address_are_shuffled_apart_and_repeatably() -> None:
    one, two = new_ports(range(1024, 2048), 5, addresses=2), new_ports(range(1024, 2048), 5, addresses=2)
    rings = one.arrays[1].port.reshape(2, -1).tolist()
    assert rings == two.arrays[1].port.reshape(2, -1).tolist()
    assert rings[0] != rings[1] != sorted(rings[1])
    assert one.arrays[0].dtype.itemsize == PORTS.itemsize == 64
    assert take_port(one.arrays[0][1]) == rings[1][0]
    assert new_ports(range(1024, 2048), 6).arrays[1].port.tolist() != rings[0]


@pytest.mark.parametrize("numbers", [[], [0, 1], [65536], [7, 7]])
def test_ports_refuse(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="ports"):
        new_ports(numbers, 1)
