"""A server attacked while the kernel's sockets transfer: they do not notice, it does not grow, and every packet is counted."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.host import CLIENT_MAC, SERVER_MAC
from tests.network.command import Outcome, outcome, te_apps_in, wait_for_answer, wait_for_interface
from tests.network.lab import Lab, Namespace, Process
from tests.network.transferring import OURS, SCRIPT, THEIRS, Plan, Transfers, lines

pytestmark = pytest.mark.root

SERVER = ("trafficengine", "--role", "server", "--ip", f"{OURS}/24", "--listen", 8080, "--idle", "sleep", "--duration", 300)
REASONS = ("tcp_check.checksum", "tcp_check.bad_options", "tcp_state.bad_source", "parse.bad_tcp")
SILENT, CLOSED = ("open|filtered", "closed"), ("closed", "closed")
SCANS = {
    "-sS": ("open ", "closed"), "-sT": ("open ", "closed"), "-sN": SILENT, "-sF": SILENT, "-sX": SILENT,
    "-sA": ("unfiltered", "unfiltered"), "-sW": CLOSED, "-sM": CLOSED,
}  # fmt: skip
"""What RFC 9293 makes nmap say of a port that is listened on, and of one that is not."""


def on_packet_sockets(lab: Lab) -> tuple[Namespace, Process]:
    """The peer's namespace and the server, with the hardware addresses that hostile frames have. A packet socket in a fanout, as
    DPDK opens them, has the kernel put fragments together: they do not come so far."""
    ours, theirs = lab.cable()
    ours.run("ip", "link", "set", "v0", "address", SERVER_MAC.hex(":"))
    theirs.run("ip", "link", "set", "v1", "address", CLIENT_MAC.hex(":"))
    process = te_apps_in(ours, *SERVER, "--device", "af_packet:v0")
    wait_for_answer(theirs, OURS)
    return theirs, process


def on_a_tap(lab: Lab) -> tuple[Namespace, Process]:
    """The same over a tap, which brings every frame as it was sent."""
    theirs = lab.namespace("b")
    process = te_apps_in(theirs, *SERVER, "--device", "tap:te0", "--mac", SERVER_MAC.hex(":"))
    wait_for_interface(theirs, process, "te0", f"{THEIRS}/24")
    theirs.run("ip", "link", "set", "te0", "address", CLIENT_MAC.hex(":"))
    wait_for_answer(theirs, OURS)
    return theirs, process


def resident(process: Process) -> int:
    """Bytes of memory in use."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) * 1024


def hostile_frames(theirs: Namespace, count: int, seed: int) -> Process:
    return theirs.start(sys.executable, "-m", "tests.network.hostility", theirs.interface, str(count), str(seed))


LOST_ELSEWHERE = (
    "no_mbuf", "tx_full", "tx_unsent", "too_long", "records_lost", "no_echo_ring", "no_transfer", "queue_full", "unhandled",
)  # fmt: skip
"""Drops of what was never received."""


def assert_all_accounted_for(run: Outcome) -> None:
    """Every packet that was received or sent is in exactly one of the counters."""
    result, server, beside = run.result, run.result["server"], run.result["beside_tcp"]
    assert {name: result["drops"][name] for name in LOST_ELSEWHERE if result["drops"][name]} == {}
    assert result["packets"]["received"] == server["SegmentsReceived"] + sum(result["drops"].values()) + sum(beside.values())
    assert result["packets"]["sent"] == server["SegmentsSent"] + sum(beside.values()) - beside["reassemble"]
    assert beside["arp_responder"] > 0 < beside["icmp_echo"]


@pytest.mark.parametrize("network", [on_packet_sockets, on_a_tap])
def test_an_attack_disturbs_nobody(lab: Lab, network: Callable[[Lab], tuple[Namespace, Process]]) -> None:
    theirs, process = network(lab)
    first = json.loads(hostile_frames(theirs, 5_000, seed=1).finish().stdout)
    before = resident(process)
    attack = hostile_frames(theirs, 20_000, seed=2)
    plan = Plan(20, 4, 100_000, 1_000_000)
    told = Transfers(lines(theirs.run(sys.executable, SCRIPT, "client", OURS, "8080", *plan.sizes).stdout))
    sent = json.loads(attack.finish(60).stdout)
    assert sum(sent.values()) == 20_000
    assert (len(told.told), told.wrong) == (20, [])
    assert resident(process) - before < 16 << 20
    process.signal()
    run = outcome(process.finish())
    assert_all_accounted_for(run)
    assert (run.result["server"]["Mismatches"], run.result["roles"]["server"]["completed"]) == (0, 20)
    assert [reason for reason in REASONS if not run.result["drops"][reason]] == []
    (port,) = run.result["ports"].values()
    assert port["rx_missed"] == 0
    if network is on_a_tap:
        fragments = run.result["beside_tcp"]["reassemble"]
        fragments += sum(count for name, count in run.result["drops"].items() if name.startswith("reassemble."))
        assert fragments >= first["fragment"] + sent["fragment"] > 2_000


def test_nmap_finds_the_port_and_no_way_to_guess_numbers(lab: Lab) -> None:
    theirs, process = on_packet_sockets(lab)
    report = theirs.run("nmap", "-n", "-Pn", "-O", "-v", "-p", "8080,8081", OURS).stdout
    assert re.search(r"8080/tcp open", report)
    assert re.search(r"8081/tcp closed", report)
    difficulty = re.search(r"TCP Sequence Prediction: Difficulty=(\d+)", report)
    assert difficulty, report
    assert int(difficulty[1]) >= 200
    assert "IP ID Sequence Generation: All zeros" in report
    for scan, (found, beside) in SCANS.items():
        report = theirs.run("nmap", "-n", "-Pn", scan, "-p", "8080,8081", OURS).stdout
        assert f"8080/tcp {found}" in report, (scan, report)
        assert f"8081/tcp {beside}" in report, (scan, report)
    process.signal()
    run = outcome(process.finish())
    assert run.drops == {}
    assert_all_accounted_for(run)
