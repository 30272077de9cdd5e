"""The host of each test."""

from __future__ import annotations

import pytest

from tests.endpoint.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()
