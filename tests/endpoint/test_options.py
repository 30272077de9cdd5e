"""SETSOCKOPT and GETSOCKOPT say and refuse what Linux does: where the kernel that runs the tests can be asked, it is."""

from __future__ import annotations

import errno
import json
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.endpoint import linux as n
from apps.endpoint.settings import OPTIONS
from tests.endpoint.rig import THEIRS, Rig

APART = {
    (n.SOL_TCP, n.TCP_QUICKACK),  # Linux forgets it again
    *(
        (n.SOL_SOCKET, name)
        for name in (n.SO_LINGER, n.SO_RCVBUF, n.SO_SNDBUF, n.SO_RCVBUFFORCE, n.SO_SNDBUFFORCE, n.SO_RCVLOWAT)
    ),
}
SETTABLE = [key for key in (*OPTIONS, (n.SOL_TCP, n.TCP_MAXSEG)) if key not in APART]
VALUES = st.one_of(st.integers(-2, 70_000), st.integers(-(1 << 31), (1 << 31) - 1))


def kernel(level: int, name: int, value: int, domain: int = n.AF_INET) -> tuple[int, int]:
    """What Linux's socket says to SETSOCKOPT, and GETSOCKOPT afterwards."""
    with socket.socket(domain) as fresh:
        try:
            fresh.setsockopt(level, name, value)
            result = 0
        except OSError as error:
            result = error.errno or 0
        return result, fresh.getsockopt(level, name)


@pytest.mark.parametrize(("level", "name"), SETTABLE)
@settings(max_examples=40, deadline=None)
@given(value=VALUES)
def test_values_are_taken_and_told_as_linux_does(level: int, name: int, value: int) -> None:
    rig = Rig()
    domain = n.AF_INET6 if level == n.SOL_IPV6 else n.AF_INET
    fd = rig.done(f"SOCKET {domain} 1 6")
    _, refused = rig.ask(f"SETSOCKOPT {fd} {level} {name} {value}")
    assert (refused, rig.done(f"GETSOCKOPT {fd} {level} {name}")) == kernel(level, name, value, domain)


@pytest.mark.parametrize("name", ["SO_RCVBUF", "SO_SNDBUF"])
@pytest.mark.parametrize("value", [0, 1, 2000, 2304, 4096, 65_536])
def test_buffers_are_doubled(rig: Rig, name: str, value: int) -> None:
    fd = rig.done("SOCKET 2 1 6")
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET {name} {value}")
    number = n.NUMBERS[name]
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET {name}") == kernel(n.SOL_SOCKET, number, value)[1]


@pytest.mark.parametrize(("level", "name"), [(1, 3), (1, 4), (1, 38), (1, 39), (1, 77), (6, 77), (0, 77), (41, 26)])
def test_unknown_and_read_only_options(rig: Rig, level: int, name: int) -> None:
    fd = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"SETSOCKOPT {fd} {level} {name} 1") == (-1, errno.ENOPROTOOPT)


def test_what_can_only_be_read(rig: Rig) -> None:
    fd = rig.listening()
    values = {"SO_TYPE": 1, "SO_PROTOCOL": 6, "SO_DOMAIN": 2, "SO_ACCEPTCONN": 1, "SO_ERROR": 0}
    assert {name: rig.done(f"GETSOCKOPT {fd} SOL_SOCKET {name}") for name in values} == values
    assert rig.ask(f"GETSOCKOPT {fd} SOL_TCP 77") == (-1, errno.ENOPROTOOPT)


