"""Every pipeline that the tests run trafficengine with, compiled: options leave out of it what they do not need.

`make test` runs this file beside the unit tests, because each takes its time to compile; later tests find the machine code.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.network.command import TE_APPS, te_apps

pytestmark = pytest.mark.usefixtures("compiled")

SEVERAL = ("--cores", "0,1")
BOTH_FAMILIES = ("--ip", "10.0.0.1/8", "--ip", "2001:db8::1/64")
TIMED = ("--send", "1K", "--rounds", "2", "--think", "1ms")
IMPAIRED = ("--impair", "loss=1%,delay=1ms")

ALONE: dict[str, tuple[str, ...]] = {
    "loopback": ("loopback",),
    "loopback, two cores": ("loopback:scatter", *SEVERAL),
    "loopback, two cores, IPv6": ("loopback:scatter", *SEVERAL, *BOTH_FAMILIES),
    "loopback, two cores, impaired": ("loopback:scatter", *SEVERAL, *IMPAIRED),
    "loopback, timed": ("loopback", *TIMED),
    "ring": ("ring",),
    "ring, two cores": ("ring", *SEVERAL),
    "ring, impaired": ("ring", *IMPAIRED),
}
OURS, OURS6 = ("--ip", "10.0.0.2/24"), ("--ip", "fd00::2/64")
CLIENT, CLIENT6 = (*OURS, "--target", "10.0.0.1:80"), (*OURS6, "--target", "[fd00::1]:80")
CLIENTS: dict[str, tuple[str, ...]] = {
    "IPv4": CLIENT,
    "IPv4, two cores": (*CLIENT, *SEVERAL),
    "IPv4, timed": (*CLIENT, *TIMED),
    "both": (*CLIENT, *CLIENT6),
}
SERVERS: dict[str, tuple[str, ...]] = {"IPv4": OURS, "both": (*OURS, *OURS6)}


@pytest.mark.parametrize("options", ALONE.values(), ids=ALONE)
def test_both_roles(options: tuple[str, ...]) -> None:
    run = te_apps("trafficengine", "--device", *options, "--connections", 20)
    assert run.code == 0, run.errors
    count = 20 * len(run.result["cores"])
    assert [(role["completed"], role["failed"]) for role in run.result["roles"].values()] == [(count, 0)] * 2


@pytest.mark.parametrize("options", CLIENTS.values(), ids=CLIENTS)
def test_a_client_where_nobody_is(options: tuple[str, ...]) -> None:
    command = [TE_APPS, "trafficengine", "--device", "ring", "--role", "client", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "answer from" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_a_server_where_nobody_is(options: tuple[str, ...]) -> None:
    run = te_apps("trafficengine", "--device", "ring", "--role", "server", "--listen", 80, *options, "--duration", 0.1)
    assert (run.code, run.result["packets"]["received"]) == (0, 0)
