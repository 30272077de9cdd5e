"""Corners of what sockets do, asked of the kernel that runs the tests as well: both answer the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.endpoint.kernel import Kernel
from tests.endpoint.rig import OURS, Rig

SOCKET = "SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6"
ELSEWHERE = "192.0.2.1"
ALL = "POLLIN|POLLOUT|POLLRDHUP|POLLRDNORM"
CONNECTION = (SOCKET, "BIND 101 {ip} {a}", "LISTEN 101 5", SOCKET, "CONNECT 102 {ip} {a}", "ACCEPT 101")
REFUSED = (SOCKET, "CONNECT 101 {ip} {a}")

SCRIPTS: dict[str, tuple[str, ...]] = {
    "a port that was chosen is free after listening": (
        SOCKET, "LISTEN 101 5", "BIND 101 {ip} {a}", "SHUTDOWN 101 0", f"POLL 101 {ALL} 0", "BIND 101 {ip} {a}", "LISTEN 101 5",
        SOCKET, "CONNECT 102 {ip} {a}", "PEERPORT 102",
    ),
    "a port that was asked for stays": (
        SOCKET, "BIND 101 {ip} {a}", "LISTEN 101 5", "SHUTDOWN 101 1", "SHUTDOWN 101 0", "BIND 101 {ip} {b}", "LISTEN 101 5",
        SOCKET, "BIND 102 {ip} {a}", "CONNECT 101 {ip} {a}",
    ),
    "the port of a connection is in use": (
        *CONNECTION, "SHUTDOWN 101 2", "LISTEN 101 5", "CLOSE 103", "CLOSE 102", "CLOSE 101", SOCKET, "BIND 101 {ip} {a}",
        "SETSOCKOPT 101 SOL_SOCKET SO_REUSEADDR 1", "BIND 101 {ip} {a}",
    ),
    "two that reuse an address, and one listens": (
        SOCKET, SOCKET, "SETSOCKOPT 101 SOL_SOCKET SO_REUSEADDR 1", "SETSOCKOPT 102 SOL_SOCKET SO_REUSEADDR 1",
        "BIND 101 {ip} {a}", "BIND 102 {ip} {a}", "LISTEN 101 5", "LISTEN 102 5", "CLOSE 101", "LISTEN 102 5",
    ),
    "refused": (
        *REFUSED, f"POLL 101 {ALL} 0", "PEERPORT 101", "LISTEN 101 5", "CONNECT 101 {ip} {a}", f"POLL 101 {ALL} 0",
        "READ 101 5", "WRITE 101 5", "BIND 101 {ip} {a}", "BIND 101 {ip} {a}", "LISTEN 101 5",
    ),
    "refused, and the error was told": (*REFUSED, "GETSOCKOPT 101 SOL_SOCKET SO_ERROR", "READ 101 1", "CONNECT 101 {ip} {a}"),
    "refused, and shut down": (*REFUSED, "SHUTDOWN 101 1", "CONNECT 101 {ip} {a}", "LISTEN 101 5"),
    "shut down before anything": (
        SOCKET, f"POLL 101 {ALL} 0", "READ 101 1", "WRITE 101 1", "SHUTDOWN 101 0", f"POLL 101 {ALL} 0", "READ 101 1",
        "SHUTDOWN 101 1", f"POLL 101 {ALL} 0", "SHUTDOWN 101 3", "IOCTL 101 SIOCOUTQ",
    ),
    "shut down before it was known to be connected": (*CONNECTION, "SHUTDOWN 102 1", "CONNECT 102 {ip} {a}", "READ 103 1"),
    "connected, and asked again": (*CONNECTION, "CONNECT 102 {ip} {a}", "CONNECT 102 {ip} {a}", "CONNECT 103 {ip} {a}"),
    "nothing to read": (
        *CONNECTION, "READ 102 0", "READ 102 0 MSG_PEEK", "WRITE 103 5", "READ 102 0", "READ 102 0 MSG_WAITALL",
        "READ 102 9 MSG_PEEK", "READ 102 9 MSG_TRUNC", "READ 102 0", "CLOSE 103", "READ 102 0", "READ 102 1",
    ),
    "a listener is no stream": (
        *CONNECTION, "READ 101 0", "READ 101 1 MSG_OOB", "READ 102 1 MSG_OOB", "WRITE 101 0", "IOCTL 101 SIOCINQ",
        "CONNECT 101 {ip} {a}", "LISTEN 102 5", "ACCEPT 102", "SHUTDOWN 101 3", f"POLL 101 {ALL} 0",
    ),
    "nothing to write": (*CONNECTION, "WRITE 102 0", "SHUTDOWN 102 1", "WRITE 102 0", "WRITE 103 0", f"POLL 103 {ALL} 0"),
    "reset": (
        *CONNECTION, "CLOSE 103", "WRITE 102 100", f"POLL 102 {ALL} 0", "PEERPORT 102", "IOCTL 102 SIOCOUTQ", "READ 102 1",
        "READ 102 1", "WRITE 102 1", "WRITE 102 1", "SHUTDOWN 102 1", "BIND 102 {ip} {b}", "LISTEN 102 5", "CONNECT 102 {ip} {a}",
    ),
    "reset with something unread": (
        *CONNECTION, "WRITE 102 5", "WRITE 103 7", "CLOSE 103", "IOCTL 102 SIOCINQ", "READ 102 3", "READ 102 9", "READ 102 9",
    ),
    "addresses come before ports": (
        SOCKET, "BIND 101 {ip} {a}", f"BIND 101 {ELSEWHERE} {{b}}", "BIND 101 {ip} {b}", "SOCKET 10 SOCK_STREAM|SOCK_NONBLOCK 6",
        "BIND 102 :: {b}", "BIND 102 2001:db8:1::1 {b}",
    ),
    "options that cannot be read": (
        SOCKET, "GETSOCKOPT 101 SOL_SOCKET SO_RCVBUFFORCE", "GETSOCKOPT 101 SOL_SOCKET SO_SNDBUFFORCE",
        "SETSOCKOPT 101 SOL_SOCKET SO_ERROR 1",
    ),
}  # fmt: skip


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def free_ports() -> tuple[int, int]:
    """Of the kernel; nobody has them on our host."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_answers_are_the_kernels(rig: Rig, kernel: Kernel, name: str) -> None:
    a, b = free_ports()
    ours, theirs = [], []
    for line in SCRIPTS[name]:
        theirs.append((line, kernel.ask(line.format(ip="127.0.0.1", a=a, b=b))))
        ours.append((line, rig.ask(line.format(ip=OURS, a=a, b=b))))
        if line.startswith("ACCEPT") and ours[-1][1][0] > 0:
            rig.done(f"FCNTL {ours[-1][1][0]} F_SETFL O_NONBLOCK")
    assert ours == theirs
