"""te-apps endpoint against the kernel's TCP, over a tap: both ways of opening, closing and failing."""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoint.client import Client
from tests.network.command import TE_APPS, wait_for_interface
from tests.network.lab import Lab, Namespace, Process, wait_until
from tests.network.witness import counters

pytestmark = pytest.mark.root

OURS, KERNEL = "10.0.0.2", "10.0.0.1"
SIZE = 300_000

KERNEL_SENDS = f"""
import socket
with socket.create_connection(("{OURS}", 80), timeout=20) as s:
    s.sendall(bytes({SIZE}))
    s.shutdown(socket.SHUT_WR)
    print(len(s.recv(100, socket.MSG_WAITALL)))
"""

KERNEL_LISTENS = f"""
import socket
with socket.create_server(("{KERNEL}", 9000)) as listener:
    s, _ = listener.accept()
    with s:
        s.settimeout(20)
        received = bytearray()
        while data := s.recv(65536):
            received += data
        assert not any(received)
        s.sendall(bytes(1000))
        print(len(received))
"""

KERNEL_IS_RESET = f"""
import socket
try:
    with socket.create_connection(("{OURS}", 80), timeout=20) as s:
        s.sendall(b"unread")
        s.recv(1)
except ConnectionResetError:
    print("reset")
"""

KERNEL_RESETS = f"""
import socket, struct
with socket.create_connection(("{OURS}", 80), timeout=20) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


class Site:
    """The endpoint on a tap in a namespace, and the kernel of that namespace at the other end."""

    def __init__(self, namespace: Namespace, process: Process, client: Client) -> None:
        self.namespace, self.process, self.client = namespace, process, client

    def kernel(self, program: str) -> Process:
        """A Python program that uses the kernel's sockets."""
        return self.namespace.start(sys.executable, "-c", program)

    def listening(self) -> int:
        """A listener of ours on port 80."""
        fd = self.client.done("SOCKET 2 1 6")
        self.client.done(f"BIND {fd} {OURS} 80")
        self.client.done(f"LISTEN {fd} 16")
        return fd


