"""Opening: active, passive, simultaneous, and what listeners and closed ports say."""

from __future__ import annotations

import pytest

from tcp.connection import CLIENT, SYN_RECEIVED
from tcp.events import EV_ACKED, EV_CLOSED, EV_DUPLICATE, EV_ESTABLISHED, EV_RESET, EV_RST_DUE, EV_SYN, EV_UNACCEPTABLE
from tcp.ip6 import FIRST_NUMBER
from tcp.open import DEFAULT_MSS, DEFAULT_MSS_IP6, accept, listen
from tcp.reset import reset_for
from tcp.segment import OPT_MSS
from tests.tcp.builders import IRS, ISS, LOCAL, MSS, PEER, START, Endpoint, Sent, at, bits, ours, sent_of, theirs


def test_closed_connect() -> None:
    endpoint = Endpoint().connect()
    fields = endpoint.snapshot()
    assert endpoint.state == "SYN_SENT"
    assert (fields["local_ip"], fields["local_port"], fields["peer_ip"], fields["peer_port"]) == (*LOCAL, *PEER)
    assert (fields["bits"], fields["snd_end"], fields["deadline"]) == (CLIENT, ours(1), 0)
    assert endpoint.sends() == [Sent("S", ISS, 0, mss=MSS)]
    assert endpoint.conn.deadline == START // 1000 + 1000 + 1
    assert endpoint.cold_is_untouched


def test_syn_sent_synack() -> None:
    endpoint = at("SYN_SENT")
    endpoint.now += 30_000
    assert endpoint.gets("SA", theirs(0), ours(1), wnd=5000, mss=500) == EV_ESTABLISHED | EV_ACKED
    assert endpoint.state == "ESTABLISHED"
    assert (endpoint.conn.snd_wnd, endpoint.conn.mss, endpoint.conn.snd_una) == (5000, 500, ours(1))
    assert endpoint.conn.srtt == pytest.approx(30_000 / 64, abs=1)
    assert endpoint.conn.deadline == 0
    endpoint.queue(10)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1)), Sent("PA", ours(1), theirs(1), 10)]
    assert endpoint.sends() == []
    assert endpoint.cold_is_untouched


@pytest.mark.parametrize(("option", "mss"), [(0, DEFAULT_MSS), (1, 48), (48, 48), (900, 900), (65535, MSS)])
def test_listen_mss(option: int, mss: int) -> None:
    assert Endpoint().accept(mss=option).conn.mss == mss


def test_listen_mss_of_zero() -> None:
    endpoint = Endpoint()
    endpoint._fill("S", IRS, 0, 0, 65535, 0)
    endpoint.segment.opts = OPT_MSS
    accept(endpoint.conn, endpoint.cold, endpoint.segment, endpoint.limits.record, *LOCAL, *PEER, ISS, endpoint.now)
    assert endpoint.conn.mss == DEFAULT_MSS


@pytest.mark.conformance("rfc9293:MUST-15.2", "rfc9293:SHLD-5.2")
@pytest.mark.parametrize(("option", "mss"), [(0, DEFAULT_MSS_IP6), (48, 48), (1300, 1300), (65535, 1440)])
def test_listen_mss_over_ip6(option: int, mss: int) -> None:
    """RFC 9293 section 3.7.1: 1220 where the peer names none, and 20 less than over IPv4 for our own."""
    endpoint = Endpoint()
    endpoint.limits.record.mss = 1460
    endpoint._fill("S", IRS, 0, 0, 65535, 0)
    endpoint.segment.opts, endpoint.segment.mss = OPT_MSS if option else 0, option
    ours, theirs = (FIRST_NUMBER, LOCAL[1]), (FIRST_NUMBER + 1, PEER[1])
    accept(endpoint.conn, endpoint.cold, endpoint.segment, endpoint.limits.record, *ours, *theirs, ISS, 0)
    assert endpoint.conn.mss == mss
    assert endpoint.sends()
    assert endpoint.out.mss == 1440


