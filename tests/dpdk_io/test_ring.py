"""The ring between cores against a deque, and streaming between two threads."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdk_io.errors import UsageError
from dpdk_io.idle import sched_yield
from dpdk_io.jit import JIT, kernel
from dpdk_io.memory import load64, store64
from dpdk_io.ring import Ring, pop_burst, push, push_burst

STEPS = st.lists(st.tuples(st.sampled_from(["push", "push_burst", "pop_burst"]), st.integers(0, 6)), max_size=60)


@given(st.sampled_from([1, 2, 4, 8]), STEPS)
def test_it_is_a_bounded_queue(capacity: int, steps: list[tuple[str, int]]) -> None:
    ring, model, refused, pushed = Ring(capacity), deque[int](), 0, 0
    words = np.zeros(8, np.int64)
    for step, n in steps:
        if step == "pop_burst":
            count = pop_burst(ring.address, words.ctypes.data, n)
            assert words[:count].tolist() == [model.popleft() for _ in range(min(n, len(model)))]
            continue
        n = 1 if step == "push" else n
        words[:n] = range(pushed, pushed + n)
        fit = int(push(ring.address, pushed)) if step == "push" else push_burst(ring.address, words.ctypes.data, n)
        assert fit == min(n, capacity - len(model))
        model.extend(range(pushed, pushed + fit))
        pushed, refused = pushed + fit, refused + n - fit
        assert len(ring) == len(model)
    assert ring.counts() == {"pushed": pushed, "popped": pushed - len(model), "refused": refused}


@kernel
def produce(ring, count):
    for value in range(count):
        while not push(ring, value):
            sched_yield()


@kernel
def consume(ring, words, count):
    """How many of the values 0, 1, 2 ... came in their place."""
    expected = 0
    right = 0
    while expected < count:
        got = pop_burst(ring, words, 16)
        if got == 0:
            sched_yield()
        for i in range(got):
            right += load64(words + 8 * i) == expected
            expected += 1
    store64(words, right)


def test_everything_arrives_in_order_between_two_threads() -> None:
    ring, words = Ring(64), np.zeros(16, np.int64)
    count = 1_000_000 if JIT else 2_000
    threads = [
        threading.Thread(target=produce, args=(ring.address, count)),
        threading.Thread(target=consume, args=(ring.address, words.ctypes.data, count)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words[0] == count
    assert len(ring) == 0


@pytest.mark.parametrize("capacity", [0, -1, 3, 1000])
def test_other_capacities_are_refused_with_a_remedy(capacity: int) -> None:
    with pytest.raises(UsageError, match="use [0-9]+$"):
        Ring(capacity)
