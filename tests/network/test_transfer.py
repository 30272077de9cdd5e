"""Ten megabytes to and from the kernel's sockets, with the hash of what arrived; and slow readers at either end."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.network.command import Outcome, outcome, te_apps_in, wait_for_answer, wait_for_interface
from tests.network.lab import Lab, Namespace, Process
from tests.network.peers import SCRIPTS, wait_for_listener
from tests.network.witness import FEW, complaints
from tests.operators.test_pattern import STEP, model

pytestmark = pytest.mark.root

HOOKS = Path(__file__).parent.parent.parent / "examples/hooks.py"
STREAMS = str(SCRIPTS / "streams.py")
MANY = 10_000_000
APP = ("trafficengine", "--ip", "10.0.0.2/24", "--idle", "sleep")
CLIENT = (*APP, "--target", "10.0.0.1:9000", "--peer", "any", "--connections", 1)


def pattern(number: int, length: int) -> bytes:
    """The pattern of the stream *number*, from the model's first word."""
    start = np.frombuffer(model(number, 0, 8), "<u8")
    return (start + np.arange(length // 8 + 1, dtype=np.uint64) * np.uint64(STEP)).astype("<u8").tobytes()[:length]


def lines(length: int) -> bytes:
    """What examples/hooks.py makes for connection 1."""
    return b"".join(b"0001 %010x\n" % k for k in range(length // 16 + 1))[:length]


def told(process: Process) -> dict[str, Any]:
    done = process.finish(60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def on_a_tap(lab: Lab, *arguments: object) -> tuple[Namespace, Callable[[], Process]]:
    theirs = lab.namespace("b")

    def start() -> Process:
        process = te_apps_in(theirs, *arguments, "--device", "tap:te0")
        wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
        return process

    return theirs, start


def on_packet_sockets(lab: Lab, *arguments: object) -> tuple[Namespace, Callable[[], Process]]:
    ours, theirs = lab.cable()
    return theirs, lambda: te_apps_in(ours, *arguments, "--device", "af_packet:v0")


Network = Callable[..., tuple[Namespace, Callable[[], Process]]]
both_networks = pytest.mark.parametrize("network", [on_a_tap, on_packet_sockets])


def assert_as_expected(run: Outcome, sent: int, received: int) -> None:
    assert run.code == 0, run.errors
    client = run.result["client"]
    assert run.result["responses"] == {"expected": 1, "unexpected": 0}
    assert (client["BytesSent"], client["BytesReceived"], client["Mismatches"]) == (sent, received, 0)


@both_networks
def test_ten_megabytes_sent_arrive(lab: Lab, network: Network) -> None:
    theirs, start = network(lab, *CLIENT, "--send", MANY)
    peer = theirs.start(sys.executable, STREAMS, "sink", "9000", "0")
    wait_for_listener(theirs, 9000)
    assert_as_expected(outcome(start().finish(120)), MANY, 0)
    result = told(peer)
    assert (result["bytes"], result["sha256"]) == (MANY, hashlib.sha256(pattern(1, MANY)).hexdigest())


@both_networks
def test_ten_megabytes_received_are_those_that_were_sent(lab: Lab, tmp_path: Path, network: Network) -> None:
    (tmp_path / "lines").write_bytes(lines(MANY))
    theirs, start = network(lab, *CLIENT, "--receive", MANY, "--check-hook", f"{HOOKS}:are_lines")
    peer = theirs.start(sys.executable, STREAMS, "source", "9000", str(tmp_path / "lines"))
    wait_for_listener(theirs, 9000)
    assert_as_expected(outcome(start().finish(120)), 0, MANY)
    assert told(peer)["bytes"] == 0


def test_content_from_a_socket_that_is_wrong_in_one_byte_fails_the_run(lab: Lab, tmp_path: Path) -> None:
    wrong = bytearray(lines(1_000_000))
    wrong[654_321] ^= 1
    (tmp_path / "lines").write_bytes(wrong)
    theirs, start = on_packet_sockets(lab, *CLIENT, "--receive", "1M", "--check-hook", f"{HOOKS}:are_lines")
    theirs.start(sys.executable, STREAMS, "source", "9000", str(tmp_path / "lines"))
    wait_for_listener(theirs, 9000)
    run = outcome(start().finish(120))
    assert (run.code, run.result["responses"]) == (1, {"expected": 0, "unexpected": 1})
    assert run.result["client"]["Mismatches"] == 1


@both_networks
def test_a_socket_that_says_the_header_gets_ten_megabytes_for_ten(lab: Lab, tmp_path: Path, network: Network) -> None:
    number = 12345
    (tmp_path / "request").write_bytes(
        struct.pack("!IBBHQQQII", 0xD4454150, 1, 1, 0, number, MANY, MANY, 1, 0) + pattern(number, MANY)
    )
    theirs, start = network(lab, *APP, "--role", "server", "--listen", 8080, "--connections", 1)
    server = start()
    wait_for_answer(theirs, "10.0.0.2")
    peer = theirs.start(sys.executable, STREAMS, "client", "10.0.0.2", "8080", str(tmp_path / "request"))
    result = told(peer)
    assert (result["bytes"], result["sha256"]) == (MANY, hashlib.sha256(pattern(~number, MANY)).hexdigest())
    run = outcome(server.finish(60))
    assert run.code == 0, run.errors
    assert (run.result["server"]["BytesReceived"], run.result["server"]["Mismatches"]) == (MANY + 40, 0)


def test_a_socket_that_reads_slowly_is_waited_for(lab: Lab) -> None:
    theirs, start = on_packet_sockets(lab, *CLIENT, "--send", "3M")
    peer = theirs.start(sys.executable, STREAMS, "sink", "9000", "1000000")
    wait_for_listener(theirs, 9000)
    assert_as_expected(outcome(start().finish(120)), 3_000_000, 0)
    result = told(peer)
    assert (result["bytes"], result["sha256"]) == (3_000_000, hashlib.sha256(pattern(1, 3_000_000)).hexdigest())
    assert 2.9 < result["seconds"] < 8


def test_a_socket_is_held_up_by_a_reader_that_is_slow(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(lines(3_000_000))
    slow = ("--receive", "3M", "--read-rate", "1M", "--window", "20K", "--check-hook", f"{HOOKS}:are_lines")
    theirs, start = on_packet_sockets(lab, *CLIENT, *slow)
    theirs.start(sys.executable, STREAMS, "source", "9000", str(tmp_path / "lines"))
    wait_for_listener(theirs, 9000)
    run = outcome(start().finish(120))
    assert_as_expected(run, 0, 3_000_000)
    assert 2.9 < run.result["elapsed_s"] < 8
    # Never faster; and no slower, but for seconds in which the machine held somebody up.
    rates = [interval["goodput"]["client"]["received"] for interval in run.result["intervals"][:3]]
    assert 0.9e6 < max(rates) < 1.05e6, rates
    assert complaints(theirs, FEW) == {}
