"""The rate of the cycle counter, and waiting."""

from __future__ import annotations

import time

import pytest

from dpdk_io import clock, idle
from dpdk_io.jit import JIT, kernel
from dpdk_io.memory import rdtsc


@kernel
def now():
    return rdtsc()


def error_of_a_nap() -> float:
    """By how much cycles and the kernel's clock differ over 20 ms, as a fraction."""
    start, monotonic = now(), time.monotonic_ns()
    time.sleep(0.02)
    cycles, nanoseconds = now() - start, time.monotonic_ns() - monotonic
    return abs(cycles / clock.hertz() * 1e9 / nanoseconds - 1)


def test_the_rate_turns_cycles_into_seconds() -> None:
    """The best of a few: a busy machine may run something else between the two readings."""
    now()
    assert min(error_of_a_nap() for _ in range(5)) < 1e-3


def test_the_rate_is_steady() -> None:
    first = clock.hertz()
    time.sleep(0.05)
    assert clock.hertz() == pytest.approx(first, rel=1e-4)


def test_python_and_compiled_code_read_the_same_counter() -> None:
    now()
    before, inside, after = clock.cycles(), now(), clock.cycles()
    assert before <= inside <= after


@pytest.mark.skipif(JIT, reason="the twin's rate")
def test_the_rate_of_the_twin_is_nanoseconds() -> None:
    assert clock.hertz() == 1_000_000_000


@kernel
def wait(policy, empty, patience, times):
    for _ in range(times):
        idle.wait(policy, empty, patience)


def seconds(*arguments: int) -> float:
    wait(0, 0, 0, 1)
    start = time.monotonic()
    wait(*arguments)
    return time.monotonic() - start


@pytest.mark.parametrize("policy", idle.POLICIES.values())
def test_nobody_sleeps_before_patience_ends(policy: int) -> None:
    assert min(seconds(policy, 9, 10, 100) for _ in range(20)) < 100 * idle.SLEEP_US / 1e6


def test_sleeping_sleeps() -> None:
    assert seconds(idle.SLEEP, 10, 10, 100) > 100 * idle.SLEEP_US / 1e6


@pytest.mark.parametrize("policy", [idle.SPIN, idle.YIELD])
def test_spinning_and_yielding_come_back_soon(policy: int) -> None:
    assert min(seconds(policy, 10, 10, 10) for _ in range(50)) < 10 * idle.SLEEP_US / 1e6
