"""Namespaces for the tests that need a kernel beside the app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made
