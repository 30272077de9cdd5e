"""Explicit congestion notification, the receiver's side: RFC 3168 section 6.1."""

from __future__ import annotations

import pytest

from tcp.connection import ECN_OK
from tests.tcp.builders import MSS, Endpoint, ours, theirs

CE, ECT_0, NOT_ECT = 3, 2, 0


def flags_of(endpoint: Endpoint) -> list[str]:
    return [sent.flags for sent in endpoint.sends()]


def agreed() -> Endpoint:
    endpoint = Endpoint(ecn=1).connect()
    assert flags_of(endpoint) == ["SEC"]
    endpoint.gets("SAE", theirs(0), ours(1), mss=MSS)
    assert flags_of(endpoint) == ["A"]
    assert int(endpoint.conn.bits) & ECN_OK
    return endpoint


@pytest.mark.conformance("rfc9293:SHLD-8")
@pytest.mark.parametrize(("ecn", "flags", "answer"), [(1, "SEC", "SAE"), (1, "S", "SA"), (1, "SE", "SA"), (0, "SEC", "SA")])
def test_listen_syn_asks_for_ecn(ecn: int, flags: str, answer: str) -> None:
    endpoint = Endpoint(ecn=ecn).accept(flags, mss=MSS)
    assert flags_of(endpoint) == [answer]
    assert bool(int(endpoint.conn.bits) & ECN_OK) == (answer == "SAE")


@pytest.mark.parametrize("flags", ["SA", "SAEC"])
def test_syn_sent_peer_without_ecn(flags: str) -> None:
    """A SYN-ACK with both bits is one that reflects what it gets (RFC 3168 section 6.1.1)."""
    endpoint = Endpoint(ecn=1).connect()
    endpoint.sends()
    endpoint.gets(flags, theirs(0), ours(1), mss=MSS)
    assert not int(endpoint.conn.bits) & ECN_OK


def test_syn_sent_again_without_ecn() -> None:
    """RFC 3168 section 6.1.1.1."""
    endpoint = Endpoint(ecn=1).connect()
    assert flags_of(endpoint) == ["SEC"]
    endpoint.expire()
    assert flags_of(endpoint) == ["S"]
    endpoint.gets("SAE", theirs(0), ours(1), mss=MSS)
    assert not int(endpoint.conn.bits) & ECN_OK


def test_established_mark_is_echoed_until_it_was_heard() -> None:
    endpoint = agreed()
    endpoint.gets("A", theirs(1), ours(1), 10, tos=ECT_0)
    assert flags_of(endpoint) == ["A"]
    endpoint.gets("A", theirs(11), ours(1), 10, tos=CE)
    assert flags_of(endpoint) == ["AE"]
    endpoint.gets("A", theirs(21), ours(1), 10, tos=ECT_0)
    assert flags_of(endpoint) == ["AE"]
    endpoint.gets("AC", theirs(31), ours(1), 10, tos=ECT_0)
    assert flags_of(endpoint) == ["A"]
    endpoint.gets("AC", theirs(41), ours(1), 10, tos=CE)
    assert flags_of(endpoint) == ["AE"]


def test_established_mark_means_nothing_without_agreement() -> None:
    endpoint = Endpoint().connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1), 10, tos=CE)
    assert flags_of(endpoint) == ["A"]


@pytest.mark.conformance("packetdrill:ecn/ecn-uses-ect0")
def test_established_new_text_may_be_marked_and_nothing_else() -> None:
    """RFC 3168 sections 6.1.4 and 6.1.5: neither ACKs nor what is sent again."""
    endpoint = agreed()
    endpoint.gets("A", theirs(1), ours(1), 10, tos=CE)
    endpoint.sends()
    assert endpoint.out.ect == NOT_ECT
    endpoint.queue(5)
    endpoint.sends()
    assert endpoint.out.ect == ECT_0
    endpoint.expire()
    assert [sent.rexmit for sent in endpoint.sends()] == [1]
    assert endpoint.out.ect == NOT_ECT


@pytest.mark.parametrize("role", ["client", "server"])
def test_established_first_text_may_be_marked(role: str) -> None:
    """Before anything else than the handshake was sent or received, and nothing but CONN is in use."""
    if role == "client":
        endpoint = agreed()
    else:
        endpoint = Endpoint(ecn=1).accept("SEC", mss=MSS)
        endpoint.sends()
        endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(5)
    assert flags_of(endpoint) == ["PA"]
    assert endpoint.cold_is_untouched
    assert endpoint.out.ect == ECT_0


def test_established_a_window_probe_says_nothing_of_congestion() -> None:
    """RFC 3168 section 6.1.6: neither ECT nor CWR; that is left for the text that follows."""
    endpoint = agreed()
    endpoint.queue(10)
    endpoint.sends()
    endpoint.gets("AE", theirs(1), ours(11), wnd=0)
    endpoint.queue(10)
    assert endpoint.sends() == []
    endpoint.expire()
    assert [(sent.flags, sent.seq, sent.payload_len) for sent in endpoint.sends()] == [("A", ours(11), 1)]
    assert endpoint.out.ect == NOT_ECT
    endpoint.gets("A", theirs(1), ours(12), wnd=65535)
    assert flags_of(endpoint) == ["PAC"]
    assert endpoint.out.ect == ECT_0
