"""One connection at full speed over a clean veth, offloads off: our engine's, and a kernel's in its place; bytes a second."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.network.command import run_in, te_apps_in, wait_for_answer
from tests.network.lab import Lab, Namespace, Process
from tests.network.peers import nginx, wait_for_listener
from tests.network.transferring import APP, KERNEL, OURS, THEIRS

MANY = 200_000_000
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


def sent_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    sink = _sink(theirs)
    run = run_in(ours, *APP, "--target", f"{THEIRS}:9000", "--peer", "any", "--connections", 1, "--send", size)
    assert run.code == 0, run.errors
    return _arrived(sink, size)


def sent_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    sink = _sink(theirs)
    ours.run(sys.executable, "-c", _SOURCE, THEIRS, str(size))
    return _arrived(sink, size)


def fetched_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    request = ("--request", rf"GET / HTTP/1.0\r\nHost: {THEIRS}\r\n\r\n", "--expect", "HTTP/1.1 200 OK")
    run = run_in(ours, *APP, "--target", f"{THEIRS}:80", "--connections", 1, "--window", "4M", *request)
    assert (run.code, run.result["responses"]["unexpected"]) == (0, 0), run.errors
    assert run.result["client"]["BytesReceived"] > size
    return size / run.result["elapsed_s"]


def fetched_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    return _fetched(ours, f"http://{THEIRS}/", size)


def served_by_us(ours: Namespace, theirs: Namespace, size: int) -> float:
    process = te_apps_in(ours, *APP, "--role", "server", "--listen", 8080, "--duration", 60, "--peer", "any", "--send", size)
    wait_for_answer(theirs, OURS)
    speed = _fetched(theirs, f"http://{OURS}:8080/", size)
    process.signal()
    process.finish()
    return speed


def served_by_a_kernel(ours: Namespace, theirs: Namespace, size: int) -> float:
    with TemporaryDirectory() as home:
        server = nginx(ours, Path(home), bytes(size))
        speed = _fetched(theirs, f"http://{KERNEL}/", size)
        server.stop()
    return speed


MEASURES: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "to a socket": (sent_by_us, sent_by_a_kernel),
    "from nginx": (fetched_by_us, fetched_by_a_kernel),
    "to curl": (served_by_us, served_by_a_kernel),
}


def measured(name: str, size: int = MANY, rounds: int = 3) -> tuple[float, float]:
    """Medians, of our engine and of a kernel in turns on one veth."""
    engine, kernel = MEASURES[name]
    ours_do, theirs_do = [], []
    with Lab() as lab, TemporaryDirectory() as home:
        ours, theirs = lab.cable()
        nginx(theirs, Path(home), bytes(size))
        for _ in range(rounds):
            ours.configure("v0", f"{KERNEL}/24")
            theirs_do.append(kernel(ours, theirs, size))
            ours.run("ip", "address", "flush", "dev", "v0")
            ours_do.append(engine(ours, theirs, size))
    return statistics.median(ours_do), statistics.median(theirs_do)
