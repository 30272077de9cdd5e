"""Segments of attackers and lost souls: RFC 5961, and how often they are answered."""

from __future__ import annotations

import pytest

from tcp.events import EV_CHALLENGE, EV_DUPLICATE, EV_UNACCEPTABLE
from tests.tcp.builders import MSS, Sent, at, ours, theirs

ACK = [Sent("A", ours(1), theirs(1))]


@pytest.mark.conformance("smoltcp:established_bad_seq_challenge_ack_updated", "smoltcp:established_bad_seq", "rfc9293:MAY-12")
@pytest.mark.parametrize(
    ("flags", "seq", "ack", "event"),
    [
        ("R", 5, 0, EV_CHALLENGE),
        ("S", 5, 0, EV_CHALLENGE),
        ("A", 1, 100, EV_CHALLENGE),
        ("A", 0, 1, EV_UNACCEPTABLE | EV_DUPLICATE),
        ("A", 70_000, 1, EV_UNACCEPTABLE),
    ],
)
def test_established_ten_answers_in_five_seconds(flags: str, seq: int, ack: int, event: int) -> None:
    """RFC 5961 section 7."""
    endpoint = at("ESTABLISHED")
    for _ in range(2):
        for k in range(15):
            assert endpoint.gets(flags, theirs(seq), ours(ack)) == event
            assert endpoint.sends() == (ACK if k < 10 else [])
            endpoint.now += 100_000
        endpoint.now += 3_500_000


def test_the_engine_has_a_limit_for_all_connections() -> None:
    one, two = at("ESTABLISHED", challenge_limit=3), at("ESTABLISHED")
    two.limits = one.limits
    for k in range(5):
        for endpoint in (one, two):
            endpoint.gets("R", theirs(5))
        assert len(one.sends() + two.sends()) == (2, 1, 0, 0, 0)[k]
    one.now += 1_000_000
    one.gets("R", theirs(5))
    assert one.sends() == ACK


@pytest.mark.conformance("smoltcp:old_data_ack_not_rate_limited")
def test_established_old_data_is_always_acknowledged() -> None:
    """A peer that sends data again has not had the ACK."""
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), 10)
    endpoint.sends()
    for _ in range(50):
        endpoint.gets("A", theirs(1), ours(1), 10)
        assert endpoint.sends() == [Sent("A", ours(1), theirs(11))]


@pytest.mark.conformance("smoltcp:bad_seq_syn_with_data_rate_limited")
def test_established_syn_with_data_is_not() -> None:
    endpoint = at("ESTABLISHED")
    answers = 0
    for _ in range(50):
        endpoint.gets("S", theirs(-100), ours(1), 10)
        answers += len(endpoint.sends())
    assert answers == 10


@pytest.mark.conformance("smoltcp:bad_seq_rst_dropped_silently", "smoltcp:established_rst_bad_seq", "lwip:process_rst_seqno")
def test_established_rst_outside_the_window() -> None:
    endpoint = at("ESTABLISHED")
    before = endpoint.snapshot()
    for seq in (-1, 65536, 1 << 30):
        assert endpoint.gets("R", theirs(seq)) == EV_UNACCEPTABLE
    assert (endpoint.changed(before), endpoint.sends()) == ({}, [])


@pytest.mark.conformance("smoltcp:established_bad_ack")
def test_established_oldest_ack_that_counts() -> None:
    """RFC 5961 section 5.2: not before SND.UNA - MAX.SND.WND."""
    endpoint = at("ESTABLISHED")
    endpoint.conn.snd_shift = 2
    endpoint.gets("R", theirs(9))
    endpoint.gets("A", theirs(1), ours(1), wnd=65535)
    endpoint.sends()
    for back, event in ((65535 * 4, 0), (65535 * 4 + 1, EV_CHALLENGE)):
        endpoint.conn.snd_una = endpoint.conn.snd_nxt = endpoint.conn.snd_end = ours(1)
        assert endpoint.gets("A", theirs(1), ours(1 - back)) == event
        endpoint.sends()


@pytest.mark.conformance("smoltcp:last_ack_duplicate_ack_challenge_ack", "smoltcp:last_ack_partial_ack_no_challenge_ack")
def test_last_ack_duplicate_ack_is_heard_in_silence() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("FA", theirs(1), ours(1))
    endpoint.queue(MSS)
    endpoint.close()
    assert [sent.flags for sent in endpoint.sends()] == ["FPA"]
    assert endpoint.gets("A", theirs(2), ours(1)) == 0
    assert endpoint.sends() == []
    endpoint.gets("A", theirs(2), ours(11))
    assert (endpoint.state, endpoint.sends()) == ("LAST_ACK", [])