@pytest.mark.conformance("packetdrill:mss/mss-setsockopt-tcp_maxseg-server", "packetdrill:mss/mss-getsockopt-tcp_maxseg-server")
def test_maxseg_is_offered_and_kept_to(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_TCP TCP_MAXSEG 1000")
    rig.gets("S", 0)
    rig.gets("A", 1, 1)
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.done(f"GETSOCKOPT {fd} SOL_TCP TCP_MAXSEG") == rig.info(fd)["mss"] <= 1000
    rig.done(f"WRITE {fd} 1500")
    assert rig.sent()[0].length == rig.info(fd)["mss"]


def test_accepted_connections_inherit(rig: Rig) -> None:
    options = {"keepidle": ("SOL_TCP", "TCP_KEEPIDLE", 60), "nodelay": ("SOL_TCP", "TCP_NODELAY", 1)}
    fd = rig.accepted(*(f"{level} {name} {value}" for level, name, value in options.values()))
    assert rig.info(fd)["options"] == {"keepidle": 60, "nodelay": 1}


def test_type_of_service_and_time_to_live(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TOS 0xb8")
    rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TTL 9")
    rig.done(f"WRITE {fd} 10")
    [frame] = rig.take()
    assert (frame["IP"].tos, frame["IP"].ttl) == (0xB8, 9)


def as_kernel(value: int | bytes) -> tuple[int, int]:
    """What Linux says to TCP_CONGESTION, as `kernel`, where reno is allowed and was chosen."""
    with socket.socket() as fresh:
        fresh.setsockopt(n.SOL_TCP, n.TCP_CONGESTION, b"reno")
        try:
            fresh.setsockopt(n.SOL_TCP, n.TCP_CONGESTION, value)
            result = 0
        except OSError as error:
            result = error.errno or 0
        return result, fresh.getsockopt(n.SOL_TCP, n.TCP_CONGESTION)


RENO_AS_INT = int.from_bytes(b"reno", "little")


@pytest.mark.parametrize("value", ["reno", "nothing", "Reno", 0, 1, -1, RENO_AS_INT, int.from_bytes(b"cubi", "little")])
def test_congestion_control_by_name_or_by_the_int_that_holds_it(value: int | str) -> None:
    rig = Rig(congestion="reno")
    fd = rig.socket()
    _, refused = rig.ask(f"SETSOCKOPT {fd} SOL_TCP TCP_CONGESTION {value}")
    told = rig.done(f"GETSOCKOPT {fd} SOL_TCP TCP_CONGESTION")
    assert (refused, told) == as_kernel(value.encode() if isinstance(value, str) else value)


def test_congestion_control_is_the_hosts_unless_it_is_chosen(rig: Rig) -> None:
    fd = rig.socket()
    assert rig.done(f"GETSOCKOPT {fd} SOL_TCP TCP_CONGESTION") == int.from_bytes(b"cubi", "little")
    assert (rig.info(fd)["congestion"], rig.info(fd)["options"]) == ("cubic", {})
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_CONGESTION reno")
    rig.begin(f"CONNECT {fd} {THEIRS} 80")
    assert rig.info(fd)["congestion"] == "reno"
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_CONGESTION cubic")
    assert rig.info(fd)["congestion"] == "cubic"


def test_values_are_ints(rig: Rig) -> None:
    fd = rig.socket()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 5")
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 0xffffffff")
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_LINGER") == -1
    assert rig.ask(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER {1 << 32}") == (-1, errno.EINVAL)
    assert rig.ask(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER cubic") == (-1, errno.EINVAL)


WORDS = st.sampled_from([*n.NUMBERS, "RESET", "SOCKET", "LISTEN", "BIND", "ACCEPT", "CONNECT", "WRITE", "READ", "CLOSE", "INFO"])
TOKENS = st.one_of(WORDS, st.integers(-5, 1 << 33).map(str), st.sampled_from(["101", "10.0.0.2", "fe80::1"]), st.text(max_size=4))


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(st.lists(TOKENS, max_size=6).map(" ".join), max_size=8))
def test_any_line_has_an_answer_or_blocks(lines: list[str]) -> None:
    """Nothing that is asked ends the server, and every answer is RESULT ERRNO, or JSON."""
    rig = Rig()
    rig.done("SOCKET 2 1 6")
    for line in lines:
        answer = rig.begin(line).answer
        if answer is not None and not answer.startswith("{"):
            result, error = map(int, answer.split())
            assert (result == -1) == (error != 0)
        elif answer is not None:
            json.loads(answer)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", errno.ENOSYS), ("socket 2 1 6", errno.ENOSYS), ("OPEN 1", errno.ENOSYS), ("SOCKET 2 1", errno.EINVAL),
        ("SOCKET 2 1 6 7", errno.EINVAL), ("SOCKET 2 x 6", errno.EINVAL), ("SOCKET 11 1 6", errno.EAFNOSUPPORT),
        ("SOCKET 1 1 0", errno.EAFNOSUPPORT), ("SOCKET 2 2 17", errno.ESOCKTNOSUPPORT), ("SOCKET 2 1 17", errno.EPROTONOSUPPORT),
        ("READ 101 5", errno.EBADF), ("ADVANCE -1", errno.EINVAL), ("SOCKET 2 1_0 6", errno.EINVAL),
        ("SOCKET +2 1 6", errno.EINVAL), ("SOCKET \u0662 1 6", errno.EINVAL), ("SOCKET 2 1 0x", errno.EINVAL),
        ("SOCKET 2 1| 6", errno.EINVAL),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(rig: Rig, line: str, error: int) -> None:
    assert rig.ask(line) == (-1, error)


@pytest.mark.parametrize("state", ["CLOSED", "LISTEN", "ESTABLISHED"])
def test_info_always_has_what_every_socket_has(rig: Rig, state: str) -> None:
    fd = {"CLOSED": rig.socket, "LISTEN": rig.listening, "ESTABLISHED": rig.accepted}[state]()
    keys = {
        "state", "snd_una", "snd_nxt", "rcv_nxt", "snd_wnd", "rcv_wnd", "cwnd", "ssthresh", "rto_us", "srtt_us", "mss",
        "retransmits", "options", "congestion",
    }  # fmt: skip
    assert keys <= rig.info(fd).keys()
    assert rig.state(fd) == state


def test_advance_needs_the_manual_clock(rig: Rig) -> None:
    rig.requests.manual = False
    assert rig.ask("ADVANCE 5") == (-1, errno.EINVAL)
