"""`te-apps endpoint` as a program, on the embedded loopback: the control socket, who asks there, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.endpoint.client import Client

TE_APPS = str(Path(sys.executable).with_name("te-apps"))
ADDRESS = ("--device", "loopback", "--ip", "10.0.0.1/24")

Program = subprocess.Popen[str]
Start = Callable[..., Program]


@pytest.fixture
def control(tmp_path: Path) -> Path:
    return tmp_path / "te.sock"


@pytest.fixture
def start(control: Path) -> Iterator[Start]:
    """Starts an endpoint, and waits until it answers."""
    programs: list[Program] = []

    def begin(*options: str) -> Program:
        command = [TE_APPS, "endpoint", *ADDRESS, "--control", str(control), *options]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        programs.append(program)
        end = time.monotonic() + 30
        while True:
            try:
                assert Client(control).ask("RESET") == (0, 0)
                return program
            except OSError:
                assert program.poll() is None, program.communicate()
                assert time.monotonic() < end
                time.sleep(0.01)

    yield begin
    for program in programs:
        program.kill()
        program.communicate()


def used(program: Program) -> float:
    """Seconds of a processor that *program* has had: what else runs on the machine does not count."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """An endpoint that is expected to end by itself."""
    return subprocess.run([TE_APPS, "endpoint", *options], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_it(start: Start, control: Path, number: int, code: int, name: str) -> None:
    program = start("--json")
    client = Client(control)
    fd = client.done("SOCKET 2 1 6")
    client.done(f"BIND {fd} 0 80")
    client.done(f"LISTEN {fd} 5")
    accepting = client.later(f"ACCEPT {fd}")
    assert accepting.blocked
    program.send_signal(number)
    out, err = program.communicate(timeout=10)
    assert accepting.pair == (-1, errno.EINTR)
    assert program.returncode == code
    assert (json.loads(out)["ended_by"], json.loads(out)["exit_code"]) == (name, code)
    assert err.count("\n") == 1
    assert not control.exists()


def test_starts_within_two_seconds(start: Start) -> None:
    assert used(start()) < 2


def test_a_blocking_request_does_not_hold_up_others(start: Start, control: Path) -> None:
    start()
    client = Client(control)
    listener = client.done("SOCKET 2 1 6")
    client.done(f"BIND {listener} 10.0.0.1 80")
    client.done(f"LISTEN {listener} 5")
    accepting = client.later(f"ACCEPT {listener}")
    assert accepting.blocked
    fd = client.done("SOCKET 2 1 6")
    client.done(f"CONNECT {fd} 10.0.0.1 80")
    other, _ = accepting.pair
    reading = client.later(f"READ {other} 100000 MSG_WAITALL")
    assert reading.blocked
    assert client.done(f"WRITE {fd} 100000") == 100_000
    assert reading.pair == (100_000, 0)
    assert client.info(fd)["state"] == "ESTABLISHED"


def test_a_client_that_goes_away_takes_its_request_along(start: Start, control: Path) -> None:
    start()
    client = Client(control)
    listener = client.done("SOCKET 2 1 6")
    client.done(f"BIND {listener} 10.0.0.1 80")
    client.done(f"LISTEN {listener} 5")
    with socket.socket(socket.AF_UNIX) as impatient:
        impatient.connect(str(control))
        impatient.sendall(f"ACCEPT {listener}\n".encode())
        client.done(f"POLL {listener} POLLIN 50")
    client.done(f"POLL {listener} POLLIN 50")
    fd = client.done("SOCKET 2 1 6")
    client.done(f"CONNECT {fd} 10.0.0.1 80")
    assert client.done(f"ACCEPT {listener}") == 103


@pytest.mark.parametrize("how", ["in pieces", "half closed", "no newline", "crlf"])
def test_how_a_request_may_arrive(start: Start, control: Path, how: str) -> None:
    start()
    pieces = {
        "in pieces": [b"SOC", b"KET 2 1", b" 6\n"], "half closed": [b"SOCKET 2 1 6\n"], "no newline": [b"SOCKET 2 1 6"],
        "crlf": [b"SOCKET 2 1 6\r\n"],
    }[how]  # fmt: skip
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(control))
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)
        if how in ("half closed", "no newline"):
            connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"101 0\n"
        assert connection.recv(100) == b""


def test_the_example_asks(start: Start, control: Path) -> None:
    start()
    script = Path(__file__).parents[2] / "examples" / "ask.py"
    command = [sys.executable, str(script), str(control), "SOCKET", "2", "1", "6"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "101 0\n"


def test_nonsense_is_answered(start: Start, control: Path) -> None:
    start()
    client = Client(control)
    assert client.ask("x" * 5000) == (-1, 38)
    assert client.ask("") == client.ask("  ") == (-1, 38)
    assert client.ask("SOCKET \xff 1 6") == (-1, 22)
    assert client.ask("RESET") == (0, 0)


def test_many_at_once(start: Start, control: Path) -> None:
    start()
    client = Client(control)
    polls = [client.later("POLL 101 POLLIN 200") for _ in range(100)]
    assert {poll.pair for poll in polls} == {(0x20, 0)}


def test_virtual_time(start: Start, control: Path) -> None:
    start("--clock", "manual", "--seed", "3")
    client = Client(control)
    fd = client.done("SOCKET 2 1 6")
    began = time.monotonic()
    connecting = client.later(f"CONNECT {fd} 10.0.0.9 80")
    assert connecting.blocked
    client.done("ADVANCE 3600000000")
    assert connecting.pair == (-1, 113)
    assert time.monotonic() - began < 10


def test_real_time(start: Start, control: Path) -> None:
    start()
    client = Client(control)
    fd = client.done("SOCKET 2 1 6")
    began = time.monotonic()
    assert client.done(f"POLL {fd} 0 300") == 16
    assert client.ask("ADVANCE 5") == (-1, 22)
    client.done(f"BIND {fd} 0 80")
    client.done(f"LISTEN {fd} 1")
    assert client.done(f"POLL {fd} POLLIN 300") == 0
    assert 0.29 < time.monotonic() - began < 2


def test_sequence_numbers_repeat_with_a_seed(start: Start, control: Path) -> None:
    seen = []
    for _ in range(2):
        program = start("--clock", "manual", "--seed", "3")
        client = Client(control)
        fd = client.done("SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6")
        client.ask(f"CONNECT {fd} 10.0.0.9 80")
        seen.append(client.info(fd)["iss"])
        program.terminate()
        program.communicate(timeout=10)
    assert seen[0] == seen[1]


def test_an_idle_endpoint_leaves_the_core_to_others(start: Start) -> None:
    program = start()
    time.sleep(0.2)
    before = used(program)
    time.sleep(2)
    assert used(program) - before < 0.6


def test_a_stale_socket_is_replaced(start: Start, control: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(control))
    assert stat.S_ISSOCK(control.stat().st_mode)
    start()


def test_a_socket_in_use_is_refused(start: Start, control: Path) -> None:
    start()
    done = run(*ADDRESS, "--control", str(control))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"te-apps: --control: {control} is in use by another program; choose another path\n"
    assert Client(control).ask("RESET") == (0, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ip", "10.0.0.1/24"), "--control: missing"),
        (("--control", "{}/a"), "--ip: missing"),
        (("--ip", "10.0.0.1/24", "--control", "{}/no/a"), "No such file or directory"),
        (("--ip", "10.0.0.1/24", "--control", "{}/" + "a" * 120), "a shorter one"),
        (("--ip", "10.0.0.1/24", "--control", "{}"), "is no socket"),
        (("--ip", "10.0.0.1", "--control", "{}/a"), "prefix length"),
        (("--ip", "ff02::1/64", "--control", "{}/a"), "not the address of a host"),
        (("--ip", "fd00::1/64", "--control", "{}/a", "--gateway", "10.0.0.2"), "--gateway: 10.0.0.2 is of a family"),
        (("--ip", "fd00::1/64", "--control", "{}/a", "--gateway", "fd01::2"), "not on the link"),
        (("--ip", "fd00::1/64", "--control", "{}/a", "--gateway", "fd00::1"), "our own address"),
        (("--ip", "fd00::1/64", "--control", "{}/a", "--gateway", "fd00::2", "--gateway", "fd00::3"), "too many"),
        (("--ip", "10.0.0.1/24", "--control", "{}/a", "--neighbour", "10.0.0.2"), "IP=MAC"),
        (("--ip", "10.0.0.1/24", "--control", "{}/a", "--gateway", "10.9.0.2"), "not on the link"),
        (("--ip", "10.0.0.1/24", "--control", "{}/a", "--clock", "wrong"), "--clock"),
        (("--ip", "10.0.0.1/24", "--control", "{}/a", "--device", "ring", "--device", "null"), "one device"),
        (("--ip", "10.0.0.1/24", "--control", "{}/a", "--device", "nonsense"), "nonsense"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = run(*(option.format(tmp_path) for option in options))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []
