"""ICMP errors: RFC 1122 section 4.2.3.9, RFC 1191, RFC 5927."""

from __future__ import annotations

import pytest

from tcp.events import EV_CLOSED, EV_RESET, EV_RETRANSMIT, EV_SOFT_ERROR
from tcp.icmp import FRAGMENTATION_NEEDED, on_icmp, plateau
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs

SOFT = [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)]
HARD = [(3, 2), (3, 3)]


def told(endpoint: Endpoint, kind: int, code: int, seq: int, mtu: int = 0) -> int:
    return int(on_icmp(endpoint.conn, endpoint.cold, endpoint.limits.record, kind, code, seq, mtu, endpoint.now))


def sending(size: int = 10, **limits: int) -> Endpoint:
    endpoint = at("ESTABLISHED", **limits)
    endpoint.queue(size)
    endpoint.sends()
    return endpoint


@pytest.mark.conformance("rfc9293:MUST-56.1", "rfc9293:MUST-56.2", "rfc9293:MUST-56.3", "rfc9293:MUST-54", "rfc9293:SHLD-25")
@pytest.mark.parametrize(("kind", "code"), SOFT)
@pytest.mark.parametrize("state", ["SYN_SENT", "SYN_RECEIVED", "ESTABLISHED"])
def test_soft_errors_are_remembered(state: str, kind: int, code: int) -> None:
    endpoint = sending() if state == "ESTABLISHED" else at(state)
    seq = ours(1) if state == "ESTABLISHED" else ours(0)
    assert told(endpoint, kind, code, seq) == EV_SOFT_ERROR
    assert endpoint.cold.soft_error == kind << 8 | code
    assert (endpoint.state, endpoint.sends()) == (state, [])


@pytest.mark.conformance("rfc9293:SHLD-26", "packetimpact:TCPSynSentUnreachable")
@pytest.mark.parametrize(("kind", "code"), HARD)
@pytest.mark.parametrize("state", ["SYN_SENT", "SYN_RECEIVED"])
def test_hard_errors_end_a_handshake(state: str, kind: int, code: int) -> None:
    endpoint = at(state)
    assert told(endpoint, kind, code, ours(0)) == EV_CLOSED | EV_RESET
    assert (endpoint.state, endpoint.conn.deadline, endpoint.sends()) == ("CLOSED", 0, [])


@pytest.mark.parametrize(("kind", "code"), HARD)
def test_established_hard_errors_are_soft(kind: int, code: int) -> None:
    """RFC 5927 section 5.2: otherwise anybody could end a connection."""
    endpoint = sending()
    assert told(endpoint, kind, code, ours(1)) == EV_SOFT_ERROR
    assert endpoint.state == "ESTABLISHED"


@pytest.mark.conformance("rfc9293:MUST-55")
def test_source_quench_is_discarded() -> None:
    endpoint = sending()
    before = endpoint.snapshot()
    assert told(endpoint, 4, 0, ours(1)) == 0
    assert (endpoint.changed(before), endpoint.sends()) == ({}, [])


@pytest.mark.parametrize("seq", [ours(0), ours(11), ours(5000), ours(-1 << 30)])
@pytest.mark.parametrize(("kind", "code"), [*SOFT, *HARD, (3, 4)])
def test_errors_for_what_is_not_in_flight_are_discarded(kind: int, code: int, seq: int) -> None:
    """RFC 5927 section 4.1."""
    endpoint = sending()
    before = endpoint.snapshot()
    assert told(endpoint, kind, code, seq, 600) == 0
    assert (endpoint.changed(before), endpoint.sends()) == ({}, [])


@pytest.mark.conformance("rfc9293:SHLD-6")
@pytest.mark.parametrize(("mtu", "mss"), [(640, 600), (600, 560), (100, 512), (552, 512), (0, 966)])
def test_established_segments_too_large_are_sent_again_smaller(mtu: int, mss: int) -> None:
    endpoint = sending(MSS)
    assert told(endpoint, 3, FRAGMENTATION_NEEDED, ours(1), mtu) == EV_RETRANSMIT
    assert endpoint.conn.mss == mss
    again = endpoint.sends()
    assert [(sent.seq, sent.payload_len, sent.rexmit) for sent in again] == [
        (ours(1), mss, 1), (ours(1 + mss), MSS - mss, 1),
    ]  # fmt: skip
    assert endpoint.gets("A", theirs(1), ours(1 + MSS)) & 1 == 0
    assert endpoint.conn.snd_una == ours(1 + MSS)


@pytest.mark.parametrize("mtu", [MSS + 40, 1500, 65535])
def test_established_larger_mtu_is_no_news(mtu: int) -> None:
    endpoint = sending(MSS)
    before = endpoint.snapshot()
    assert told(endpoint, 3, FRAGMENTATION_NEEDED, ours(1), mtu) == 0
    assert (endpoint.changed(before), endpoint.sends()) == ({}, [])


def test_syn_sent_too_large() -> None:
    endpoint = at("SYN_SENT")
    assert told(endpoint, 3, FRAGMENTATION_NEEDED, ours(0), 600) == EV_SOFT_ERROR
    assert endpoint.sends() == []


def test_plateaus() -> None:
    assert [plateau(size) for size in (65535, 1500, 1492, 1006, 68)] == [32000, 1492, 1006, 508, 68]


def test_established_retransmission_is_the_whole_of_it() -> None:
    endpoint = sending(10)
    assert told(endpoint, 3, FRAGMENTATION_NEEDED, ours(1), 600) == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(1), 10, rexmit=1)]
