"""What tables take, and that a run which would not fit is refused before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps import memory
from apps.errors import ConfigError
from apps.load import load_traffic
from operators.sizes import table_bytes
from operators.tcp_engine import Settings, TcpEngine

MILLION = 1_000_000
WHEEL_HEADS = 1 << 18


def test_a_connection_takes_at_most_400_bytes() -> None:
    assert table_bytes(2 * MILLION, records=False) <= 400 * 2 * MILLION
    assert table_bytes(2 * MILLION, records=False, ip6=True) <= 400 * 2 * MILLION


@pytest.mark.parametrize("transfers", [False, True])
@pytest.mark.parametrize("records", [0, 64])
@pytest.mark.parametrize("connections", [1000, 65536, 65537])
def test_what_is_computed_is_what_is_made(connections: int, records: int, transfers: bool) -> None:
    own = {"connections": connections, "records": records, "takes_transfers": transfers}
    engine = TcpEngine(Settings(mac=bytes(6), local_ips=[1], listen=[80], **own))
    made = sum(engine.for_each_connection.values())
    assert 0 <= made - table_bytes(connections, bool(records), transfers) <= WHEEL_HEADS + 4096
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
