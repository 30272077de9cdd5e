"""`te-apps endpoint` on a tap, the kernel's TCP at its other end, and what Python programs do there."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.endpoint.client import Client
from tests.network.command import TE_APPS, wait_for_interface
from tests.network.lab import Lab, Namespace, Process, wait_until
from tests.network.witness import counters

OURS, KERNEL = "10.0.0.2", "10.0.0.1"
OURS6, KERNEL6 = "fd00::2", "fd00::1"
SIZE = 300_000


def sends(ours: str) -> str:
    """Sends SIZE bytes to us, and prints how many it gets back."""
    return f"""
import socket
with socket.create_connection(("{ours}", 80), timeout=20) as s:
    s.sendall(bytes({SIZE}))
    s.shutdown(socket.SHUT_WR)
    print(len(s.recv(100, socket.MSG_WAITALL)))
"""


def listens(at: str) -> str:
    """Prints how many zeros it receives, and answers."""
    family = "AF_INET6" if ":" in at else "AF_INET"
    return f"""
import socket
with socket.create_server(("{at}", 9000), family=socket.{family}) as listener:
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


def is_reset(ours: str, says: bytes = b"unread") -> str:
    """Prints that it was."""
    return f"""
import socket
try:
    with socket.create_connection(("{ours}", 80), timeout=20) as s:
        s.sendall({says!r})
        s.recv(1)
except ConnectionResetError:
    print("reset")
"""


class Site:
    """The endpoint on a tap in a namespace, and the kernel of that namespace at the other end."""

    def __init__(self, namespace: Namespace, process: Process, client: Client) -> None:
        self.namespace, self.process, self.client = namespace, process, client

    def kernel(self, program: str, namespace: Namespace | None = None) -> Process:
        """A Python program that uses the kernel's sockets."""
        return (namespace or self.namespace).start(sys.executable, "-c", program)

    def listening(self, domain: int = 2, at: str = OURS) -> int:
        """A listener of ours on port 80."""
        fd = self.client.done(f"SOCKET {domain} 1 6")
        self.client.done(f"BIND {fd} {at} 80")
        self.client.done(f"LISTEN {fd} 16")
        return fd

    def sending(self, domain: int, to: str, namespace: Namespace | None = None) -> int:
        """A connection of ours to a program that listens there, which has taken SIZE bytes; they were seen to arrive."""
        client, program = self.client, self.kernel(listens(to), namespace)
        listed = ("ss", "-Hltn", "sport = :9000")
        wait_until(lambda: (namespace or self.namespace).run(*listed).stdout, what="a listener")
        fd = client.done(f"SOCKET {domain} 1 6")
        client.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_SNDBUF 20000")
        client.done(f"CONNECT {fd} {to} 9000")
        assert client.done(f"WRITE {fd} {SIZE}") == SIZE
        client.done(f"SHUTDOWN {fd} 1")
        assert client.done(f"READ {fd} 5000 MSG_WAITALL") == 1000
        assert program.finish().stdout == f"{SIZE}\n"
        assert client.info(fd)["state"] == "TIME_WAIT"
        return fd


@contextmanager
def endpoint(lab: Lab, control: Path, *options: str) -> Iterator[Site]:
    """One with *options* as well; it drops nothing, leaves nothing, and the kernel finds no fault with it."""
    namespace = lab.namespace("b")
    always = ("--device", "tap:te0", "--ip", f"{OURS}/24", "--control", str(control), "--json")
    process = namespace.start(TE_APPS, "endpoint", *always, *options)
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
