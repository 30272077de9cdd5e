"""What doctor is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dpdk_io.probe import Check, checks

SAY = "import json; from dpdk_io.probe import checks; print(json.dumps([vars(c) for c in checks()]))"


def elsewhere(*before: str, **environment: str) -> dict[str, Check]:
    """The checks of a process in other circumstances, by name."""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", **environment}
    said = subprocess.run([*before, sys.executable, "-c", SAY], env=env, capture_output=True, text=True, check=True)
    return {found["name"]: Check(**found) for found in json.loads(said.stdout)}


def test_every_failure_has_a_remedy_and_names_are_unique() -> None:
    found = checks()
    assert len({check.name for check in found}) == len(found)
    assert all(check.detail for check in found)
    assert [check.name for check in found if not check.ok and not check.remedy] == []
    assert {"DPDK", "DPDK shim", "C compiler", "cores", "device loopback", "device tap"} <= {check.name for check in found}


def test_without_dpdk_only_the_embedded_device_works() -> None:
    found = elsewhere(PKG_CONFIG_LIBDIR="/nonexistent")
    assert not found["DPDK"].ok
    assert "apt-get install" in found["DPDK"].remedy
    assert [name for name, check in found.items() if name.startswith("device") and check.ok] == ["device loopback"]


@pytest.mark.root
def test_without_privileges_interfaces_are_out_of_reach() -> None:
    found = elsewhere("unshare", "--user")
    assert not found["privileges"].ok
    usable = {name.removeprefix("device ") for name, check in found.items() if name.startswith("device") and check.ok}
    assert usable == {"loopback", "ring", "null", "pcap", "memif"}


def test_a_cache_that_cannot_be_written_is_told() -> None:
    found = elsewhere(TE_APPS_CACHE="/proc/nonexistent")
    assert not found["cache directory"].ok
    assert "TE_APPS_CACHE" in found["cache directory"].remedy
