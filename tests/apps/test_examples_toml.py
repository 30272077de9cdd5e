"""The configurations in examples/ load, say what their comment promises, and those that stay inside the process run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from apps.load import load_run, load_traffic
from dpdk_io import requirements

EXAMPLES = Path(__file__).parents[2] / "examples"

DEVICES = {
    "client.toml": ("tap:te0",),
    "loopback.toml": ("loopback",),
    "macswap.toml": ("af_packet:eth1",),
    "server.toml": ("af_packet:eth1",),
    "trafficengine_0_2.toml": ("7:00.0",),
    "transfer.toml": ("loopback",),
    "two_cores.toml": ("loopback:scatter",),
}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with two cores, an interface eth1, and all privileges."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    for check in ("interface", "capabilities", "tun"):
        monkeypatch.setattr(requirements, check, lambda *arguments: None)


def load(name: str, maps: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
    return (load_run if name == "macswap.toml" else load_traffic)(EXAMPLES / name, {}, maps)


def test_these_are_all() -> None:
    assert {path.name for path in EXAMPLES.glob("*.toml")} == set(DEVICES)


@pytest.mark.parametrize("name", DEVICES)
def test_it_loads(name: str) -> None:
    config, warnings = load(name)
    assert config.devices == DEVICES[name]
    assert bool(warnings) == (name == "trafficengine_0_2.toml")


@pytest.mark.parametrize("name", DEVICES)
def test_its_comment_says_how_to_run_it(name: str) -> None:
    app = "macswap" if name == "macswap.toml" else "trafficengine"
    assert f"#   te-apps {app} examples/{name}" in (EXAMPLES / name).read_text()


def test_roles() -> None:
    assert {name: load(name)[0].role for name in DEVICES if name != "macswap.toml"} == {
        "client.toml": "client",
        "loopback.toml": "both",
        "server.toml": "server",
        "transfer.toml": "both",
        "trafficengine_0_2.toml": "both",
        "two_cores.toml": "both",
    }


def test_the_predecessors_device_is_mapped() -> None:
    config, warnings = load("trafficengine_0_2.toml", ("7:00.0=net_ring0",))
    assert (config.devices, config.connections, config.port_mask) == (("net_ring0",), 2000, 0xE000)
    assert "netbricks.ports[1]: no tap is made: net_ring0 leads nowhere the kernel could be" in warnings
