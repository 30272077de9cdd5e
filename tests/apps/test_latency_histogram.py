"""The histogram against sorting: every value within 1 %."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.jit import kernel
from pipeline.histogram import BUCKETS, LIMIT, bucket, bucket_of, count, new_histogram, percentile_us

nanoseconds = st.integers(0, 200) | st.integers(0, LIMIT) | st.integers(0, 42).map(lambda bits: min(1 << bits, LIMIT))


@settings(max_examples=50, deadline=None)
@given(st.lists(nanoseconds, min_size=1, max_size=50), st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_percentiles(values: list[int], percent: float) -> None:
    histogram = new_histogram()
    for value in values:
        count(histogram, np.int64(value))
    exact = sorted(values)[max(1, int(np.ceil(len(values) * percent / 100))) - 1]
    assert percentile_us(histogram, percent) == pytest.approx(exact / 1000, rel=0.01)


def test_buckets_are_in_order_and_all_used() -> None:
    values = np.unique(np.concatenate([np.arange(4096), np.geomspace(4096, LIMIT, 200_000).astype(np.int64)]))
    indices = np.array([bucket(value) for value in values[::37]])
    assert (np.diff(indices) >= 0).all()
    assert bucket(np.int64(LIMIT)) == BUCKETS - 1


def test_values_outside() -> None:
    assert bucket(np.int64(-5)) == 0
    assert bucket(np.int64(LIMIT + 1)) == bucket(np.int64(1 << 62)) == BUCKETS - 1


@given(
    st.one_of(st.floats(-1, 300), st.floats(0, 2 * LIMIT), st.integers(6, 42).map(lambda n: 2.0**n)), st.sampled_from([0, -1, 1])
)
def test_a_float_counts_as_what_is_before_its_point(ns: float, side: int) -> None:
    ns = float(np.nextafter(ns, side * np.inf)) if side else ns
    assert place(ns) == bucket(np.int64(ns))


@kernel
def place(ns):
    return bucket_of(ns)


def test_merging_is_adding() -> None:
    histogram = new_histogram()
    for value in (100, 200, 300):
        count(histogram, np.int64(value))
    assert percentile_us(histogram + histogram, 50) == percentile_us(histogram, 50)
    assert percentile_us(new_histogram(), 50) is None
