"""Fixtures of the tests over a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as it:
        yield it
