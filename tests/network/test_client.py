"""TrafficEngine as a client of nginx, over a tap and over packet sockets: all read in full, nothing improper on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.command import Outcome, outcome, run_in, te_apps_in, wait_for_interface
from tests.network.lab import Lab, Loss, Namespace
from tests.network.peers import nginx
from tests.network.witness import Capture, Conntrack, bad_frames, complaints, counters, established, streams

pytestmark = pytest.mark.root

CLIENT = (
    "trafficengine", "--role", "client", "--ip", "10.0.0.2/24", "--target", "10.0.0.1:80",
    "--request", r"GET / HTTP/1.0\r\nHost: nginx\r\n\r\n", "--expect", "HTTP/1.1 200 OK", "--idle", "sleep",
)  # fmt: skip
BODY = b"hello from nginx\n" * 10


def over_a_tap(lab: Lab, home: Path, *arguments: object) -> tuple[Namespace, Outcome]:
    theirs = lab.namespace("b")
    nginx(theirs, home, BODY)
    process = te_apps_in(theirs, *CLIENT, "--device", "tap:te0", *arguments)
    wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
    return theirs, outcome(process.finish(180))


def over_packet_sockets(lab: Lab, home: Path, *arguments: object) -> tuple[Namespace, Outcome]:
    ours, theirs = lab.cable()
    nginx(theirs, home, BODY)
    return theirs, run_in(ours, *CLIENT, "--device", "af_packet:v0", *arguments, seconds=180)


def assert_all_served(run: Outcome, count: int) -> None:
    """*count* connections opened, answered with 200 and closed by FINs in both directions, hardly anything sent twice."""
    assert run.code == 0, run.errors
    connections, client = run.result["connections"], run.result["client"]
    assert (connections["attempted"], connections["completed"], connections["failed"]) == (count, count, 0)
    assert run.result["responses"] == {"expected": count, "unexpected": 0}
    assert (client["SentSyn"], client["RecvSynAck"], client["SentSynAck2"]) == (count, count, count)
    assert client["SentFin"] + client["SentFinPssv"] == client["RecvFin"] + client["RecvFinPssv"] == count
    assert client["SentAck4Fin"] == client["RecvAck4Fin"] == count
    assert client["RecvRst"] == client["SentRst"] == 0
    assert max(client["Retransmissions"], client["Unexpected"]) <= run.few
    assert run.drops == {}


@pytest.mark.parametrize("network", [over_a_tap, over_packet_sockets])
def test_twenty_thousand_requests(lab: Lab, tmp_path: Path, network) -> None:
    theirs, run = network(lab, tmp_path, "--connections", 20_000)
    assert_all_served(run, 20_000)
    assert complaints(theirs, run.few) == {}
    assert counters(theirs)["TcpPassiveOpens"] == 20_000
    assert established(theirs) == 0
    headers = run.result["client"]["BytesReceived"] / 20_000 - len(BODY)
    assert 150 < headers < 400
    assert headers == int(headers)


def test_the_wire_looks_proper(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable()
    nginx(theirs, tmp_path, BODY)
    conntrack = Conntrack(theirs)
    capture = Capture(theirs, tmp_path / "wire.pcap")
    run = run_in(ours, *CLIENT, "--device", "af_packet:v0", "--connections", 2_000, "--cps", 4_000)
    assert_all_served(run, 2_000)
    assert conntrack.invalid == 0
    file = capture.stop()
    assert bad_frames(file, run.few) == []
    assert streams(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0") == 2_000
    assert streams(file, "tcp.flags.fin == 1") == 4_000
    assert streams(file, "http.response.code == 200 && http.content_length == 170") == 2_000


def test_a_response_of_many_segments_is_read_to_its_end(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable()
    body = bytes(range(256)) * 400
    nginx(theirs, tmp_path, body)
    run = run_in(ours, *CLIENT, "--device", "af_packet:v0", "--connections", 200, "--max-open", 4)
    # The two processors may deliver a burst out of order; what comes early is dropped, and the kernel sends it again.
    assert (run.code, run.result["connections"]["completed"]) == (0, 200), run.errors
    assert run.result["responses"] == {"expected": 200, "unexpected": 0}
    assert run.result["client"]["BytesReceived"] > 200 * len(body)


def test_a_second_run_is_not_held_up_by_what_the_first_left_in_time_wait(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable()
    nginx(theirs, tmp_path, BODY)
    for _ in range(2):
        run = run_in(ours, *CLIENT, "--device", "af_packet:v0", "--connections", 500, "--seed", 7)
        assert_all_served(run, 500)
    assert int(theirs.run("sh", "-c", "ss -Htan state time-wait | wc -l").stdout) == 500


@pytest.mark.parametrize("sender", ["m0", "m1"])
def test_lost_packets_fail_no_connection(lab: Lab, tmp_path: Path, sender: str) -> None:
    """101 is prime to the packets of a connection, so each kind of packet is lost, a few per mille of connections losing one."""
    ours, middle, theirs = lab.bridged()
    nginx(theirs, tmp_path, BODY)
    loss = Loss(middle, f"iif {sender} numgen inc mod 101 == 0")
    run = run_in(ours, *CLIENT, "--device", "af_packet:v0", "--connections", 3_000, "--max-open", 100)
    assert run.code == 0, run.errors
    assert run.result["connections"]["completed"] == 3_000
    assert run.result["connections"]["failed"] == 0
    assert run.result["responses"] == {"expected": 3_000, "unexpected": 0}
    assert loss.packets > 100
    assert counters(theirs)["TcpEstabResets"] == counters(theirs)["TcpInCsumErrors"] == 0


@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("sender", ["m0", "m1"])
def test_one_lost_packet_fails_no_connection(lab: Lab, tmp_path: Path, sender: str, nth: int) -> None:
    ours, middle, theirs = lab.bridged()
    nginx(theirs, tmp_path, BODY)
    loss = Loss(middle, f"iif {sender} numgen inc mod 1000000 == {nth}")
    run = run_in(ours, *CLIENT, "--device", "af_packet:v0", "--connections", 1)
    assert (run.code, run.result["connections"]["completed"], run.result["connections"]["failed"]) == (0, 1, 0), run.errors
    assert run.result["responses"] == {"expected": 1, "unexpected": 0}
    assert loss.packets == 1
