"""Closing: CLOSE, SHUTDOWN and SO_LINGER, and what data that comes afterwards is answered with."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.endpoint.rig import Rig, Sent


def test_close_sends_a_fin(rig: Rig) -> None:
    fd = rig.accepted()
    assert rig.ask(f"CLOSE {fd}") == (0, 0)
    assert rig.sent() == [Sent("FA", 1, 1)]
    assert rig.ask(f"CLOSE {fd}") == (-1, errno.EBADF)
    rig.gets("A", 1, 2)
    assert rig.gets("FA", 1, 2) == [Sent("A", 2, 2)]
    rig.advance(61_000)
    assert rig.host.connections == {}


@pytest.mark.conformance("rfc9293:MAY-1", "rfc9293:SHLD-3")
def test_close_with_unread_data_resets(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("PA", 1, 1, length=10)
    rig.sent()
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("RA", 1, 11)]
    assert rig.host.connections == {}


def test_close_after_what_was_written(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 100")
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("PA", 1, 1, 100), Sent("FA", 101, 1)]


@pytest.mark.conformance("packetdrill:close/close-on-syn-sent", "smoltcp:syn_sent_close")
def test_close_in_syn_sent_is_silent(rig: Rig) -> None:
    fd, asked = rig.connecting()
    rig.done(f"CLOSE {fd}")
    assert asked.pair == (-1, errno.EBADF)
    assert rig.sent() == []
    assert rig.gets("SA", 0, 1) == [Sent("R", 1, 0)]


@pytest.mark.parametrize(
    ("before", "reset"), [([], Sent("RA", 101, 1)), (["SHUTDOWN {} 1"], Sent("RA", 102, 1))], ids=["ESTABLISHED", "FIN_WAIT_1"]
)
def test_abort_resets(rig: Rig, before: list[str], reset: Sent) -> None:
    """RFC 9293 section 3.10.5: what is queued is given up, whoever waits is told."""
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 100")
    for line in before:
        rig.done(line.format(fd))
    rig.sent()
    reading = rig.begin(f"READ {fd} 1")
    assert rig.ask(f"ABORT {fd}") == (0, 0)
    assert rig.sent() == [reset]
    assert reading.pair == (-1, errno.EBADF)
    assert rig.ask(f"ABORT {fd}") == (-1, errno.EBADF)
    assert rig.host.connections == {}


def test_abort_in_syn_sent_is_silent(rig: Rig) -> None:
    fd, asked = rig.connecting()
    rig.done(f"ABORT {fd}")
    assert asked.pair == (-1, errno.EBADF)
    assert rig.sent() == []


def test_abort_of_a_listener_resets_who_was_not_accepted(rig: Rig) -> None:
    fd = rig.listening()
    rig.shakes_hands()
    rig.done(f"ABORT {fd}")
    assert rig.sent() == [Sent("RA", 1, 1)]
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


@pytest.mark.conformance("rfc9293:SHLD-3")
@pytest.mark.parametrize("how", ["close", "shutdown"])
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "FIN_WAIT_2"])
@pytest.mark.parametrize("flags", ["PA", "FA"])
def test_data_after_close_is_reset(rig: Rig, how: str, state: str, flags: str) -> None:
    fd = rig.accepted()
    rig.done(f"CLOSE {fd}" if how == "close" else f"SHUTDOWN {fd} 2")
    rig.sent()
    if state == "FIN_WAIT_2":
        rig.gets("A", 1, 2)
    assert rig.gets(flags, 1, 2, length=10) == [Sent("R", 2, 0)]
    assert rig.host.connections == {}
    if how == "shutdown":
        assert rig.ask(f"READ {fd} 10") == (-1, errno.ECONNRESET)


def test_the_peers_fin_after_close_is_in_order(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"CLOSE {fd}")
    rig.sent()
    assert rig.gets("FA", 1, 2) == [Sent("A", 2, 2)]


@pytest.mark.conformance("packetdrill:shutdown/shutdown-wr-close")
def test_shutdown_write_keeps_reading(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 1")
    assert rig.sent() == [Sent("FA", 1, 1)]
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)
    rig.gets("A", 1, 2)
    assert rig.state(fd) == "FIN_WAIT_2"
    rig.advance(600_000)
    assert rig.state(fd) == "FIN_WAIT_2"
    rig.gets("PA", 1, 2, length=10)
    rig.sent()
    assert rig.done(f"READ {fd} 100") == 10
    assert rig.gets("FA", 11, 2) == [Sent("A", 2, 12)]
    assert rig.done(f"READ {fd} 100") == 0
    assert rig.ask(f"SHUTDOWN {fd} 1") == (-1, errno.ENOTCONN)


@pytest.mark.conformance("packetdrill:shutdown/shutdown-rd-close")
def test_shutdown_read_takes_what_still_comes(rig: Rig) -> None:
    """packetdrill's shutdown-rd-close: the data is acknowledged, and lost to the close with an RST."""
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 0")
    assert rig.sent() == []
    assert rig.done(f"READ {fd} 10") == 0
    rig.gets("PA", 1, 1, length=10)
    rig.advance(500)
    rig.sent()
    assert rig.info(fd)["rcv_nxt"] == (rig.irs + 11) & 0xFFFFFFFF
    assert rig.done(f"READ {fd} 5") == 5
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("RA", 1, 11)]


