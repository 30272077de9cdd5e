"""Segments for a synchronized connection: RFC 9293 section 3.10.7.4, check by check."""

from __future__ import annotations

import numpy as np
import pytest

from dpdk_io.memory import aligned
from tcp.connection import ACK_ALONE, ACK_DUE, COLD_READY
from tcp.events import (
    EV_ACKED,
    EV_CHALLENGE,
    EV_CLOSED,
    EV_DATA,
    EV_DUPLICATE,
    EV_FIN,
    EV_FIN_ACKED,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_REUSE,
    EV_TIME_WAIT,
    EV_UNACCEPTABLE,
)
from tcp.segment import SEGMENT
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs

SYNCHRONIZED = ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"]
RECEIVING = ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"]
FIN_SENT = ["FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "LAST_ACK", "TIME_WAIT"]
FIN_HAD = ["CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"]


def next_of(state: str) -> tuple[int, int]:
    """(rcv_nxt, snd_nxt) of `at(state)`, counted from the two SYNs."""
    return (2 if state in FIN_HAD else 1), (2 if state in FIN_SENT else 1)


def acked_of(state: str) -> int:
    """What the peer has acknowledged."""
    return 2 if state in ("FIN_WAIT_2", "TIME_WAIT") else 1


def dropped_with_ack(endpoint: Endpoint, state: str, before: dict[str, int]) -> None:
    """Nothing changed but that an ACK is due; it goes out, and nothing else."""
    rcv, snd = next_of(state)
    before = before | {"bits": before["bits"] | int(endpoint.conn.bits) & COLD_READY}
    assert endpoint.changed(before) == {"bits": before["bits"] | ACK_DUE | ACK_ALONE}
    assert endpoint.sends() == [Sent("A", ours(snd), theirs(rcv))]
    assert endpoint.changed(before) == {}


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize(
    ("offset", "payload", "flags"),
    [
        (-1, 0, "A"),
        (-1, 1, "A"),
        (-10, 10, "PA"),
        (-70000, 5, "A"),
        (65535, 0, "A"),
        (65535, 10, "PA"),
        (100000, 1, "A"),
        (-1, 0, ""),
    ],
)
def test_outside_the_window(state: str, offset: int, payload: int, flags: str) -> None:
    endpoint = at(state)
    rcv, snd = next_of(state)
    before = endpoint.snapshot()
    duplicate = EV_DUPLICATE if offset < 0 else 0
    assert endpoint.gets(flags, theirs(rcv + offset), ours(snd), payload) == EV_UNACCEPTABLE | duplicate
    dropped_with_ack(endpoint, state, before)


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("flags", ["R", "RA", "RS"])
def test_rst_exact(state: str, flags: str) -> None:
    endpoint = at(state)
    rcv, snd = next_of(state)
    assert endpoint.gets(flags, theirs(rcv), ours(snd)) == (
        EV_CLOSED if state in ("CLOSING", "LAST_ACK", "TIME_WAIT") else EV_RESET | EV_CLOSED
    )
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert endpoint.sends() == []


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("offset", [1, 100, 65534])
def test_rst_in_window(state: str, offset: int) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets("R", theirs(next_of(state)[0] + offset)) == EV_CHALLENGE
    dropped_with_ack(endpoint, state, before)


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("offset", [-1, -70000, 65535, 1 << 31])
def test_rst_outside_the_window(state: str, offset: int) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets("R", theirs(next_of(state)[0] + offset)) == EV_UNACCEPTABLE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("flags", ["S", "SA"])
@pytest.mark.parametrize("offset", [0, 5])
def test_syn_in_window(state: str, flags: str, offset: int) -> None:
    endpoint = at(state)
    rcv, snd = next_of(state)
    before = endpoint.snapshot()
    events = endpoint.gets(flags, theirs(rcv + offset), ours(snd))
    if state == "TIME_WAIT" and flags == "S":
        assert events == EV_REUSE
        assert endpoint.changed(before) == {}
    else:
        assert events == EV_CHALLENGE
        dropped_with_ack(endpoint, state, before)


@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_synack_again(state: str) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets("SA", theirs(0), ours(1)) == EV_UNACCEPTABLE | EV_DUPLICATE
    dropped_with_ack(endpoint, state, before)


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("flags", ["", "P", "F"])
def test_without_ack(state: str, flags: str) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets(flags, theirs(next_of(state)[0]), 0, 10) == EV_UNACCEPTABLE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("beyond", [1, 1000, 1 << 30])
def test_ack_of_something_never_sent(state: str, beyond: int) -> None:
    endpoint = at(state)
    rcv, snd = next_of(state)
    before = endpoint.snapshot()
    assert endpoint.gets("A", theirs(rcv), ours(snd + beyond), 10) == EV_CHALLENGE
    dropped_with_ack(endpoint, state, before)


@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_ack_too_old(state: str) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets("PA", theirs(next_of(state)[0]), ours(acked_of(state) - 65536), 10) == EV_CHALLENGE
    dropped_with_ack(endpoint, state, before)


def test_established_old_ack_with_data() -> None:
    endpoint = at("ESTABLISHED")
    assert endpoint.gets("PA", theirs(1), ours(1 - 65535), 10, wnd=3) == EV_DATA
    assert endpoint.conn.snd_wnd == 65535
    assert endpoint.sends() == [Sent("A", ours(1), theirs(11))]


@pytest.mark.parametrize("state", RECEIVING)
def test_data_in_order(state: str) -> None:
    endpoint = at(state)
    _, snd = next_of(state)
    endpoint.now += 50_000
    assert endpoint.gets("PA", theirs(1), ours(acked_of(state)), 10) == EV_DATA
    assert (endpoint.segment.accepted, endpoint.segment.skip) == (10, 0)
    assert endpoint.sends() == [Sent("A", ours(snd), theirs(11))]
    assert endpoint.state == state


@pytest.mark.parametrize("state", FIN_HAD)
def test_data_after_the_fin_is_ignored(state: str) -> None:
    endpoint = at(state)
    before = endpoint.snapshot()
    assert endpoint.gets("PA", theirs(2), ours(acked_of(state)), 10) == 0
    assert endpoint.segment.accepted == 0
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


def test_established_data_partly_old() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("PA", theirs(1), ours(1), 10)
    endpoint.sends()
    assert endpoint.gets("PA", theirs(6), ours(1), 10) == EV_DATA
    assert (endpoint.segment.skip, endpoint.segment.accepted) == (5, 5)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(16))]