@pytest.fixture
def site(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A test may give options of the command as the parameter *site*."""
    namespace = lab.namespace("b")
    control = tmp_path / "te.sock"
    options = ("--device", "tap:te0", "--ip", f"{OURS}/24", "--control", str(control), "--json", *getattr(request, "param", ()))
    process = namespace.start(TE_APPS, "endpoint", *options)
    wait_for_interface(namespace, process, "te0", f"{KERNEL}/24")
    wait_until(control.exists, 30, "the control socket")
    made = Site(namespace, process, Client(control))
    assert made.client.ask("RESET") == (0, 0)
    yield made
    if process.running:
        process.signal(signal.SIGTERM)
    done = process.finish(10)
    assert (done.returncode, "Traceback" in done.stderr) == (143, False)
    drops = json.loads(done.stdout)["drops"]
    assert not any(count for name, count in drops.items() if name != "not_for_us"), drops
    found = counters(namespace)
    assert (found["TcpInErrs"], found["TcpInCsumErrors"]) == (0, 0)
    assert not control.exists()
    assert not namespace.has("te0")


def test_the_kernel_connects_and_sends(site: Site) -> None:
    listener, client = site.listening(), site.client
    program = site.kernel(KERNEL_SENDS)
    fd = client.done(f"ACCEPT {listener}")
    assert client.done(f"PEERIP {fd}") == 0x0A000001
    assert client.done(f"READ {fd} {SIZE} MSG_WAITALL") == SIZE
    assert client.done(f"READ {fd} 1") == 0
    assert client.info(fd)["state"] == "CLOSE_WAIT"
    assert client.done(f"WRITE {fd} 100") == 100
    client.done(f"CLOSE {fd}")
    assert program.finish().stdout == "100\n"


@pytest.mark.parametrize(
    ("site", "negotiated"),
    [
        ((), ["window_scale", "sack", "timestamps"]),
        (("--ecn", "on"), ["window_scale", "sack", "timestamps", "ecn"]),
        (("--timestamps", "off", "--sack", "off", "--window-scale", "off", "--congestion", "reno"), []),
    ],
    indirect=["site"],
    ids=["defaults", "ecn", "nothing"],
)
def test_we_connect_and_send(site: Site, negotiated: list[str]) -> None:
    client = site.client
    program = site.kernel(KERNEL_LISTENS)
    wait_until(lambda: site.namespace.run("ss", "-Hltn", "sport = :9000").stdout, what="a listener")
    fd = client.done("SOCKET 2 1 6")
    client.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_SNDBUF 20000")
    client.done(f"CONNECT {fd} {KERNEL} 9000")
    assert client.info(fd)["negotiated"] == negotiated
    assert client.done(f"WRITE {fd} {SIZE}") == SIZE
    client.done(f"SHUTDOWN {fd} 1")
    assert client.done(f"READ {fd} 5000 MSG_WAITALL") == 1000
    assert program.finish().stdout == f"{SIZE}\n"
    assert client.info(fd)["state"] == "TIME_WAIT"


def test_a_slow_reader_shuts_the_window_and_opens_it(site: Site) -> None:
    listener, client = site.listening(), site.client
    client.done(f"SETSOCKOPT {listener} SOL_SOCKET SO_RCVBUF 4096")
    program = site.kernel(KERNEL_SENDS)
    fd = client.done(f"ACCEPT {listener}")
    wait_until(lambda: client.done(f"IOCTL {fd} SIOCINQ") > 2600, what="a full buffer")
    assert client.done(f"POLL {fd} POLLIN 1000") == 1
    taken = 0
    while taken < SIZE:
        taken += client.done(f"READ {fd} 3000")
    client.done(f"WRITE {fd} 100")
    assert program.finish().stdout == "100\n"


def test_refused_both_ways(site: Site) -> None:
    client = site.client
    fd = client.done("SOCKET 2 1 6")
    assert client.ask(f"CONNECT {fd} {KERNEL} 9999") == (-1, errno.ECONNREFUSED)
    program = site.kernel(f"import socket; print(socket.socket().connect_ex(('{OURS}', 81)))")
    assert program.finish().stdout == f"{errno.ECONNREFUSED}\n"


def test_closing_with_unread_data_resets_the_kernel(site: Site) -> None:
    listener, client = site.listening(), site.client
    program = site.kernel(KERNEL_IS_RESET)
    fd = client.done(f"ACCEPT {listener}")
    assert client.done(f"POLL {fd} POLLIN 5000") == 1
    client.done(f"CLOSE {fd}")
    assert program.finish().stdout == "reset\n"


def test_the_kernel_resets_us(site: Site) -> None:
    listener, client = site.listening(), site.client
    site.kernel(KERNEL_RESETS)
    fd = client.done(f"ACCEPT {listener}")
    assert client.ask(f"READ {fd} 1") == (-1, errno.ECONNRESET)
    assert client.info(fd)["state"] == "CLOSED"


def test_nobody_there_and_no_route(site: Site) -> None:
    client = site.client
    fd = client.done("SOCKET 2 1 6")
    assert client.ask(f"CONNECT {fd} 10.0.0.77 80") == (-1, errno.EHOSTUNREACH)
    assert client.ask(f"CONNECT {fd} 192.0.2.1 80") == (-1, errno.ENETUNREACH)


def test_ping(site: Site) -> None:
    site.namespace.run("ping", "-c3", "-i0.2", "-W2", "-s1000", OURS)


def test_a_signal_resets_what_is_open(site: Site) -> None:
    listener, client = site.listening(), site.client
    program = site.kernel(KERNEL_IS_RESET.replace('s.sendall(b"unread")', ""))
    client.done(f"ACCEPT {listener}")
    site.process.signal(signal.SIGTERM)
    site.process.finish()
    assert program.finish().stdout == "reset\n"
