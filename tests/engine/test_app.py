"""trafficengine as a user runs it, on the embedded device: its JSON adds up, and it ends as it should."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.apps.test_results import SCHEMA, conforms
from tests.engine.equalities import assert_once_each
from tests.network.command import TE_APPS, Outcome, outcome, te_apps, te_apps_in, wait_for_answer
from tests.network.lab import Lab, wait_until

pytestmark = pytest.mark.usefixtures("compiled")


def run(*options: object, seconds: float = 120) -> Outcome:
    """One run; what holds of every result is checked."""
    made = te_apps("trafficengine", *options, "--quiet", seconds=seconds)
    assert made.errors == ""
    check_sums(made.result)
    return made


def check_sums(result: dict[str, Any]) -> None:
    """The schema; intervals and cores add up to the whole; percentiles grow."""
    conforms(result, SCHEMA)
    connections, elapsed = result["connections"], result["elapsed_s"]
    assert sum(interval["started"] for interval in result["intervals"]) == connections["attempted"]
    assert sum(interval["completed"] for interval in result["intervals"]) == connections["completed"]
    assert [interval["t"] for interval in result["intervals"]] == sorted(interval["t"] for interval in result["intervals"])
    for name in ("attempted", "established", "completed", "failed"):
        assert sum(core["connections"][name] for core in result["pipelines"]) == connections[name]
    for name, count in (("connect", "established"), ("lifetime", "completed")):
        latency = result["latency_us"][name]
        assert latency.pop("count") == connections[count]
        values = list(latency.values())
        assert values == sorted(values)
        assert 0 < values[0] <= values[-1] < (elapsed + 2) * 1e6
    assert result["latency_us"]["connect"]["p50"] <= result["latency_us"]["lifetime"]["p50"]
    assert result["cps"] == pytest.approx(connections["completed"] / elapsed, rel=1e-3, abs=0.05)


def assert_all_completed(made: Outcome, connections: int) -> None:
    """Exit code 0, seven packets a connection, nothing dropped, counters equal at both ends.

    A core may be held up by the machine for longer than an ACK waits, or even a timeout: then there are a few more packets.
    """
    result = made.result
    assert (made.code, result["ended_by"], made.drops) == (0, "done", {})
    more = result["packets"]["sent"] - 7 * connections
    assert result["packets"]["received"] == result["packets"]["sent"]
    assert 0 <= more <= 2 * made.few
    sides = [{**result[role], **result["release_causes"][role], **result["roles"][role]} for role in ("client", "server")]
    assert_once_each(*sides, connections, lossless=more == 0)


def test_both_roles() -> None:
    assert_all_completed(run("--connections", 50_000), 50_000)


TWO_CORES = ("--device", "loopback:scatter", "--cores", "0,1")
BOTH_FAMILIES = ("--ip", "10.0.0.1/8", "--ip", "2001:db8::1/64")


def test_both_families_in_one_run(tmp_path: Path) -> None:
    records = tmp_path / "records.csv"
    made = run(*BOTH_FAMILIES, *TWO_CORES, "--connections", 10_000, "--records", records)
    assert_all_completed(made, 20_000)
    lines = [line.split(",")[2:4] for line in records.read_text().splitlines()[1:]]
    assert all(lines.count([ip, ip]) == 20_000 for ip in ("10.0.0.1", "2001:db8::1"))
    assert len(lines) == 40_000


@pytest.mark.parametrize("rule", ["port", "ip", "rss"])
def test_both_families_between_two_cores(rule: str) -> None:
    made = run(*BOTH_FAMILIES, *TWO_CORES, "--steering", rule, "--connections", 5_000)
    assert_all_completed(made, 10_000)
    assert 0 < made.result["misdirected"] < made.result["packets"]["sent"]


@pytest.mark.parametrize("rule", ["port", "ip", "rss"])
def test_a_device_that_scatters_loses_nothing_between_two_cores(rule: str) -> None:
    made = run(*TWO_CORES, "--steering", rule, "--connections", 10_000)
    assert_all_completed(made, 20_000)
    assert 0 < made.result["misdirected"] < made.result["packets"]["sent"]
    assert made.result["drops"]["left_in_rings"] == 0
    assert [core["connections"]["completed"] for core in made.result["pipelines"]] == [10_000, 10_000]


def test_several_devices_at_once() -> None:
    made = run("--device", "loopback", "--device", "loopback:scatter", "--connections", 5_000)
    assert_all_completed(made, 10_000)
    assert sum(stats["rx_packets"] for stats in made.result["ports"].values()) == made.result["packets"]["received"]
    assert min(stats["rx_packets"] for stats in made.result["ports"].values()) >= 35_000


def test_a_run_by_duration() -> None:
    made = run("--duration", 2.5, "--cps", 2000)
    assert (made.code, made.result["ended_by"]) == (0, "duration")
    assert made.result["elapsed_s"] == pytest.approx(2.5, abs=0.5)
    assert made.result["connections"]["attempted"] == pytest.approx(5000, abs=40 + made.result["shortfall"])
    assert made.result["asked_cps"] == 2000


def test_a_target_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """What is open by then ends by its own timeout; no more connections are begun."""
    (tmp_path / "run.toml").write_text("engine.timeouts.user = 1500")
    target = ("--role", "client", "--ip", "10.0.0.2/24", "--target", "10.0.0.9:80@02:00:00:00:00:09")
    made = te_apps("trafficengine", tmp_path / "run.toml", *target, "--connections", 100_000, "--max-open", 50)
    connections = made.result["connections"]
    assert (made.code, made.result["ended_by"]) == (1, "silence")
    assert connections["attempted"] == connections["failed"] == made.result["release_causes"]["client"]["Timeout"]
    assert 50 <= connections["attempted"] <= 250


def test_responses_are_judged() -> None:
    get = ("--request", r"GET / HTTP/1.0\r\n\r\n", "--connections", 500)
    good = run(*get, "--expect", "HTTP/1.1 200")
    assert (good.code, good.result["responses"]) == (0, {"expected": 500, "unexpected": 0})
    bad = run(*get, "--expect", "HTTP/1.1 404")
    assert (bad.code, bad.result["responses"]) == (1, {"expected": 0, "unexpected": 500})
    assert bad.result["connections"]["completed"] == 500


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_whole_result(tmp_path: Path, number: signal.Signals, code: int) -> None:
    records = tmp_path / "records.csv"
    command = [
        TE_APPS,
        "trafficengine",
        "--cps",
        "3000",
        "--connections",
        "100000000",
        "--records",
        str(records),
        "--json",
        "--quiet",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: records.exists() and records.stat().st_size > 100_000, 120, "records")
        process.send_signal(number)
        sent = time.monotonic()
        out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - sent < 10
    assert errors == ""
    made = outcome(subprocess.CompletedProcess(command, process.returncode, out, errors))
    assert (made.code, made.result["ended_by"]) == (code, number.name)
    check_sums(made.result)
    connections = made.result["connections"]
    assert connections["attempted"] == connections["completed"] > 100
    assert len(records.read_text().splitlines()) == 1 + 2 * connections["completed"]


def test_json_is_all_that_stdout_has() -> None:
    command = [TE_APPS, "trafficengine", "--connections", "100", "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["connections"]["completed"] == 100
    quiet = subprocess.run([*command[:-1], "--quiet"], capture_output=True, text=True, timeout=120, check=True)
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_a_next_hop_that_does_not_answer_is_told_in_one_line() -> None:
    command = [
        TE_APPS,
        "trafficengine",
        "--device",
        "ring",
        "--role",
        "client",
        "--ip",
        "10.0.0.1/24",
        "--target",
        "10.0.0.9:80",
        "--json",
        "--quiet",
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "te-apps: no ARP answer from 10.0.0.9: is it up, and on this link? else give its MAC with the target\n"


UDP_ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.3", 7))
while True:
    s.sendto(*s.recvfrom(2048))
"""
UDP_ASK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"over the tap", ("10.0.0.3", 7))
print(s.recv(2048).decode())
"""


@pytest.mark.root
def test_what_is_not_ours_goes_to_the_kernel_and_back(lab: Lab) -> None:
    """A station reaches the kernel's address behind the tap, and the engine's own beside it; then the tap is gone."""
    ours, theirs = lab.cable()
    app = ("--role", "server", "--listen", 80, "--ip", "10.0.0.2/24", "--kernel-side", "te9,10.0.0.3/24")
    process = te_apps_in(ours, "trafficengine", "--device", "af_packet:v0", *app, "--duration", 100, "--quiet")
    wait_for_answer(theirs, "10.0.0.2")
    wait_for_answer(theirs, "10.0.0.3")
    ours.start(sys.executable, "-c", UDP_ECHO)
    wait_until(lambda: "10.0.0.3:7" in ours.run("ss", "-lun").stdout, 20, "the echo server")
    assert theirs.run(sys.executable, "-c", UDP_ASK).stdout == "over the tap\n"
    assert "HTTP/1.1 200" in theirs.run("curl", "-si", "--max-time", "10", "http://10.0.0.2/").stdout
    assert ours.has("te9")
    process.signal(signal.SIGINT)
    made = outcome(process.finish(30))
    assert (made.code, made.result["connections"]["completed"]) == (130, 1)
    assert not ours.has("te9")


@pytest.mark.root
def test_a_server_ends_after_as_many_connections_as_it_was_told(lab: Lab) -> None:
    ours, theirs = lab.cable()
    app = ("--role", "server", "--listen", 80, "--ip", "10.0.0.2/24", "--connections", 5)
    process = te_apps_in(ours, "trafficengine", "--device", "af_packet:v0", *app, "--quiet")
    wait_for_answer(theirs, "10.0.0.2")
    for _ in range(5):
        assert process.running
        assert theirs.run("curl", "-s", "--max-time", "10", "http://10.0.0.2/").stdout == "te-apps\n"
    made = outcome(process.finish(30))
    assert (made.code, made.result["ended_by"]) == (0, "done")
    assert made.result["connections"]["completed"] == made.result["server"]["SentFin"] == 5
    assert made.drops == {}


def test_transfers_of_more_than_sequence_numbers_can_tell() -> None:
    """More than four gigabytes: every byte is verified, by its offset in 64 bits."""
    made = run("--send", "4500M", "--receive", "100")
    assert (made.code, made.drops) == (0, {})
    assert made.result["server"]["BytesReceived"] == made.result["client"]["BytesSent"] == 4_500_000_040
    assert made.result["client"]["Mismatches"] == made.result["server"]["Mismatches"] == 0
    assert made.result["responses"] == {"expected": 1, "unexpected": 0}
    goodput, elapsed = made.result["goodput"], made.result["elapsed_s"]
    assert goodput["client"]["sent"] == goodput["server"]["received"] == pytest.approx(4_500_000_040 / elapsed, rel=1e-6)
    seconds = [b - a for a, b in itertools.pairwise([0.0, *(interval["t"] for interval in made.result["intervals"])])]
    rates = [interval["goodput"]["server"]["received"] for interval in made.result["intervals"]]
    assert sum(s * rate for s, rate in zip(seconds, rates, strict=True)) == pytest.approx(4_500_000_040, rel=0.02)


@pytest.mark.parametrize(
    ("options", "sent", "received"),
    [
        (["--send", "10K", "--receive", "20K", "--rounds", 4], 40_040, 80_000),
        (["--send", "1Ki", "--receive", "3Ki", "--rounds", 3, "--think", "20ms", "--half-close"], 3 * 1024 + 40, 3 * 3072),
        (["--send", "64K", "--receive", "100", "--peer", "any", "--rounds", 2], 128_000, 200),
        (["--send-file", __file__], len(Path(__file__).read_bytes()) + 40, 0),
        (["--receive", "50K", "--read-rate", "1M", "--window", "8K"], 40, 50_000),
    ],
)
def test_transfers(options: list[object], sent: int, received: int) -> None:
    made = run(*options, "--connections", 20)
    assert (made.code, made.drops) == (0, {})
    assert made.result["responses"] == {"expected": 20, "unexpected": 0}
    ours, theirs = made.result["client"], made.result["server"]
    assert ours["BytesSent"] == theirs["BytesReceived"] == 20 * sent
    assert theirs["BytesSent"] == ours["BytesReceived"] == 20 * received


def test_transfers_by_duration() -> None:
    made = run("--send", "100K", "--receive", "100K", "--duration", 1.5)
    assert (made.code, made.result["ended_by"]) == (0, "duration")
    assert made.result["responses"]["unexpected"] == 0
    assert made.result["responses"]["expected"] == made.result["connections"]["completed"] > 100
    rates = [interval["goodput"]["client"]["sent"] for interval in made.result["intervals"]]
    assert min(rates) > 0.3 * max(rates)


def test_hooks_of_the_users(tmp_path: Path) -> None:
    hooks = Path(__file__).parent.parent.parent / "examples/hooks.py"
    content = ("--payload-hook", f"{hooks}:lines", "--check-hook", f"{hooks}:are_lines", "--connections", 5)
    made = run("--send", "100K", "--receive", "70K", *content)
    assert (made.code, made.result["responses"]) == (0, {"expected": 5, "unexpected": 0})
    bad = run("--send", "100K", "--receive", "70K", "--check-hook", f"{hooks}:are_lines", "--connections", 5)
    assert (bad.code, bad.result["responses"]) == (1, {"expected": 0, "unexpected": 10})
    assert bad.result["client"]["Mismatches"] > 5