def test_established_data_beyond_the_window() -> None:
    endpoint = at("ESTABLISHED", rcv_wnd=8)
    assert endpoint.gets("FPA", theirs(1), ours(1), 10) == EV_DATA
    assert (endpoint.segment.skip, endpoint.segment.accepted, endpoint.state) == (0, 8, "ESTABLISHED")
    assert endpoint.sends() == [Sent("A", ours(1), theirs(9))]


def test_established_data_into_a_shut_window() -> None:
    endpoint = at("ESTABLISHED", rcv_wnd=0)
    endpoint.queue(5)
    endpoint.sends()
    assert endpoint.gets("PA", theirs(1), ours(6), 1) == EV_ACKED
    assert endpoint.segment.accepted == 0
    assert endpoint.sends() == [Sent("A", ours(6), theirs(1))]
    assert endpoint.gets("A", theirs(2), ours(6), 0) == EV_UNACCEPTABLE


@pytest.mark.parametrize("state", RECEIVING)
@pytest.mark.parametrize(("flags", "payload"), [("PA", 10), ("FA", 0), ("FPA", 10)])
def test_out_of_order(state: str, flags: str, payload: int) -> None:
    endpoint = at(state)
    _, snd = next_of(state)
    assert endpoint.gets(flags, theirs(2), ours(acked_of(state)), payload) == EV_OUT_OF_ORDER
    assert endpoint.segment.accepted == 0
    assert endpoint.state == state
    assert endpoint.sends() == [Sent("A", ours(snd), theirs(1))]


def test_established_window_update() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("PA", theirs(1), ours(1), 10, wnd=2000)
    assert endpoint.conn.snd_wnd == 2000
    endpoint.gets("A", theirs(11), ours(1), wnd=100)
    assert endpoint.conn.snd_wnd == 100
    assert endpoint.gets("PA", theirs(5), ours(1), 10, wnd=9999) == EV_DATA
    assert endpoint.conn.snd_wnd == 100
    endpoint.sends()
    endpoint.queue(100)
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(15), 100)]