@pytest.mark.parametrize("ack", [-70000, 0, 2, 5])
@pytest.mark.parametrize("flags", ["A", "SA", "FA"])
def test_syn_sent_ack_of_something_never_sent(flags: str, ack: int) -> None:
    endpoint = at("SYN_SENT")
    before = endpoint.snapshot()
    assert endpoint.gets(flags, theirs(0), ours(ack)) == EV_RST_DUE | EV_UNACCEPTABLE
    assert reset_for(endpoint.segment, endpoint.out)
    assert sent_of(endpoint.out) == Sent("R", ours(ack), 0)
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


def test_syn_sent_ack_before_the_syn_left() -> None:
    endpoint = Endpoint().connect()
    assert endpoint.gets("SA", theirs(0), ours(1)) == EV_RST_DUE | EV_UNACCEPTABLE
    assert endpoint.state == "SYN_SENT"


@pytest.mark.parametrize(("ack", "flags"), [(0, "R"), (0, "RA"), (2, "RA"), (1, "R")])
def test_syn_sent_rst_unacceptable(ack: int, flags: str) -> None:
    endpoint = at("SYN_SENT")
    before = endpoint.snapshot()
    assert endpoint.gets(flags, theirs(0), ours(ack)) == EV_UNACCEPTABLE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


def test_syn_sent_rst() -> None:
    endpoint = at("SYN_SENT")
    assert endpoint.gets("RA", 0, ours(1)) == EV_RESET | EV_CLOSED
    assert endpoint.state == "CLOSED"
    assert endpoint.conn.deadline == 0
    assert endpoint.sends() == []


@pytest.mark.parametrize("flags", ["A", "FA", "PA"])
def test_syn_sent_ack_without_syn(flags: str) -> None:
    endpoint = at("SYN_SENT")
    before = endpoint.snapshot()
    assert endpoint.gets(flags, theirs(0), ours(1)) == EV_UNACCEPTABLE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


def test_syn_sent_close() -> None:
    endpoint = at("SYN_SENT")
    endpoint.close()
    assert endpoint.state == "CLOSED"
    assert endpoint.sends() == []


def test_syn_sent_queued_data_waits() -> None:
    endpoint = at("SYN_SENT")
    endpoint.queue(100)
    assert endpoint.sends() == []
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1)), Sent("PA", ours(1), theirs(1), 100)]


def test_listen_syn() -> None:
    endpoint = Endpoint().accept(wnd=4000, mss=400)
    assert endpoint.state == "SYN_RECEIVED"
    assert (endpoint.conn.rcv_nxt, endpoint.conn.snd_wnd, endpoint.conn.mss) == (theirs(1), 4000, 400)
    assert endpoint.sends() == [Sent("SA", ISS, theirs(1), mss=MSS)]
    assert endpoint.cold_is_untouched


@pytest.mark.parametrize(
    ("flags", "events"),
    [("S", EV_SYN), ("SF", EV_SYN), ("R", 0), ("RA", 0), ("RS", 0), ("A", EV_RST_DUE), ("SA", EV_RST_DUE), ("F", 0), ("", 0)],
)
def test_listen_flags(flags: str, events: int) -> None:
    endpoint = Endpoint()
    endpoint.segment.tcp_flags = bits(flags)
    assert listen(endpoint.segment) == events


def test_syn_received_ack() -> None:
    endpoint = at("SYN_RECEIVED")
    endpoint.now += 1000
    assert endpoint.gets("A", theirs(1), ours(1), wnd=3000) == EV_ESTABLISHED | EV_ACKED
    assert endpoint.state == "ESTABLISHED"
    assert (endpoint.conn.snd_wnd, endpoint.conn.srtt) == (3000, 16)
    assert endpoint.sends() == []
    assert endpoint.cold_is_untouched


