"""One connection over a clean veth, beside a kernel's: lenient, for a busy machine; `make soak` is strict and does more."""

from __future__ import annotations

import pytest

from tests.network.bulk import measured

pytestmark = pytest.mark.root


def test_sending_is_no_slower_than_a_kernel() -> None:
    engine, kernel = measured("to a socket", 50_000_000, rounds=1)
    assert engine > 0.5 * kernel
