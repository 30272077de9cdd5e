"""TrafficEngine as a server for the kernel's TCP: curl, wrk, plain sockets; and what a host answers beside."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.network.command import outcome, te_apps_in, wait_for_answer, wait_for_interface
from tests.network.lab import Lab, Namespace, Process
from tests.network.peers import connect_many, curl, wrk
from tests.network.witness import FEW, Capture, Conntrack, bad_frames, complaints, counters, streams, tshark

pytestmark = pytest.mark.root

SERVER = ("trafficengine", "--role", "server", "--ip", "10.0.0.2/24", "--listen", 8080, "--idle", "sleep", "--duration", 300)
URL = "http://10.0.0.2:8080/"


def on_a_tap(lab: Lab, *arguments: object) -> tuple[Namespace, Process]:
    """The peer's namespace, and the server answering in it."""
    theirs = lab.namespace("b")
    process = te_apps_in(theirs, *SERVER, "--device", "tap:te0", *arguments)
    wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
    wait_for_answer(theirs, "10.0.0.2")
    return theirs, process


def on_packet_sockets(lab: Lab, *arguments: object) -> tuple[Namespace, Process]:
    ours, theirs = lab.cable()
    process = te_apps_in(ours, *SERVER, "--device", "af_packet:v0", *arguments)
    wait_for_answer(theirs, "10.0.0.2")
    return theirs, process


Network = Callable[..., tuple[Namespace, Process]]
both_networks = pytest.mark.parametrize("network", [on_a_tap, on_packet_sockets])


@both_networks
def test_ten_thousand_plain_connects(lab: Lab, network: Network) -> None:
    theirs, process = network(lab)
    conntrack = Conntrack(theirs)
    assert connect_many(theirs, "10.0.0.2", 8080, 10_000, b"0123456789abcdef") == {"closed": 10_000, "bytes": 160_000}
    assert complaints(theirs, FEW) == {}
    assert conntrack.invalid == 0
    process.signal(signal.SIGTERM)
    run = outcome(process.finish())
    assert run.code == 143
    assert run.result["roles"]["server"]["completed"] == run.result["server"]["RecvSyn"] == 10_000
    assert run.result["roles"]["server"]["failed"] == 0
    assert run.result["server"]["BytesReceived"] == run.result["server"]["BytesSent"] == 160_000


@pytest.mark.parametrize("time_wait_ms", [350, 500, 650])
def test_waits_cut_short_harm_no_connection(lab: Lab, tmp_path: Path, time_wait_ms: int) -> None:
    """At some thousand connections a second about as many waits end by time as are cut short for want of room."""
    (tmp_path / "run.toml").write_text(f"engine.timeouts.time_wait = {time_wait_ms}")
    theirs, _ = on_packet_sockets(lab, tmp_path / "run.toml")
    assert connect_many(theirs, "10.0.0.2", 8080, 10_000, b"0123456789abcdef") == {"closed": 10_000, "bytes": 160_000}


@both_networks
def test_http_clients(lab: Lab, network: Network) -> None:
    theirs, process = network(lab, "--response", "http")
    answer = curl(theirs, URL, "-i")
    assert answer.startswith("HTTP/1.")
    assert " 200 " in answer.splitlines()[0]
    result = wrk(theirs, URL, 2)
    assert result.pop("requests") > 1_000
    assert result == {"status": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0}
    assert set(complaints(theirs, 4 * FEW)) <= {"TcpEstabResets", "TcpExtTCPAbortOnClose", "TcpExtTCPAbortOnData"}, (
        "all wrk does when its time is up"
    )
    assert process.running


@both_networks
def test_a_host_answers_ping_and_arp_and_refuses_closed_ports(lab: Lab, network: Network) -> None:
    theirs, _ = network(lab)
    theirs.run("ping", "-c3", "-i0.2", "-W2", "10.0.0.2")
    theirs.run("ping", "-c1", "-s1400", "-W2", "10.0.0.2")
    assert "lladdr" in theirs.run("ip", "neighbor", "show", "10.0.0.2").stdout
    assert theirs.run("ping", "-c1", "-W1", "10.0.0.3", check=False).returncode != 0
    assert connect_many(theirs, "10.0.0.2", 8081, 50) == {"ConnectionRefusedError": 50, "bytes": 0}
    assert counters(theirs)["TcpAttemptFails"] == 50


def test_the_wire_looks_proper(lab: Lab, tmp_path: Path) -> None:
    theirs, _ = on_packet_sockets(lab, "--response", "http")
    capture = Capture(theirs, tmp_path / "wire.pcap")
    for _ in range(5):
        curl(theirs, URL)
    connect_many(theirs, "10.0.0.2", 8080, 500, b"GET / HTTP/1.0\r\n\r\n")
    file = capture.stop()
    assert bad_frames(file, FEW) == []
    assert streams(file, "tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.options.mss_val") == 505
    assert tshark(file, "tcp.flags.reset == 1") == []
