"""Whatever a file holds: a configuration, or one line. Never a traceback."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from apps import load
from apps.config import TrafficConfig
from apps.errors import ConfigError
from apps.schema import KEYS

words = st.sampled_from(
    ["Port", "Ip", "auto", "E000", "7:00.0", "kni:1", "null", "ring", "10.0.0.1/24", "10.0.0.2", "10.0.0.2:80", "lo"]
)
scalars = st.booleans() | st.integers(-2, 70000) | st.floats(-2, 2) | st.text(max_size=4) | words
LEGACY_KEYS = (
    "netbricks", "engine", "trafficengine", "ports", "cores", "strict", "secondary", "name", "kni", "fdir", "dst_port_mask",
    "ipnet", "mac", "namespace", "rx_cores", "tx_cores", "rxd", "flow_steering", "targets", "id", "ip", "port", "linux_if",
    "timeouts", "established", "cps_limit", "max_open", "test_size", "vdev", "master_core",
)  # fmt: skip


def tables(content: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(LEGACY_KEYS), content, max_size=5)


anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | tables(inner), max_leaves=12)
ports = st.lists(tables(anything).map(lambda port: {"name": "ring", **port}), max_size=3)
legacy = st.fixed_dictionaries(
    {"netbricks": tables(anything) | st.fixed_dictionaries({"ports": ports})}, optional={"engine": tables(anything)}
)


@st.composite
def ours(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=4)):
        *path, name = key.path.split(".")
        table = document
        for step in path:
            table = table.setdefault(step, {})
        table[name] = draw(anything)
    return document


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def outcome(document: dict[str, Any]) -> TrafficConfig | str:
    """What comes of *document*: a configuration, or the one line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "read_toml", lambda path: document)
        try:
            return load.load_traffic(load.Path("any.toml"), {})[0]
        except ConfigError as error:
            return str(error)


@settings(max_examples=400, deadline=None)
@given(legacy | ours() | tables(anything))
def test_any_file(document: dict[str, Any]) -> None:
    found = outcome(document)
    event("refused" if isinstance(found, str) else "taken")
    if isinstance(found, str):
        assert len(found.splitlines()) == 1
        assert ": " in found
    else:
        assert found.cores
        assert found.devices
        assert all(found.targets_of(index) for index in range(len(found.cores))) or not found.is_client
