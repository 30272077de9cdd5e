"""Namespaces for the tests that need a kernel beside the app; and the app compiled, whatever the tests themselves are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the test starts are compiled: they are the real thing, with tens of thousands of connections."""
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
