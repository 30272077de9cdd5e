"""One connection at full speed over a clean veth, offloads off: our engine's, and a kernel's in its place; bytes a second.

A veth has the core that sends do also what is to be done where it arrives. Here each end has a core of its own, for its programs
and its packets (RPS), as two machines would, also in the kernel's turn. The device is, for each direction, the one that
docs/devices.md advises.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

from tests.network.command import Outcome, outcome, run_in, te_apps_in, wait_for_answer
from tests.network.lab import Lab, Namespace, Process, wait_until
from tests.network.peers import SCRIPTS, nginx, wait_for_listener
from tests.network.transferring import KERNEL, OURS, THEIRS

MANY = 200_000_000
APP = ("trafficengine", "--ip", f"{OURS}/24", "--connections", 1)
FOREIGN = ("--peer", "any")
SENDER = (*APP, "--device", "af_xdp:v0,force_copy=1")
RECEIVER = (*APP, "--device", "af_packet:v0", "--idle", "sleep")
WINDOW = ("--window", "4M")
IPERF3 = str(SCRIPTS / "iperf3.py")
FETCH = ("curl", "-sS", "--http0.9", "-o", "/dev/null", "-w", "%{size_download} %{speed_download}")
_SINK = """
import socket, time
connection = socket.create_server(("0.0.0.0", 9000)).accept()[0]
start, count, room = time.monotonic(), 0, bytearray(1 << 20)
while size := connection.recv_into(room):
    count += size
print(count, count / (time.monotonic() - start))
"""
_SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 9000)) as connection:
    connection.sendall(bytes(int(sys.argv[2])))
"""


def _sink(theirs: Namespace) -> Process:
    process = theirs.start(sys.executable, "-c", _SINK)
    wait_for_listener(theirs, 9000)
    return process


def _arrived(sink: Process, size: int) -> float:
    count, speed = sink.finish().stdout.split()
    assert int(count) == size
    return float(speed)


def _fetched(namespace: Namespace, url: str, size: int) -> float:
    count, speed = namespace.run(*FETCH, url).stdout.split()
    assert int(count) == size
    return float(speed)


def _lived(run: Outcome, size: int) -> float:
    """*size* over the time from our SYN to the end of the only connection."""
    return size / (run.result["latency_us"]["lifetime"]["max"] / 1e6)


@contextmanager
def _unseen(ours: Namespace) -> Iterator[None]:
    """The kernel drops what arrives, when packet sockets have it: without an address there, it looks for the way to nowhere."""
    ours.run("nft", "add table netdev unseen")
    ours.run("nft", "add chain netdev unseen arrival { type filter hook ingress device v0 priority 0; policy drop; }")
    yield
    ours.run("nft", "delete table netdev unseen")


def sent_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    sink = _sink(theirs)
    run = run_in(ours, *SENDER, "--target", f"{THEIRS}:9000", *FOREIGN, "--send", size)
    assert run.code == 0, run.errors
    return _arrived(sink, size)


def sent_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    sink = _sink(theirs)
    ours.run(sys.executable, "-c", _SOURCE, THEIRS, str(size))
    return _arrived(sink, size)


def fetched_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    request = ("--request", rf"GET / HTTP/1.0\r\nHost: {THEIRS}\r\n\r\n", "--expect", "HTTP/1.1 200 OK")
    with _unseen(ours):
        run = run_in(ours, *RECEIVER, "--target", f"{THEIRS}:80", *WINDOW, *request)
    assert (run.code, run.result["responses"]["unexpected"]) == (0, 0), run.errors
    assert run.result["client"]["BytesReceived"] > size
    return _lived(run, size)


def fetched_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    return _fetched(ours, f"http://{THEIRS}/", size)


def served_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    process = te_apps_in(ours, *SENDER, "--role", "server", "--listen", 8080, *FOREIGN, "--send", size)
    wait_for_answer(theirs, OURS)
    speed = _fetched(theirs, f"http://{OURS}:8080/", size)
    process.signal()
    process.finish()
    return speed


