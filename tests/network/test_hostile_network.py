"""A server attacked while the kernel's sockets transfer: they do not notice, it does not grow, and every packet is counted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.engine.host import CLIENT_MAC, SERVER_MAC
from tests.network.command import Outcome, outcome, te_apps_in, wait_for_answer
from tests.network.lab import Lab, Namespace, Process
from tests.network.transferring import APP, OURS, SCRIPT, Plan, Transfers, lines

pytestmark = pytest.mark.root

SERVER = (*APP, "--role", "server", "--listen", 8080, "--duration", 300)
SCANS = {"-sS": "open ", "-sN": "open|filtered", "-sF": "open|filtered", "-sX": "open|filtered", "-sA": "unfiltered"}
"""What RFC 9293 makes nmap say of a listening port."""


def attacked(lab: Lab) -> tuple[Namespace, Process]:
    """The peer's namespace and the server, with the hardware addresses that hostile frames have."""
    ours, theirs = lab.cable()
    ours.run("ip", "link", "set", "v0", "address", SERVER_MAC.hex(":"))
    theirs.run("ip", "link", "set", "v1", "address", CLIENT_MAC.hex(":"))
    process = te_apps_in(ours, *SERVER)
    wait_for_answer(theirs, OURS)
    return theirs, process


def resident(process: Process) -> int:
    """Bytes of memory in use."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) * 1024


def hostile_frames(theirs: Namespace, count: int, seed: int) -> Process:
    return theirs.start(sys.executable, "-m", "tests.network.hostility", "v1", str(count), str(seed))


LOST_ELSEWHERE = ("no_mbuf", "tx_full", "tx_unsent", "too_long", "records_lost", "no_echo_ring", "queue_full", "unhandled")
"""Drops of what was never received."""


def assert_all_accounted_for(run: Outcome) -> None:
    """Every packet that was received or sent is in exactly one of the counters."""
    result, server, beside = run.result, run.result["server"], run.result["beside_tcp"]
    assert {name: result["drops"][name] for name in LOST_ELSEWHERE if result["drops"][name]} == {}
    assert result["packets"]["received"] == server["SegmentsReceived"] + sum(result["drops"].values()) + sum(beside.values())
    assert result["packets"]["sent"] == server["SegmentsSent"] + sum(beside.values())
    assert beside["arp_responder"] > 0 < beside["icmp_echo"]


def test_an_attack_disturbs_nobody(lab: Lab) -> None:
    theirs, process = attacked(lab)
    hostile_frames(theirs, 5_000, seed=1).finish()
    before = resident(process)
    attack = hostile_frames(theirs, 20_000, seed=2)
    plan = Plan(20, 4, 100_000, 1_000_000)
    told = Transfers(lines(theirs.run(sys.executable, SCRIPT, "client", OURS, "8080", *plan.sizes).stdout))
    assert attack.finish(60).stdout == "20000"
    assert (len(told.told), told.wrong) == (20, [])
    assert resident(process) - before < 16 << 20
    process.signal()
    run = outcome(process.finish())
    assert_all_accounted_for(run)
    assert (run.result["server"]["Mismatches"], run.result["roles"]["server"]["completed"]) == (0, 20)
    # Fragments do not come so far: a packet socket in a fanout, as DPDK opens them, has the kernel put them together.
    for reason in ("tcp_check.checksum", "tcp_check.bad_options", "tcp_state.bad_source", "parse.bad_tcp"):
        assert run.result["drops"][reason] > 0, reason
    assert run.result["ports"]["net_af_packet0"]["rx_missed"] == 0


def test_nmap_finds_the_port_and_no_way_to_guess_numbers(lab: Lab) -> None:
    theirs, process = attacked(lab)
    report = theirs.run("nmap", "-n", "-Pn", "-O", "-v", "-p", "8080,8081", OURS).stdout
    assert re.search(r"8080/tcp open", report)
    assert re.search(r"8081/tcp closed", report)
    difficulty = re.search(r"TCP Sequence Prediction: Difficulty=(\d+)", report)
    assert difficulty, report
    assert int(difficulty[1]) >= 200
    assert "IP ID Sequence Generation: All zeros" in report
    for scan, found in SCANS.items():
        assert f"8080/tcp {found}" in theirs.run("nmap", "-n", "-Pn", scan, "-p", "8080,8081", OURS).stdout, scan
    process.signal()
    run = outcome(process.finish())
    assert run.drops == {}
    assert_all_accounted_for(run)
