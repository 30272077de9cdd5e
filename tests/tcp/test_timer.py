"""Deadlines: retransmission, giving up, TIME_WAIT and idleness."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.jit import kernel
from tcp.events import EV_ACKED, EV_CLOSED, EV_DOUBT, EV_ESTABLISHED, EV_RETRANSMIT, EV_RST_DUE, EV_TIMEOUT
from tcp.limits import new_limits
from tcp.reset import reset_of
from tcp.rto import UNIT, measure, whole_ms
from tests.tcp.builders import ISS, MSS, Endpoint, Sent, at, ours, sent_of, theirs


@pytest.mark.parametrize(
    ("state", "again"),
    [
        ("SYN_SENT", Sent("S", ISS, 0, mss=MSS, rexmit=1)),
        ("SYN_RECEIVED", Sent("SA", ISS, theirs(1), mss=MSS, rexmit=1)),
        ("FIN_WAIT_1", Sent("FA", ours(1), theirs(1), rexmit=1)),
        ("CLOSING", Sent("FA", ours(1), theirs(2), rexmit=1)),
        ("LAST_ACK", Sent("FA", ours(1), theirs(2), rexmit=1)),
    ],
)
def test_retransmission_backs_off_and_gives_up(state: str, again: Sent) -> None:
    endpoint = at(state, syn_retries=4, retries=4, rto_initial=1000, rto_max=5000)
    rto = int(endpoint.conn.rto)
    assert endpoint.conn.deadline == endpoint.now // 1000 + rto + 1
    for count in range(1, 5):
        assert endpoint.expire() == (EV_RETRANSMIT | EV_DOUBT if count == 3 else EV_RETRANSMIT)
        assert endpoint.state == state
        assert endpoint.sends() == [again]
        rto = min(2 * rto, 5000)
        assert endpoint.conn.deadline == endpoint.now // 1000 + rto + 1
    assert endpoint.expire() == EV_CLOSED | EV_TIMEOUT
    assert endpoint.state == "CLOSED"
    assert endpoint.sends() == []


@pytest.mark.parametrize("state", ["SYN_SENT", "SYN_RECEIVED", "FIN_WAIT_1", "CLOSING", "LAST_ACK"])
def test_the_user_timeout_is_not_exceeded(state: str) -> None:
    """RFC 9293 section 3.9.1.2: the last wait ends with it, however long the RTO is by then."""
    endpoint = at(state, user_timeout_ms=3500, rto_initial=1000)
    sent_at = endpoint.now // 1000
    events = 0
    while not events & EV_CLOSED:
        events = endpoint.expire()
        endpoint.sends()
    assert events == EV_CLOSED | EV_TIMEOUT
    assert 3500 <= endpoint.now // 1000 - sent_at <= 3502


def test_established_nothing_is_due_early() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(10)
    endpoint.sends()
    before = endpoint.snapshot()
    endpoint.now = int(endpoint.conn.deadline) * 1000 - 1
    assert endpoint.timer() == 0
    assert endpoint.changed(before) == {}
    assert at("ESTABLISHED").timer() == 0


def test_established_goes_back_to_the_first_lost_segment() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(3 * MSS + 5)
    endpoint.close()
    assert len(endpoint.sends()) == 4
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), MSS, rexmit=1)]
    assert endpoint.gets("A", theirs(1), ours(1 + MSS)) == EV_ACKED
    assert endpoint.sends() == [
        Sent("A", ours(1 + MSS), theirs(1), MSS, rexmit=1),
        Sent("A", ours(1 + 2 * MSS), theirs(1), MSS, rexmit=1),
    ]
    assert endpoint.gets("A", theirs(1), ours(1 + 3 * MSS)) == EV_ACKED
    assert endpoint.sends() == [Sent("FPA", ours(1 + 3 * MSS), theirs(1), 5, rexmit=1)]


def test_established_late_ack_of_everything_after_a_timeout() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(3 * MSS)
    endpoint.sends()
    endpoint.expire()
    srtt = int(endpoint.conn.srtt)
    assert endpoint.gets("A", theirs(1), ours(1 + 3 * MSS)) == EV_ACKED
    assert endpoint.conn.srtt == srtt
    assert (endpoint.conn.snd_nxt, endpoint.conn.deadline) == (ours(1 + 3 * MSS), 0)
    assert endpoint.sends() == []
    endpoint.queue(10)
    assert endpoint.sends() == [Sent("PA", ours(1 + 3 * MSS), theirs(1), 10)]


def test_established_new_data_after_a_timeout_is_not_a_retransmission() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(10)
    endpoint.sends()
    endpoint.expire()
    endpoint.sends()
    endpoint.queue(10)
    assert endpoint.sends() == [Sent("PA", ours(11), theirs(1), 10)]


def test_established_ack_while_rewound_uses_the_highest_number() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(3 * MSS)
    endpoint.sends()
    endpoint.expire()
    endpoint.sends()
    endpoint.gets("PA", theirs(1), ours(1), 5)
    assert endpoint.sends() == [Sent("A", ours(1 + 3 * MSS), theirs(6))]


def test_syn_sent_timeout_then_synack_starts_with_three_seconds() -> None:
    endpoint = at("SYN_SENT")
    endpoint.expire()
    endpoint.sends()
    assert endpoint.gets("SA", theirs(0), ours(1), mss=MSS) == EV_ESTABLISHED | EV_ACKED
    assert (endpoint.conn.rto, endpoint.conn.retries, endpoint.conn.srtt) == (3000, 0, 0)
    assert endpoint.cold.cwnd <= 2 * MSS


def test_established_user_timeout() -> None:
    endpoint = at("ESTABLISHED", user_timeout_ms=1000)
    endpoint.queue(10)
    endpoint.sends()
    started = endpoint.now
    while endpoint.expire() == EV_RETRANSMIT:
        endpoint.sends()
    assert endpoint.state == "CLOSED"
    assert 1_000_000 <= endpoint.now - started < 2_000_000


def test_time_wait_expires() -> None:
    endpoint = at("TIME_WAIT", time_wait_ms=500)
    started = endpoint.now
    assert endpoint.expire() == EV_CLOSED
    assert endpoint.now - started == 501_000
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert endpoint.sends() == []


def test_fin_wait_2_is_limited() -> None:
    endpoint = at("FIN_WAIT_2", fin_wait_2_ms=300)
    assert endpoint.expire() == EV_CLOSED | EV_TIMEOUT
    assert at("FIN_WAIT_2", fin_wait_2_ms=0).conn.deadline == 0


@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_idle(state: str) -> None:
    endpoint = at(state, idle_ms=200)
    endpoint.now += 150_000
    endpoint.gets("A", theirs(2 if state == "CLOSE_WAIT" else 1), ours(1))
    started = endpoint.now
    assert endpoint.expire() == EV_CLOSED | EV_TIMEOUT | EV_RST_DUE
    assert endpoint.now - started == 201_000
    reset_of(endpoint.conn, endpoint.cold, endpoint.out)
    assert sent_of(endpoint.out) == Sent("RA", ours(1), theirs(2 if state == "CLOSE_WAIT" else 1))


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=50), st.integers(1, 500))
def test_rto_follows_rfc_6298(samples: list[int], rto_min: int) -> None:
    endpoint = Endpoint()
    limits = new_limits(rto_min=rto_min).record
    srtt = rttvar = 0.0
    for k, sample in enumerate(samples):
        rtt = min(max(sample / UNIT, 1), 65535)
        rttvar = rtt / 2 if k == 0 else 0.75 * rttvar + 0.25 * abs(srtt - rtt)
        srtt = rtt if k == 0 else 0.875 * srtt + 0.125 * rtt
        measure(endpoint.conn, limits, sample)
        assert int(endpoint.conn.srtt) == pytest.approx(srtt, abs=8)
        assert int(endpoint.conn.rttvar) == pytest.approx(rttvar, abs=12)
        expected = min(max((srtt + 4 * rttvar) * UNIT / 1000, rto_min), 60_000)
        assert int(endpoint.conn.rto) == pytest.approx(expected, abs=6)
        assert endpoint.conn.rto >= rto_min


@pytest.mark.parametrize(
    ("name", "value"), [("mss", 0), ("rcv_wnd", 1 << 30), ("retries", 256), ("rto_max", 60_001), ("bogus", 1)]
)
def test_limits_refuse(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        new_limits(**{name: value})


@kernel
def in_ms(us):
    return whole_ms(us)


_LONG = 1500 * 366 * 86_400 * 1000
"""ms."""


@given(st.one_of(st.integers(0, _LONG * 1000), st.integers(0, _LONG).map(lambda ms: ms * 1000)))
def test_a_time_in_ms(us: int) -> None:
    assert [in_ms(us), in_ms(us + 999)] == [us // 1000, (us + 999) // 1000]
