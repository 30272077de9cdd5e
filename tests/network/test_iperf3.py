"""The control connection of an iperf3 test ends it when the server has read all there is, and no sooner."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from tests.network.lab import Lab, Process, wait_until
from tests.network.peers import SCRIPTS, wait_for_listener

pytestmark = pytest.mark.root
COOKIE = "a-data-connection".ljust(36, "-")
SIZE = 100_000
_DATA = f"""
import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with socket.create_connection(("10.0.0.1", 5201)) as connection:
    connection.sendall(b"{COOKIE}\\0")
    signal.sigwait([signal.SIGUSR1])
    connection.sendall(bytes({SIZE}))
"""


def _says(control: Process, word: str) -> None:
    wait_until(lambda: word in control.errors or not control.running, what=word)
    assert control.running, control.errors


def test_a_server_that_is_slow_to_read_counts_all_that_was_sent() -> None:
    with Lab() as lab:
        ours, theirs = lab.cable("10.0.0.2/24")
        server = theirs.start("iperf3", "--server", "--one-off")
        wait_for_listener(theirs, 5201)
        control = theirs.start(sys.executable, str(SCRIPTS / "iperf3.py"), COOKIE, "up", str(SIZE))
        _says(control, "ready")
        data = ours.start(sys.executable, "-c", _DATA)
        _says(control, "running")
        server.signal(signal.SIGSTOP)
        data.signal(signal.SIGUSR1)
        data.finish()
        time.sleep(0.2)
        server.signal(signal.SIGCONT)
        assert control.finish().stdout.split()[0] == str(SIZE)
