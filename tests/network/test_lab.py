"""The harness itself, kernel to kernel: proper TCP has no complaints, improper TCP has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.lab import Lab, Loss
from tests.network.peers import connect_many, curl, nginx, wrk
from tests.network.witness import FEW, Capture, Conntrack, bad_frames, complaints, counters, streams, tshark

pytestmark = pytest.mark.root

_IMPROPER = """
from scapy.all import IP, TCP, Ether, sendp
to_target = Ether(dst={mac!r}) / IP(src='10.0.0.2', dst='10.0.0.1')
for segment in (
    TCP(sport=1234, dport=80, flags='S', chksum=0x1234),
    TCP(sport=1234, dport=80, flags='A', seq=5, ack=9),
    TCP(sport=1234, dport=80, flags='SF'),
):
    sendp(to_target / segment, iface='v0', verbose=0)
"""


def test_proper_tcp_raises_no_complaint(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable("10.0.0.2/24")
    nginx(theirs, tmp_path)
    conntrack = Conntrack(theirs)
    capture = Capture(theirs, tmp_path / "clean.pcap")
    assert curl(ours, "http://10.0.0.1/") == "hello from nginx\n"
    got = connect_many(ours, "10.0.0.1", 80, 200, b"GET / HTTP/1.0\r\n\r\n")
    assert got["closed"] == 200
    assert got["bytes"] % 200 == 0
    assert complaints(theirs, FEW) == {}
    assert counters(theirs)["TcpPassiveOpens"] == 201
    assert conntrack.invalid == 0
    file = capture.stop()
    assert bad_frames(file, FEW) == []
    assert streams(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0") == 201


def test_wrk_is_read_right(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable("10.0.0.2/24")
    nginx(theirs, tmp_path)
    result = wrk(ours, "http://10.0.0.1/", 1)
    requests = result.pop("requests")
    assert 0 < requests <= counters(theirs)["TcpPassiveOpens"] <= requests + 64
    assert result == {"status": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0}
    assert wrk(ours, "http://10.0.0.1/absent", 1)["status"] > 0


def test_improper_tcp_is_noticed(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.cable("10.0.0.2/24")
    nginx(theirs, tmp_path)
    conntrack = Conntrack(theirs)
    capture = Capture(theirs, tmp_path / "bad.pcap")
    mac = theirs.run("cat", "/sys/class/net/v1/address").stdout.strip()
    ours.run(sys.executable, "-W", "ignore", "-c", _IMPROPER.format(mac=mac))
    assert complaints(theirs, 0)["TcpInCsumErrors"] == 1
    assert conntrack.invalid >= 1
    assert len(tshark(capture.stop(), "tcp.checksum.status == 0")) == 1


def test_a_bridge_loses_what_it_is_told_to(lab: Lab, tmp_path: Path) -> None:
    ours, middle, theirs = lab.bridged("10.0.0.2/24")
    nginx(theirs, tmp_path)
    loss = Loss(middle, "iif m0 numgen inc mod 7 == 3")
    assert connect_many(ours, "10.0.0.1", 80, 20, b"GET / HTTP/1.0\r\n\r\n")["closed"] == 20
    assert loss.packets >= 10
    assert counters(ours)["TcpRetransSegs"] > 0


def test_who_has_settled_has_a_core_for_programs_and_packets(lab: Lab) -> None:
    ours, _ = lab.cable()
    ours.settle(0)
    assert ours.run("nproc").stdout == "1\n"
    assert ours.run("nice").stdout == "-20\n"
    assert ours.run("cat", "/sys/class/net/v0/queues/rx-0/rps_cpus").stdout.strip("0\n") == "1"


def test_nothing_is_left_behind() -> None:
    lab = Lab()
    with pytest.raises(ZeroDivisionError):
        fail_within(lab, f"60.{os.getpid()}")
    assert lab.prefix not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert subprocess.run(["pgrep", "-af", f"sleep 60.{os.getpid()}"], capture_output=True, text=True, check=False).stdout == ""


def fail_within(lab: Lab, nap: str) -> None:
    with lab:
        ours, _ = lab.cable()
        ours.start("sh", "-c", f"sleep {nap} & sleep {nap}; true")
        raise ZeroDivisionError
