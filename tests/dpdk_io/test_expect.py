"""What is expected of a branch changes nothing of what it does."""

from __future__ import annotations

import pytest

from dpdk_io.expect import likely, unlikely
from dpdk_io.jit import kernel


@kernel
def sorted_by_size(n):
    if unlikely(n < 0 or n == 7):
        return "odd"
    return "usual" if likely(n < 100) else "large"


@pytest.mark.parametrize(("n", "size"), [(-1, "odd"), (7, "odd"), (0, "usual"), (99, "usual"), (100, "large")])
def test_either_way_is_taken(n: int, size: str) -> None:
    assert sorted_by_size(n) == size