def test_established_ack_moves_una() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(30)
    endpoint.sends()
    endpoint.now += 64 * 1000
    assert endpoint.gets("A", theirs(1), ours(11)) == EV_ACKED
    assert (endpoint.conn.snd_una, endpoint.conn.deadline) == (ours(11), (endpoint.now // 1000) + 201)
    assert endpoint.gets("A", theirs(1), ours(31)) == EV_ACKED
    assert (endpoint.conn.snd_una, endpoint.conn.deadline) == (ours(31), 0)
    assert endpoint.gets("A", theirs(1), ours(31)) == 0
    assert endpoint.sends() == []
    assert endpoint.cold_is_untouched


def test_established_fin() -> None:
    endpoint = at("ESTABLISHED")
    assert endpoint.gets("FA", theirs(1), ours(1)) == EV_FIN
    assert endpoint.state == "CLOSE_WAIT"
    assert endpoint.sends() == [Sent("A", ours(1), theirs(2))]
    assert endpoint.gets("FA", theirs(1), ours(1)) == EV_UNACCEPTABLE | EV_DUPLICATE
    assert endpoint.sends() == [Sent("A", ours(1), theirs(2))]


def test_established_data_and_fin() -> None:
    endpoint = at("ESTABLISHED")
    assert endpoint.gets("FPA", theirs(1), ours(1), 10) == EV_DATA | EV_FIN
    assert endpoint.sends() == [Sent("A", ours(1), theirs(12))]
    assert endpoint.gets("FPA", theirs(1), ours(1), 10) == EV_UNACCEPTABLE | EV_DUPLICATE


def test_established_old_data_and_new_fin() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("PA", theirs(1), ours(1), 10)
    assert endpoint.gets("FPA", theirs(1), ours(1), 10) == EV_FIN
    assert (endpoint.segment.skip, endpoint.segment.accepted) == (10, 0)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(12))]