def served_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    return _fetched(theirs, f"http://{KERNEL}/", size)


@contextmanager
def _iperf3(theirs: Namespace) -> Iterator[None]:
    """A server of its own for each test: between two, a server listens for a while to nobody."""
    server = theirs.start("iperf3", "--server", "--one-off")
    wait_for_listener(theirs, 5201)
    yield
    server.stop()


def _with_iperf3(ours: Namespace, theirs: Namespace, direction: str, size: int, *app: object) -> tuple[Outcome, list[float]]:
    """Our client as the data connection of an iperf3 test; and what the server counted."""
    with TemporaryDirectory() as home, _iperf3(theirs):
        cookie = Path(home, "cookie")
        cookie.write_bytes(uuid4().hex.ljust(36, "-").encode() + b"\0")
        control = theirs.start(sys.executable, IPERF3, cookie.read_text()[:-1], direction, str(size))
        wait_until(lambda: "ready" in control.errors or not control.running, what="iperf3")
        process = te_apps_in(ours, *app, "--target", f"{THEIRS}:5201", *FOREIGN, "--send-file", cookie)
        run = outcome(process.finish(60))
        told = control.finish().stdout.split()
    assert run.code == 0, run.errors
    return run, [float(word) for word in told]


def sent_to_iperf3(ours: Namespace, theirs: Namespace, size: int) -> float:
    run, (count, speed) = _with_iperf3(ours, theirs, "up", size, *SENDER, "--send", size + 37)
    assert (count, run.result["client"]["BytesSent"]) == (size, size + 37)
    return speed


def fetched_from_iperf3(ours: Namespace, theirs: Namespace, size: int) -> float:
    """The server sends some more, until it is reset."""
    with _unseen(ours):
        run, _ = _with_iperf3(ours, theirs, "down", size, *RECEIVER, "--receive", size, *WINDOW)
    assert run.result["client"]["BytesReceived"] >= size
    return _lived(run, size)


def _by_iperf3(ours: Namespace, theirs: Namespace, size: int, *options: str) -> float:
    with _iperf3(theirs):
        told = json.loads(ours.run("iperf3", "-c", THEIRS, "-n", str(size), "-J", *options).stdout)
    return float(told["end"]["sum_received"]["bits_per_second"]) / 8


def sent_to_iperf3_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    return _by_iperf3(ours, theirs, size)


def fetched_from_iperf3_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    return _by_iperf3(ours, theirs, size, "--reverse")


class Measure(NamedTuple):
    """How to find a speed: for our engine, and for a kernel in its place."""

    engine: Callable[..., float]
    kernel: Callable[..., float]


MEASURES = {
    "to a socket": Measure(sent_by_us, sent_by_a_kernel),
    "to iperf3": Measure(sent_to_iperf3, sent_to_iperf3_by_a_kernel),
    "to curl": Measure(served_by_us, served_by_a_kernel),
    "from nginx": Measure(fetched_by_us, fetched_by_a_kernel),
    "from iperf3": Measure(fetched_from_iperf3, fetched_from_iperf3_by_a_kernel),
}


def measured(name: str, size: int = MANY, rounds: int = 3) -> tuple[float, float]:
    """Medians, of our engine and of a kernel in turns on one veth."""
    measure = MEASURES[name]
    ours_do, theirs_do = [], []
    with Lab() as lab, TemporaryDirectory() as home:
        ours, theirs = lab.cable()
        for core, namespace in enumerate((ours, theirs)):
            namespace.settle(core)
            nginx(namespace, Path(home, str(core)), bytes(size))
        for _ in range(rounds):
            ours.configure("v0", f"{KERNEL}/24")
            theirs_do.append(measure.kernel(ours, theirs, size))
            ours.run("ip", "address", "flush", "dev", "v0")
            ours_do.append(measure.engine(ours, theirs, size))
    return statistics.median(ours_do), statistics.median(theirs_do)
