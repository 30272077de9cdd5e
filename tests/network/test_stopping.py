"""How a run ends that does not end well: the peer goes away, or the user has had enough."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.network.command import TE_APPS, outcome, te_apps_in, wait_for_interface
from tests.network.lab import Lab, Process, wait_until
from tests.network.peers import nginx
from tests.network.test_client import CLIENT
from tests.network.witness import counters

pytestmark = pytest.mark.root

STOPS = [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")]


def children(process: Process) -> list[int]:
    """Processes that *process* has started, directly."""
    return [int(pid) for pid in Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()]


def hugepage_files(pid: int) -> list[str]:
    """Hugepage-backed files that process *pid* has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return sorted({line.split(maxsplit=5)[5] for line in maps if "rtemap" in line or "/hugepages" in line})


def test_a_peer_that_goes_away_times_out(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable()
    nginx(theirs, tmp_path)
    (tmp_path / "run.toml").write_text("engine.timeouts = { user = 2000, established = 4000, fin_wait_2 = 4000 }")
    limits = ("--connections", 10_000, "--cps", 1_000, "--max-open", 800)
    process = te_apps_in(ours, *CLIENT, tmp_path / "run.toml", "--device", "af_packet:v0", *limits)
    wait_until(lambda: counters(theirs)["TcpPassiveOpens"] > 1_500 or not process.running, 120, "connections")
    assert process.running, process.finish()
    theirs.run("ip", "link", "set", "v1", "down")
    run = outcome(process.finish(60))
    assert (run.code, run.result["ended_by"]) == (1, "silence")
    connections = run.result["connections"]
    assert run.result["release_causes"]["client"]["Timeout"] == connections["failed"] >= 800
    assert connections["attempted"] == connections["completed"] + connections["failed"] < 10_000
    assert connections["max_open"] == 800


@pytest.mark.parametrize(("number", "code", "name"), STOPS)
def test_a_signal_ends_a_run_with_its_results(lab: Lab, tmp_path: Path, number: int, code: int, name: str) -> None:
    theirs = lab.namespace("b")
    nginx(theirs, tmp_path)
    process = te_apps_in(theirs, *CLIENT, "--device", "tap:te0", "--connections", 10_000_000, "--cps", 2_000)
    wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
    wait_until(lambda: counters(theirs)["TcpPassiveOpens"] > 1_500 or not process.running, 120, "connections")
    assert process.running, process.finish()
    assert children(process) == []
    files = hugepage_files(process.popen.pid)
    process.signal(number)
    started = time.monotonic()
    run = outcome(process.finish(15))
    assert time.monotonic() - started < 10
    assert (run.code, run.result["ended_by"]) == (code, name)
    assert run.result["connections"]["completed"] > 1_000
    assert "Traceback" not in run.errors
    assert not theirs.has("te0")
    assert [file for file in files if os.path.exists(file.removesuffix(" (deleted)"))] == []


def test_a_second_signal_is_not_needed_while_starting(lab: Lab) -> None:
    """A signal before the first packet ends the program too, within seconds and without a traceback."""
    theirs = lab.namespace("b")
    process = theirs.start(TE_APPS, *CLIENT, "--device", "tap:te0", "--connections", "1000", "--json")
    wait_until(lambda: theirs.has("te0") or not process.running, 30, "te0")
    process.signal(signal.SIGINT)
    done = process.finish(15)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert not theirs.has("te0")
