"""CUBIC against the formulas of RFC 9438 in floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.connection import COLD
from tcp.cubic import NOT_BEGUN, cube_root, cubic_after_timeout, cubic_grow, cubic_reduce, cubic_window, time_to_plateau

C, BETA = 0.4, 0.7
ALPHA = 3 * (1 - BETA) / (1 + BETA)


def cold_with(**values: int) -> Any:
    memory = aligned(1, COLD)
    memory.view(np.uint8)[:] = 0xA5
    cold: Any = memory[0]
    for name, value in ({"w_max": 0, "cubic_k": NOT_BEGUN, "grown": 0, "prior_cwnd": 0} | values).items():
        cold[name] = value
    return cold


@settings(deadline=None)
@given(st.integers(0, (1 << 62) - 1))
def test_cube_root(n: int) -> None:
    root = int(cube_root(n))
    assert root**3 <= n < (root + 1) ** 3


@settings(max_examples=300, deadline=None)
@given(st.integers(64, 65535), st.integers(1, 1 << 30), st.floats(0.01, 1.0), st.integers(0, 200_000))
def test_the_cubic_is_that_of_section_4_2(mss: int, w_max: int, part: float, t: int) -> None:
    cwnd = max(int(w_max * part), 1)
    k = int(time_to_plateau(w_max, cwnd, mss))
    exact = ((w_max - cwnd) / mss / C) ** (1 / 3)
    assert k / 1000 == pytest.approx(exact, abs=0.0011)
    away = t / 1000 - k / 1000
    if abs(away) < 100:
        assert int(cubic_window(t, k, w_max, mss)) == pytest.approx(C * away**3 * mss + w_max, rel=1e-6, abs=mss / 1000 + 2)


def test_a_reduction_and_fast_convergence() -> None:
    cold = cold_with()
    assert cubic_reduce(cold, 100_000) == 70_000
    assert (cold.w_max, cold.cubic_k) == (100_000, NOT_BEGUN)
    assert cubic_reduce(cold, 90_000) == 63_000
    assert cold.w_max == 76_500
    cubic_after_timeout(cold)
    assert cold.w_max == 0


class Model:
    """The window in segments, as the RFC writes it."""

    def __init__(self, cwnd: float, w_max: float, prior: float) -> None:
        self.cwnd = self.w_est = cwnd
        self.w_max, self.prior = max(w_max, cwnd), prior
        self.k = ((self.w_max - cwnd) / C) ** (1 / 3)

    def at(self, t: float) -> float:
        return C * (t - self.k) ** 3 + self.w_max

    def ack(self, t: float, rtt: float, segments: float) -> None:
        self.w_est += (ALPHA if self.w_est < self.prior else 1) * segments / self.cwnd
        if self.at(t) < self.w_est:
            self.cwnd = max(self.cwnd, self.w_est)
        else:
            target = min(max(self.at(t + rtt), self.cwnd), 1.5 * self.cwnd)
            self.cwnd += (target - self.cwnd) / self.cwnd * segments


@pytest.mark.parametrize("rtt_ms", [1, 20, 200])
@pytest.mark.parametrize("segments", [10, 100, 1000])
@pytest.mark.parametrize("mss", [536, 1460, 9000])
def test_growth_follows_the_float_model(rtt_ms: int, segments: int, mss: int) -> None:
    before = segments * mss
    cold = cold_with(prior_cwnd=before)
    cold.cwnd = int(cubic_reduce(cold, before))
    model = Model(int(cold.cwnd) / mss, segments, segments)
    now = first = 0xFFFFF000
    for _ in range(min(400, 90_000 // rtt_ms)):
        acks = 10
        for _ in range(acks):
            part = int(cold.cwnd) // acks
            model.ack((now - first) / 1e6, rtt_ms / 1e3, part / mss)
            cold.cwnd = int(cubic_grow(cold, mss, part, rtt_ms * 1000, now))
        now += rtt_ms * 1000 // acks * acks
        if cold.cwnd > 1 << 29:
            break
    assert int(cold.cwnd) / mss == pytest.approx(model.cwnd, rel=0.01)


def test_after_a_timeout_the_plateau_is_where_congestion_avoidance_begins() -> None:
    cold = cold_with(cwnd=50_000)
    assert cubic_grow(cold, 1000, 2000, 20_000, 7) >= 50_000
    assert (cold.w_max, cold.cubic_k, cold.w_est) == (50_000, 0, 50_040)


def test_a_window_never_grows_by_more_than_half_in_a_round_trip() -> None:
    cold = cold_with(cwnd=10_000, w_max=10_000)
    cubic_grow(cold, 1000, 1, 1000, 0)
    cold.cubic_t = 3_000_000_000
    assert cubic_grow(cold, 1000, 10_000, 1000, 0) <= 15_000