def test_fin_wait_1_ack() -> None:
    endpoint = at("FIN_WAIT_1")
    assert endpoint.gets("A", theirs(1), ours(2)) == EV_ACKED | EV_FIN_ACKED
    assert (endpoint.state, endpoint.conn.deadline) == ("FIN_WAIT_2", endpoint.now // 1000 + 60_001)
    assert endpoint.gets("A", theirs(1), ours(2)) == 0
    assert endpoint.sends() == []


def test_fin_wait_1_fin() -> None:
    endpoint = at("FIN_WAIT_1")
    assert endpoint.gets("FA", theirs(1), ours(1)) == EV_FIN
    assert endpoint.state == "CLOSING"
    assert endpoint.sends() == [Sent("A", ours(2), theirs(2))]


def test_fin_wait_1_fin_and_ack() -> None:
    endpoint = at("FIN_WAIT_1")
    assert endpoint.gets("FA", theirs(1), ours(2)) == EV_ACKED | EV_FIN_ACKED | EV_FIN | EV_TIME_WAIT
    assert (endpoint.state, endpoint.conn.deadline) == ("TIME_WAIT", endpoint.now // 1000 + 60_001)
    assert endpoint.sends() == [Sent("A", ours(2), theirs(2))]


def test_fin_wait_1_ack_of_data_only() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(10)
    endpoint.close()
    assert endpoint.sends() == [Sent("FPA", ours(1), theirs(1), 10)]
    assert endpoint.gets("A", theirs(1), ours(11)) == EV_ACKED
    assert endpoint.state == "FIN_WAIT_1"


def test_fin_wait_2_fin() -> None:
    endpoint = at("FIN_WAIT_2")
    assert endpoint.gets("FA", theirs(1), ours(2)) == EV_FIN | EV_TIME_WAIT
    assert endpoint.sends() == [Sent("A", ours(2), theirs(2))]


def test_closing_ack() -> None:
    endpoint = at("CLOSING")
    assert endpoint.gets("A", theirs(2), ours(2)) == EV_ACKED | EV_FIN_ACKED | EV_TIME_WAIT
    assert (endpoint.state, endpoint.conn.deadline) == ("TIME_WAIT", endpoint.now // 1000 + 60_001)
    assert endpoint.sends() == []


def test_last_ack_ack() -> None:
    endpoint = at("LAST_ACK")
    assert endpoint.gets("A", theirs(2), ours(2)) == EV_ACKED | EV_FIN_ACKED | EV_CLOSED
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert endpoint.sends() == []


def test_time_wait_fin_again() -> None:
    endpoint = at("TIME_WAIT")
    deadline = int(endpoint.conn.deadline)
    endpoint.now += 7_000_000
    assert endpoint.gets("FA", theirs(1), ours(2)) == EV_UNACCEPTABLE | EV_DUPLICATE
    assert endpoint.conn.deadline == deadline + 7000
    assert endpoint.sends() == [Sent("A", ours(2), theirs(2))]


def test_time_wait_ack_does_not_prolong() -> None:
    endpoint = at("TIME_WAIT")
    before = endpoint.snapshot()
    endpoint.now += 7_000_000
    assert endpoint.gets("A", theirs(2), ours(2)) == 0
    assert endpoint.changed(before) == {}


def test_time_wait_old_syn() -> None:
    endpoint = at("TIME_WAIT")
    before = endpoint.snapshot()
    assert endpoint.gets("S", theirs(0)) == EV_UNACCEPTABLE | EV_DUPLICATE
    dropped_with_ack(endpoint, "TIME_WAIT", before)


def test_time_wait_syn_far_ahead() -> None:
    assert at("TIME_WAIT").gets("S", theirs(1 << 30)) == EV_REUSE


def test_simultaneous_close() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.close()
    assert endpoint.sends() == [Sent("FA", ours(1), theirs(1))]
    assert endpoint.gets("FA", theirs(1), ours(1)) == EV_FIN
    assert endpoint.sends() == [Sent("A", ours(2), theirs(2))]
    assert endpoint.gets("A", theirs(2), ours(2)) == EV_ACKED | EV_FIN_ACKED | EV_TIME_WAIT


def test_half_close_receives_on() -> None:
    endpoint = at("FIN_WAIT_2")
    for k in range(5):
        assert endpoint.gets("PA", theirs(1 + 100 * k), ours(2), 100) == EV_DATA
        assert endpoint.sends() == [Sent("A", ours(2), theirs(101 + 100 * k))]
    assert endpoint.gets("FA", theirs(501), ours(2)) == EV_FIN | EV_TIME_WAIT


def test_half_close_sends_on() -> None:
    endpoint = at("CLOSE_WAIT")
    for k in range(5):
        endpoint.queue(MSS)
        assert endpoint.sends() == [Sent("PA", ours(1 + MSS * k), theirs(2), MSS)]
        assert endpoint.gets("A", theirs(2), ours(1 + MSS * (k + 1))) == EV_ACKED
    endpoint.close()
    assert endpoint.sends() == [Sent("FA", ours(1 + 5 * MSS), theirs(2))]
    assert endpoint.state == "LAST_ACK"


@pytest.mark.parametrize("state", ["SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT"])
def test_abort_sends_rst(state: str) -> None:
    endpoint = at(state)
    rcv, snd = (1, 1) if state == "SYN_RECEIVED" else next_of(state)
    assert endpoint.abort() == Sent("RA", ours(snd), theirs(rcv))
    assert endpoint.state == "CLOSED"
    assert endpoint.abort() is None
    assert endpoint.sends() == []


@pytest.mark.parametrize("state", ["SYN_SENT", "CLOSING", "LAST_ACK", "TIME_WAIT"])
def test_abort_silently(state: str) -> None:
    endpoint = at(state)
    assert endpoint.abort() is None
    assert endpoint.state == "CLOSED"


def test_receive_takes_any_record_with_the_fields() -> None:
    names = [name for name in SEGMENT.names or () if name != "blocks"]
    endpoint = at("ESTABLISHED")
    endpoint.segment = aligned(1, np.dtype([(name, "<i8") for name in names]))[0]
    assert endpoint.gets("FPA", theirs(1), ours(1), 10) == EV_DATA | EV_FIN
    assert (endpoint.segment.accepted, endpoint.segment.skip) == (10, 0)