def test_syn_received_syn_again() -> None:
    endpoint = at("SYN_RECEIVED")
    assert endpoint.gets("S", IRS) == EV_UNACCEPTABLE | EV_DUPLICATE
    assert endpoint.sends() == [Sent("SA", ISS, theirs(1), mss=MSS, rexmit=1)]
    assert endpoint.state == "SYN_RECEIVED"


@pytest.mark.parametrize("ack", [-1, 0, 2])
def test_syn_received_bad_ack(ack: int) -> None:
    endpoint = at("SYN_RECEIVED")
    before = endpoint.snapshot()
    assert endpoint.gets("A", theirs(1), ours(ack)) == EV_RST_DUE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


def test_syn_received_new_syn_in_window() -> None:
    endpoint = at("SYN_RECEIVED")
    assert endpoint.gets("S", theirs(100)) == EV_RESET | EV_CLOSED
    assert endpoint.sends() == []


def test_syn_received_rst() -> None:
    endpoint = at("SYN_RECEIVED")
    assert endpoint.gets("R", theirs(1)) == EV_RESET | EV_CLOSED


def test_syn_received_outside_window() -> None:
    endpoint = at("SYN_RECEIVED")
    assert endpoint.gets("A", theirs(1) - 100, ours(1)) == EV_UNACCEPTABLE | EV_DUPLICATE
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]


def test_syn_received_close_sends_fin_after_the_handshake() -> None:
    endpoint = at("SYN_RECEIVED")
    endpoint.close()
    assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(1))
    assert endpoint.sends() == [Sent("FA", ours(1), theirs(1))]
    assert endpoint.state == "FIN_WAIT_1"


def test_simultaneous_open() -> None:
    one, two = at("SYN_SENT"), Endpoint(iss=IRS).connect()
    assert two.sends() == [Sent("S", IRS, 0, mss=MSS)]
    assert one.gets("S", IRS, mss=MSS) == EV_SYN
    assert two.gets("S", ISS, mss=MSS) == EV_SYN
    assert int(one.conn.state) == int(two.conn.state) == SYN_RECEIVED
    assert one.sends() == [Sent("SA", ISS, theirs(1), mss=MSS)]
    assert two.sends() == [Sent("SA", IRS, ours(1), mss=MSS)]
    assert one.gets("SA", IRS, ours(1), mss=MSS) == EV_ESTABLISHED | EV_ACKED
    assert two.gets("SA", ISS, theirs(1), mss=MSS) == EV_ESTABLISHED | EV_ACKED
    assert (one.state, two.state) == ("ESTABLISHED", "ESTABLISHED")
    assert one.sends() == two.sends() == []


def test_simultaneous_open_after_a_lost_syn() -> None:
    endpoint = at("SYN_SENT")
    endpoint.expire()
    assert endpoint.gets("S", IRS, mss=MSS) == EV_SYN
    assert [sent.flags for sent in endpoint.sends()] == ["SA"]
    assert endpoint.gets("A", theirs(1), ours(1)) == EV_ESTABLISHED | EV_ACKED


@pytest.mark.parametrize(
    ("flags", "payload", "reset"),
    [
        ("S", 0, Sent("RA", 0, theirs(1))),
        ("SF", 5, Sent("RA", 0, theirs(7))),
        ("", 3, Sent("RA", 0, theirs(3))),
        ("A", 9, Sent("R", ours(1), 0)),
        ("SA", 0, Sent("R", ours(1), 0)),
        ("R", 0, None),
        ("RA", 0, None),
    ],
)
def test_closed_any(flags: str, payload: int, reset: Sent | None) -> None:
    endpoint = Endpoint()
    events = endpoint.gets(flags, theirs(0), ours(1), payload)
    assert events == (EV_RST_DUE if reset else 0)
    assert (sent_of(endpoint.out) if reset_for(endpoint.segment, endpoint.out) else None) == reset
    assert endpoint.sends() == []
