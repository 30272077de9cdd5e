"""The timer wheel against a dictionary of deadlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.jit import JIT, kernel
from tcp.block import Block
from tcp.wheel import BUCKETS, arm, expired, new_wheel

SLOTS = 8
TIMEOUTS = st.one_of(
    st.integers(-50, 50), st.integers(0, 3000), st.sampled_from([BUCKETS - 1, BUCKETS, BUCKETS + 1, 3 * BUCKETS])
)
GAPS = st.one_of(st.integers(0, 5), st.integers(0, 4000), st.sampled_from([BUCKETS - 1, BUCKETS, 2 * BUCKETS + 7]))


@kernel
def arm_range(wheel: Any, n: int, base: int) -> int:
    for slot in range(n):
        arm(wheel, slot, base + slot % 997)
    return n


@kernel
def drain(wheel: Any, now: int) -> int:
    count = 0
    while expired(wheel, now) >= 0:
        count += 1
    return count


def due(wheel: Block, now: int) -> list[int]:
    slots = []
    while (slot := expired(wheel.record, now)) >= 0:
        slots.append(int(slot))
    return slots


@settings(max_examples=300 if JIT else 15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("arm"), st.integers(0, SLOTS - 1), TIMEOUTS),
            st.tuples(st.just("cancel"), st.integers(0, SLOTS - 1), st.just(0)),
            st.tuples(st.just("wait"), st.just(0), GAPS),
        ),
        max_size=40,
    )
)
def test_wheel_fires_exactly_what_is_due(steps: list[tuple[str, int, int]]) -> None:
    wheel = new_wheel(SLOTS, 100)
    now, model = 100, {}
    for what, slot, ms in steps:
        if what == "arm":
            model[slot] = max(now + ms, 1)
            arm(wheel.record, slot, model[slot])
        elif what == "cancel":
            model.pop(slot, None)
            arm(wheel.record, slot, 0)
        else:
            now += ms
            expected = sorted(slot for slot, deadline in model.items() if deadline <= now)
            assert sorted(due(wheel, now)) == expected
            model = {slot: deadline for slot, deadline in model.items() if deadline > now}
    assert sorted(due(wheel, now + 5 * BUCKETS)) == sorted(model)


def test_wheel_called_every_tick_fires_in_order() -> None:
    wheel = new_wheel(SLOTS)
    deadlines = {0: 50, 1: 7, 2: 49, 3: 8, 4: 400}
    for slot, deadline in deadlines.items():
        arm(wheel.record, slot, deadline)
    fired = [(slot, now) for now in range(1, 500) for slot in due(wheel, now)]
    assert fired == sorted(deadlines.items(), key=lambda item: item[1])


def test_wheel_later_deadline_is_one_store() -> None:
    wheel = new_wheel(SLOTS)
    arm(wheel.record, 3, 100)
    entry = wheel.arrays[1][3]
    linked = (int(entry.next), int(entry.prev), int(entry.linked))
    arm(wheel.record, 3, 5000)
    assert (int(entry.next), int(entry.prev), int(entry.linked)) == linked
    assert due(wheel, 4999) == []
    assert due(wheel, 5000) == [3]
    assert due(wheel, 100_000) == []


def test_wheel_with_many_slots() -> None:
    wheel = new_wheel(20_000)
    assert arm_range(wheel.record, 20_000, 10) == 20_000
    assert drain(wheel.record, 9) == 0
    assert drain(wheel.record, 10) == 21
    assert drain(wheel.record, 2000) == 20_000 - 21
    assert wheel.arrays[1].itemsize == 16


MANY = 1_000_000 if JIT else 3000
SECONDS = 30 if JIT else 3


@kernel
def fire_until(wheel: Any, first: int, last: int, fired: Any) -> int:
    """Every tick from *first* to *last*, noting when each slot came."""
    count = 0
    for now in range(first, last):
        slot = expired(wheel, now)
        while slot >= 0:
            fired[slot] = now
            count += 1
            slot = expired(wheel, now)
    return count


@kernel
def arm_all(wheel: Any, deadlines: Any) -> int:
    for slot in range(len(deadlines)):
        arm(wheel, slot, deadlines[slot])
    return len(deadlines)


def test_a_million_timers_are_exact_to_the_tick() -> None:
    """Armed all at once, one in three put off later, one in seven cancelled: each of the others comes at its very tick."""
    rng = np.random.default_rng(7)
    end = SECONDS * 1000
    deadlines = rng.integers(2, end, MANY)
    wheel = new_wheel(MANY)
    arm_all(wheel.record, deadlines)
    fired = np.zeros(MANY, np.int64)
    half = end // 2
    count = fire_until(wheel.record, 1, half, fired)
    assert count == (deadlines < half).sum()
    left = np.flatnonzero(deadlines >= half)
    later = left[left % 3 == 0]
    deadlines[later] += rng.integers(0, 200_000, len(later))
    arm_all(wheel.record, np.where(deadlines >= half, deadlines, 0))
    for slot in left[left % 7 == 0][:1000]:
        arm(wheel.record, slot, 0)
        deadlines[slot] = 0
    fire_until(wheel.record, half, int(deadlines.max()) + 1, fired)
    late = fired - deadlines
    assert (late.min(), late.max()) == (0, 0)
