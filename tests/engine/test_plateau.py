"""As many connections as are wanted, all established at one time; `make soak` does it with a million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("compiled")

CONNECTIONS = 70_000
"""More than there are ports."""
HOLD = 3


@pytest.mark.parametrize("device", ["loopback", "net_ring0"])
def test_all_are_established_at_once(device: str) -> None:
    command = [sys.executable, "-m", "tests.engine.plateau", str(CONNECTIONS), device, str(HOLD)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["latency_us"]["lifetime"]["count"] == CONNECTIONS
    assert result["latency_us"]["lifetime"]["p50"] == pytest.approx(HOLD * 1e6, rel=0.1)
