"""What tables take, and that a run which would not fit is refused before it starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps import memory
from apps.errors import ConfigError
from apps.hooks import contents_of
from apps.load import load_traffic
from apps.trafficpipeline import Site
from operators.sizes import table_bytes
from operators.tcp_engine import Settings, TcpEngine

MILLION = 1_000_000
WHEEL_HEADS = 1 << 18


def test_a_connection_takes_at_most_400_bytes() -> None:
    assert table_bytes(2 * MILLION, records=False) <= 400 * 2 * MILLION
    assert table_bytes(2 * MILLION, records=False, ip6=True) <= 400 * 2 * MILLION
    assert table_bytes(2 * MILLION, records=False, transfers=2 * MILLION) <= 400 * 2 * MILLION


@pytest.mark.parametrize("ip", ["198.18.0.1/16", "fd00::1/64"])
def test_nor_of_a_server_that_takes_transfers(ip: str) -> None:
    config, _ = load_traffic(None, {"role": "server", "interfaces": [ip], "max_open": MILLION})
    transfers = config.transfers_among(MILLION)
    assert transfers >= MILLION // 8
    assert table_bytes(MILLION, records=False, transfers=transfers, ip6=config.has_ip6) <= 400 * MILLION


@pytest.mark.parametrize(
    ("options", "transfers"),
    [
        ({"role": "server"}, 16384),
        ({"role": "server", "max_open": 100}, 16384),
        ({"role": "server", "max_transfers": 7}, 7),
        ({"role": "server", "max_transfers": 1 << 20}, 100_000),
        ({"role": "server", "send": "1", "peer": "any"}, 100_000),
        ({"role": "client", "targets": ["198.18.0.9:1"], "send": "1"}, 100_000),
        ({"send": "1"}, 100_000),
        ({}, 0),
        ({"role": "client", "targets": ["198.18.0.9:1"]}, 0),
    ],
)
def test_how_many_can_be_transfers(options: dict[str, Any], transfers: int) -> None:
    assert load_traffic(None, options)[0].transfers_among(100_000) == transfers


@pytest.mark.parametrize(
    ("options", "timed"),
    [
        ({"send": "1"}, False),
        ({"send": "1", "rounds": 2, "think_ms": "1s"}, True),
        ({"send": "1", "read_rate": "1K"}, True),
        ({"send": "1", "peer": "any"}, True),
        ({"role": "server", "send": "1", "peer": "any"}, False),
        ({"role": "server", "read_rate": "1K"}, True),
    ],
)
def test_which_take_more_for_what_they_do_by_the_clock(options: dict[str, Any], timed: bool) -> None:
    """What is computed before the start, and what a run has."""
    config, _ = load_traffic(None, options)
    assert config.timed == timed
    (engine,) = Site(config, cast(Any, SimpleNamespace(mac=bytes(6))), None, contents_of(config)).engines
    assert {"paces" in engine.for_each_connection, "app_wheel" in engine.for_each_connection} == {timed}
    assert engine.for_each_connection["transfers"] > 0


def test_what_one_server_has_room_for_another_has_too() -> None:
    """Never more than there are connections."""
    assert load_traffic(None, {"role": "server"})[0].transfers_among(1000) == 1000


@pytest.mark.parametrize("transfers", [0, 700, None])
@pytest.mark.parametrize("read_rate", [0, 1000])
@pytest.mark.parametrize("records", [0, 64])
@pytest.mark.parametrize("connections", [1000, 65536, 65537])
def test_what_is_computed_is_what_is_made(connections: int, records: int, read_rate: int, transfers: int | None) -> None:
    own = {"connections": connections, "records": records, "transfer_pool": transfers, "read_rate": read_rate}
    engine = TcpEngine(Settings(mac=bytes(6), local_ips=[1], listen=[80], **own))
    made = sum(engine.for_each_connection.values())
    computed = table_bytes(connections, bool(records), engine.settings.transfers, timed=bool(read_rate))
    assert 0 <= made - computed <= WHEEL_HEADS * (2 if read_rate else 1) + 4096
    assert sum(engine.sizes.values()) > made


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One with 700 MiB that are free, and a control group that may be given a limit."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        8000000 kB\nMemFree:           1000 kB\nMemAvailable:     716800 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_GROUP_LIMITS", ((tmp_path / "max", tmp_path / "current"),))
    return tmp_path


def test_more_than_there_is_is_refused(machine: Path) -> None:
    config, _ = load_traffic(None, {"interfaces": ["198.18.0.0/26"], "max_open": 900_000})
    memory.check_memory(config, 1_000_000)
    with pytest.raises(ConfigError, match=r"--max-open: the tables for 4,000,000 connections .* GiB, and 0.7 GiB"):
        memory.check_memory(config, 4_000_000)


def test_a_control_group_counts(machine: Path) -> None:
    (machine / "max").write_text("max\n")
    (machine / "current").write_text("100\n")
    assert memory.available() == 716800 * 1024
    (machine / "max").write_text("1100\n")
    assert memory.available() == 1000


def test_a_system_that_says_nothing_is_believed(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert memory.available() is None
    memory.check_memory(load_traffic(None, {})[0], 1 << 30)
