"""te-apps endpoint against the kernel's TCP, over a tap: both ways of opening, closing and failing."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.endpoints import KERNEL, OURS, SIZE, Site, endpoint, is_reset, sends
from tests.network.lab import Lab, wait_until

pytestmark = pytest.mark.root

RESETS = f"""
import socket, struct
with socket.create_connection(("{OURS}", 80), timeout=20) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


@pytest.fixture
def site(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A test may give options of the command as the parameter *site*."""
    with endpoint(lab, tmp_path / "te.sock", *getattr(request, "param", ())) as made:
        yield made


def test_the_kernel_connects_and_sends(site: Site) -> None:
    listener, client = site.listening(), site.client
    program = site.kernel(sends(OURS))
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
    assert site.client.info(site.sending(2, KERNEL))["negotiated"] == negotiated


def test_a_slow_reader_shuts_the_window_and_opens_it(site: Site) -> None:
    listener, client = site.listening(), site.client
    client.done(f"SETSOCKOPT {listener} SOL_SOCKET SO_RCVBUF 4096")
    program = site.kernel(sends(OURS))
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
    program = site.kernel(is_reset(OURS))
    fd = client.done(f"ACCEPT {listener}")
    assert client.done(f"POLL {fd} POLLIN 5000") == 1
    client.done(f"CLOSE {fd}")
    assert program.finish().stdout == "reset\n"


def test_the_kernel_resets_us(site: Site) -> None:
    listener, client = site.listening(), site.client
    site.kernel(RESETS)
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
    program = site.kernel(is_reset(OURS, b""))
    client.done(f"ACCEPT {listener}")
    site.process.signal(signal.SIGTERM)
    site.process.finish()
    assert program.finish().stdout == "reset\n"