def test_shutdown_of_a_listener(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SHUTDOWN {listener} 1")
    assert rig.state(listener) == "LISTEN"
    waiting = rig.begin(f"ACCEPT {listener}")
    rig.done(f"SHUTDOWN {listener} 0")
    rig.scheduler.go_on()
    assert waiting.pair == (-1, errno.EINVAL)
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]
    assert rig.ask(f"SHUTDOWN {listener} 3") == (-1, errno.EINVAL)


@pytest.mark.conformance("packetimpact:FinWait2Timeout")
def test_half_closed_and_held_lasts_but_an_orphan_does_not(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 1")
    rig.gets("A", 1, 2)
    rig.done(f"CLOSE {fd}")
    rig.advance(59_000)
    assert len(rig.host.connections) == 1
    rig.advance(2_000)
    assert rig.host.connections == {}


@pytest.mark.conformance("packetimpact:TCPLingerZeroTimeout")
def test_linger_zero_resets(rig: Rig) -> None:
    """As gVisor's TCPLingerZeroTimeout."""
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 0")
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("RA", 1, 1)]


@pytest.mark.conformance("packetimpact:TCPLingerNonZeroTimeout")
def test_linger_waits_for_the_fins_acknowledgment(rig: Rig) -> None:
    """As gVisor's TCPLingerNonZeroTimeout."""
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 5")
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_LINGER") == 5
    closing = rig.begin(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 1, 1)]
    assert closing.answer is None
    rig.gets("A", 1, 2)
    assert closing.pair == (0, 0)


@pytest.mark.conformance("packetimpact:TCPLingerNonZeroTimeout")
def test_linger_ends_without_it(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 2")
    rig.done(f"WRITE {fd} 10")
    closing = rig.begin(f"CLOSE {fd}")
    rig.advance(1999)
    assert closing.answer is None
    rig.advance(1)
    assert closing.pair == (0, 0)
    assert len(rig.host.connections) == 1


@pytest.mark.conformance("packetimpact:TCPLingerOff")
def test_linger_off(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER -1")
    assert rig.ask(f"CLOSE {fd}") == (0, 0)
    assert rig.sent() == [Sent("FA", 1, 1)]


@pytest.mark.conformance("packetimpact:TCPLingerShutdownZeroTimeout")
def test_linger_after_shutdown(rig: Rig) -> None:
    """As gVisor's TCPLingerShutdownZeroTimeout."""
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 0")
    rig.done(f"SHUTDOWN {fd} 2")
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 1, 1), Sent("RA", 2, 1)]


def test_simultaneous_close(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 1")
    rig.sent()
    assert rig.gets("FA", 1, 1) == [Sent("A", 2, 2)]
    assert rig.state(fd) == "CLOSING"
    rig.gets("A", 2, 2)
    assert rig.state(fd) == "TIME_WAIT"
    assert rig.done(f"READ {fd} 1") == 0
    rig.done(f"CLOSE {fd}")


def test_last_ack(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("FA", 1, 1)
    rig.sent()
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 1, 2)]
    rig.gets("A", 2, 2)
    assert rig.host.connections == {}


def test_time_wait_gives_way_to_a_new_connection(rig: Rig) -> None:
    listener = rig.listening()
    rig.shakes_hands()
    fd = rig.done(f"ACCEPT {listener}")
    rig.done(f"CLOSE {fd}")
    rig.gets("A", 1, 2)
    rig.gets("FA", 1, 2)
    rig.sent()
    rig.irs += 100_000
    rig.shakes_hands()
    assert rig.done(f"ACCEPT {listener}") == fd


def test_an_orphan_gives_up_sooner(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"CLOSE {fd}")
    rig.advance(3_600_000)
    assert rig.host.connections == {}
    assert 5 <= len(rig.sent()) <= 10


@pytest.mark.conformance("packetdrill:user_timeout/user_timeout", "packetimpact:TCPUserTimeout")
def test_user_timeout(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_USER_TIMEOUT 3000")
    rig.done(f"WRITE {fd} 100")
    rig.advance(15_000)
    assert rig.ask(f"WRITE {fd} 100") == (-1, errno.ETIMEDOUT)
    assert rig.state(fd) == "CLOSED"


def half_open(rig: Rig) -> None:
    rig.listening()
    rig.gets("S", 0)


def not_accepted(rig: Rig) -> None:
    rig.listening()
    rig.shakes_hands()


def closing(rig: Rig) -> None:
    rig.done(f"CLOSE {rig.accepted()}")
    rig.sent()


@pytest.mark.parametrize(
    ("begun", "rst"),
    [
        (half_open, [Sent("RA", 1, 1)]), (not_accepted, [Sent("RA", 1, 1)]), (closing, [Sent("RA", 2, 1)]),
        (Rig.accepted, [Sent("RA", 1, 1)]), (Rig.connecting, []),
    ],
)  # fmt: skip
def test_reset_ends_everything(rig: Rig, begun: Callable[[Rig], object], rst: list[Sent]) -> None:
    """With an RST where the state asks for one (RFC 9293 section 3.10.5); who waits hears of it."""
    begun(rig)
    waiting = [rig.begin(f"READ {fd} 1") for fd in rig.requests.sockets if rig.state(fd) in ("ESTABLISHED", "SYN_SENT")]
    assert rig.ask("RESET") == (0, 0)
    assert rig.sent() == rst
    assert [asked.pair for asked in waiting] == [(-1, errno.EBADF)] * len(waiting)
    assert (rig.host.connections, rig.host.ports.listeners, rig.host.ports.bound) == ({}, {}, set())
    assert rig.socket() == 101
