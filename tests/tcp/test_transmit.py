"""What is sent, and when: windows, FIN, fast retransmit, probes."""

from __future__ import annotations

import pytest

from tcp.congestion import RENO
from tcp.connection import PERSIST, TIMED
from tcp.events import EV_ACKED, EV_CLOSED, EV_FIN_ACKED, EV_RETRANSMIT
from tests.tcp.builders import MSS, START, Sent, at, ours, theirs


def test_established_data_is_cut_to_mss() -> None:
    endpoint = at("ESTABLISHED")
    assert endpoint.queue(2500) == 2500
    assert endpoint.sends() == [
        Sent("A", ours(1), theirs(1), 1000),
        Sent("A", ours(1001), theirs(1), 1000),
        Sent("PA", ours(2001), theirs(1), 500),
    ]
    assert endpoint.conn.deadline == endpoint.now // 1000 + 201
    assert endpoint.cold_is_untouched


def test_established_ack_rides_on_data() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("PA", theirs(1), ours(1), 16)
    endpoint.queue(16)
    endpoint.close()
    assert endpoint.sends() == [Sent("FPA", ours(1), theirs(17), 16)]
    assert endpoint.state == "FIN_WAIT_1"


def test_established_initial_window() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(50 * MSS)
    assert len(endpoint.sends()) == 10
    endpoint.gets("A", theirs(1), ours(1 + 2 * MSS))
    assert [sent.seq for sent in endpoint.sends()] == [ours(1 + MSS * k) for k in range(10, 14)]


@pytest.mark.conformance("lwip:persist_split")
def test_established_small_window() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=1500)
    endpoint.queue(3000)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), 1000)]
    # Far less than half of what there was: it waits for more, but not for ever.
    endpoint.gets("A", theirs(1), ours(1001), wnd=300)
    assert endpoint.sends() == []
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.now == START + 201_000
    assert endpoint.sends() == [Sent("A", ours(1001), theirs(1), 300)]


def test_established_fin_needs_room() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=10)
    endpoint.queue(10)
    endpoint.close()
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(1), 10)]
    endpoint.gets("A", theirs(1), ours(11), wnd=10)
    assert endpoint.sends() == [Sent("FA", ours(11), theirs(1))]


def test_queue_is_bounded_and_ends_with_close() -> None:
    endpoint = at("ESTABLISHED")
    assert endpoint.queue(1 << 31) == 1 << 30
    assert endpoint.queue(1) == 0
    endpoint.close()
    assert endpoint.queue(5) == 0
    assert at("CLOSED").queue(5) == 0


def test_round_trip_is_measured_once() -> None:
    endpoint = at("ESTABLISHED", rto_min=1)
    endpoint.queue(10)
    endpoint.sends()
    endpoint.now += 50_000
    endpoint.gets("A", theirs(1), ours(11))
    first = int(endpoint.conn.srtt)
    assert first > 50_000 / 64 / 8
    assert not endpoint.conn.bits & TIMED
    endpoint.now += 5_000_000
    endpoint.gets("A", theirs(1), ours(11))
    assert endpoint.conn.srtt == first


def test_round_trip_of_a_later_segment() -> None:
    endpoint = at("ESTABLISHED", rto_min=1)
    endpoint.queue(10)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(6))
    endpoint.queue(10)
    endpoint.sends()
    endpoint.now += 64_000
    before = int(endpoint.conn.srtt)
    endpoint.gets("A", theirs(1), ours(11))
    assert endpoint.conn.srtt == before
    endpoint.gets("A", theirs(1), ours(21))
    assert endpoint.conn.srtt > before


def test_established_three_duplicate_acks() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(8 * MSS)
    assert len(endpoint.sends()) == 8
    for _ in range(2):
        assert endpoint.gets("A", theirs(1), ours(1)) == 0
        assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(1))
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), MSS, rexmit=1)]
    assert (endpoint.cold.ssthresh, endpoint.cold.cwnd) == (4 * MSS, 7 * MSS)
    endpoint.gets("A", theirs(1), ours(1))
    assert endpoint.sends() == []
    # A partial ACK: the next hole at once. The whole ACK: back to ssthresh.
    endpoint.gets("A", theirs(1), ours(1 + 3 * MSS))
    assert endpoint.sends() == [Sent("A", ours(1 + 3 * MSS), theirs(1), MSS, rexmit=1)]
    endpoint.gets("A", theirs(1), ours(1 + 8 * MSS))
    assert (endpoint.sends(), int(endpoint.cold.cwnd)) == ([], 4 * MSS)


def test_established_duplicate_acks_with_data_or_window_do_not_count() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(8 * MSS)
    endpoint.sends()
    for k in range(5):
        endpoint.gets("PA", theirs(1 + k), ours(1), 1)
        endpoint.gets("A", theirs(2 + k), ours(1), wnd=60000 - k)
    assert [sent.rexmit for sent in endpoint.sends()] == [0]


def test_established_congestion_avoidance() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(100 * MSS)
    endpoint.sends()
    endpoint.cold.ssthresh = 10 * MSS
    endpoint.gets("A", theirs(1), ours(1 + MSS))
    assert endpoint.cold.cwnd == 10 * MSS + MSS // 10


def test_established_shut_window_is_probed() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(100)
    assert endpoint.sends() == []
    assert endpoint.conn.bits & PERSIST
    gaps = []
    for _ in range(20):
        before = endpoint.now
        assert endpoint.expire() == EV_RETRANSMIT
        gaps.append((endpoint.now - before) // 1000)
        sent = endpoint.sends()
        assert [(s.seq, s.payload_len) for s in sent] == [(ours(1), 1)]
        assert endpoint.gets("A", theirs(1), ours(1), wnd=0) == 0
        assert endpoint.sends() == []
    assert gaps[1] >= 1.9 * gaps[0]
    assert gaps[-1] == pytest.approx(60_000, abs=2)
    endpoint.gets("A", theirs(1), ours(1), wnd=1000)
    assert [(s.seq, s.payload_len) for s in endpoint.sends()] == [(ours(1), 100)]
    assert endpoint.conn.deadline == endpoint.now // 1000 + 201
    assert endpoint.gets("A", theirs(1), ours(101)) == EV_ACKED
    assert endpoint.conn.deadline == 0


def test_established_probe_byte_is_taken() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(100)
    endpoint.sends()
    endpoint.expire()
    endpoint.sends()
    assert endpoint.gets("A", theirs(1), ours(2), wnd=500) == EV_ACKED
    assert [(s.seq, s.payload_len) for s in endpoint.sends()] == [(ours(2), 99)]


def test_close_wait_fin_into_a_shut_window() -> None:
    endpoint = at("CLOSE_WAIT")
    endpoint.gets("A", theirs(2), ours(1), wnd=0)
    endpoint.close()
    assert endpoint.sends() == []
    endpoint.expire()
    assert [sent.flags for sent in endpoint.sends()] == ["FA"]
    assert endpoint.state == "LAST_ACK"
    assert endpoint.gets("A", theirs(2), ours(2), wnd=0) == EV_ACKED | EV_FIN_ACKED | EV_CLOSED
