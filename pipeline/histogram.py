"""Latency histograms with log-linear buckets: 64 to each power of two, so that a value is known to better than 1 %.

A histogram is an int64 array of `BUCKETS` counts over nanoseconds; histograms of several cores are merged by adding them.
Values below 128 ns are exact; those above `LIMIT`, 73 minutes, count as `LIMIT`.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.expect import likely
from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import bit_length, bits_of, i64, shr64

_SUB = 6
_OCTAVES = 36
BUCKETS = (_OCTAVES + 1) << _SUB
_AHEAD = (1023 + _SUB - 1) << _SUB
"""By so much a double's exponent and the first bits of its fraction, as a number, are more than its bucket."""
LIMIT = (1 << (_SUB + _OCTAVES)) - 1


@kernel
def bucket(ns):
    """The index of the bucket that holds *ns*, an int64; below zero counts as zero."""
    value = min(max(ns, i64(0)), i64(LIMIT))
    shift = max(bit_length(value) - _SUB - 1, i64(0))
    return (shift << _SUB) + (value >> shift)


@inlined
def bucket_of(ns):
    """`bucket` for a float. From 64 on, a double's exponent and the first 6 bits of its fraction say which."""
    index = shr64(bits_of(ns), 52 - _SUB) - _AHEAD
    return index if likely(1 << _SUB <= index < BUCKETS) else bucket(i64(ns))


@kernel
def count(histogram, ns):
    """Count one value of *ns* nanoseconds in *histogram*, an int64 array of BUCKETS."""
    histogram[bucket(ns)] += 1


def new_histogram() -> np.ndarray:
    """An empty histogram."""
    return np.zeros(BUCKETS, np.int64)


def _edges() -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest integer of each bucket, in nanoseconds."""
    index = np.arange(BUCKETS, dtype=np.int64)
    shift = np.maximum((index >> _SUB) - 1, 0)
    low = (index - (shift << _SUB)) << shift
    return low, low + (np.int64(1) << shift) - 1


def percentile_us(histogram: np.ndarray, percent: float) -> float | None:
    """The value in microseconds that *percent* % of the counted ones do not exceed (nearest rank); None when empty."""
    total = int(histogram.sum())
    if total == 0:
        return None
    rank = max(1, int(np.ceil(total * percent / 100)))
    index = int(np.searchsorted(np.cumsum(histogram), rank))
    low, high = _edges()
    return float(low[index] + high[index]) / 2000
