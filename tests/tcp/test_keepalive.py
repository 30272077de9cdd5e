"""Keep-alive probes: RFC 9293 section 3.8.4."""

from __future__ import annotations

import pytest

from tcp.events import EV_CLOSED, EV_RETRANSMIT, EV_RST_DUE, EV_TIMEOUT
from tests.tcp.builders import Endpoint, Sent, at, ours, theirs

HOURS = 2 * 3600 * 1000
GIVEN_UP = EV_CLOSED | EV_TIMEOUT | EV_RST_DUE


def kept(state: str = "ESTABLISHED", **limits: int) -> Endpoint:
    return at(state, **({"keepalive_ms": HOURS, "keepalive_interval_ms": 75_000, "keepalive_probes": 3} | limits))


@pytest.mark.conformance("rfc9293:MUST-25")
def test_established_is_not_probed_unless_asked_for() -> None:
    assert at("ESTABLISHED").conn.deadline == 0


@pytest.mark.conformance("rfc9293:MAY-5", "smoltcp:established_keep_alive_timeout")
@pytest.mark.conformance(
    "smoltcp:sends_keep_alive",
    "rfc9293:MUST-24",
    "rfc9293:MUST-26",
    "rfc9293:MUST-27",
    "rfc9293:MUST-29",
    "rfc9293:SHLD-12",
)
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_idle_connection_is_probed_and_given_up(state: str) -> None:
    endpoint = kept(state)
    rcv = 2 if state == "CLOSE_WAIT" else 1
    start = endpoint.now // 1000
    for k in range(3):
        assert endpoint.conn.deadline - start in range(HOURS + 75_000 * k, HOURS + 75_000 * k + 5)
        assert endpoint.expire() == EV_RETRANSMIT
        assert endpoint.sends() == [Sent("A", ours(0), theirs(rcv))]
        assert endpoint.sends() == []
    assert endpoint.expire() == GIVEN_UP
    assert endpoint.state == "CLOSED"


def test_an_answer_starts_the_wait_again() -> None:
    endpoint = kept()
    for _ in range(10):
        endpoint.expire()
        endpoint.sends()
        endpoint.expire()
        endpoint.sends()
        endpoint.gets("A", theirs(1), ours(1))
        assert (endpoint.sends(), int(endpoint.conn.retries)) == ([], 0)
        assert endpoint.conn.deadline == endpoint.now // 1000 + HOURS + 1


def test_data_in_flight_is_no_idleness() -> None:
    endpoint = kept(rto_min=300)
    endpoint.queue(5)
    endpoint.sends()
    assert endpoint.expire() == EV_RETRANSMIT
    assert [(sent.seq, sent.payload_len) for sent in endpoint.sends()] == [(ours(1), 5)]


@pytest.mark.conformance("smoltcp:responds_to_keep_alive")
def test_established_answers_the_peers_probe() -> None:
    endpoint = kept()
    for size in (0, 1):
        endpoint.gets("A", theirs(0), ours(1), size)
        assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]


@pytest.mark.conformance("packetdrill:user_timeout/user_timeout")
def test_user_timeout_ends_the_probing() -> None:
    endpoint = kept(user_timeout_ms=HOURS + 80_000)
    assert [endpoint.expire() for _ in range(3)] == [EV_RETRANSMIT, EV_RETRANSMIT, GIVEN_UP]


def test_silence_without_probes_is_idle_ms() -> None:
    endpoint = at("ESTABLISHED", idle_ms=5000)
    assert endpoint.expire() == GIVEN_UP
