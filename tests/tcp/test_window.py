"""The peer's window: shut, opened by bytes, shrunk (RFC 9293 section 3.8.6), and retransmission as other suites test it."""

from __future__ import annotations

import pytest

from tcp.congestion import RENO
from tcp.connection import PERSIST
from tcp.events import EV_ACKED, EV_CLOSED, EV_DOUBT, EV_RETRANSMIT, EV_TIMEOUT
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs

conformance = pytest.mark.conformance


def shut(queued: int = 100) -> Endpoint:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(queued)
    assert endpoint.sends() == []
    return endpoint


@conformance(
    "smoltcp:zero_window_probe_enter_on_send",
    "packetimpact:ZeroWindowProbe",
    "rfc9293:MUST-35",
    "rfc9293:MUST-36",
    "rfc9293:SHLD-29",
)
def test_established_data_for_a_shut_window_is_probed_after_one_timeout() -> None:
    endpoint = shut()
    assert endpoint.conn.deadline == endpoint.now // 1000 + int(endpoint.conn.rto) + 1
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), 1)]


@conformance("smoltcp:zero_window_probe_enter_on_win_update")
def test_established_a_window_that_shuts_is_probed() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(3 * MSS)
    endpoint.sends()
    endpoint.queue(MSS)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1 + 4 * MSS), wnd=0)
    endpoint.queue(10)
    assert endpoint.sends() == []
    endpoint.expire()
    assert endpoint.sends() == [Sent("A", ours(1 + 4 * MSS), theirs(1), 1)]


@conformance("smoltcp:zero_window_probe_exit")
def test_established_a_window_that_opens_ends_probing() -> None:
    endpoint = shut(3 * MSS)
    endpoint.expire()
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1), wnd=2 * MSS)
    assert [(one.seq, one.payload_len) for one in endpoint.sends()] == [(ours(1), MSS), (ours(1 + MSS), MSS)]
    assert not endpoint.conn.bits & PERSIST


@conformance("smoltcp:zero_window_probe_exit_ack", "smoltcp:zero_window_probe_shift")
def test_established_a_probe_that_is_taken_goes_on_from_there() -> None:
    endpoint = shut(100)
    for taken in range(1, 4):
        endpoint.expire()
        assert [(one.seq, one.payload_len) for one in endpoint.sends()] == [(ours(taken), 1)]
        assert endpoint.gets("A", theirs(1), ours(1 + taken), wnd=0) == EV_ACKED
        assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(4), wnd=1000)
    assert endpoint.sends() == [Sent("PA", ours(4), theirs(1), 97)]


@conformance("smoltcp:zero_window_probe_not_capped_by_cwnd")
def test_established_a_probe_does_not_mind_the_congestion_window() -> None:
    endpoint = shut()
    endpoint.expire()
    endpoint.cold.cwnd = 0
    assert [one.payload_len for one in endpoint.sends()] == [1]


@conformance(
    "smoltcp:zero_window_probe_backoff_nack_reply",
    "packetimpact:ZeroWindowProbeRetransmit",
    "rfc9293:SHLD-30",
    "rfc9293:MUST-37",
)
def test_established_a_shut_window_is_probed_for_as_long_as_the_peer_answers() -> None:
    endpoint = shut()
    began, gap = endpoint.now, 0
    for _ in range(40):
        before = endpoint.now
        assert endpoint.expire() == EV_RETRANSMIT
        assert endpoint.now - before >= min(1.9 * gap, 59_000_000)
        gap = endpoint.now - before
        assert [one.payload_len for one in endpoint.sends()] == [1]
        endpoint.gets("A", theirs(1), ours(1), wnd=0)
    assert endpoint.now - began > 2 * 924_000_000
    assert endpoint.state == "ESTABLISHED"


@conformance("smoltcp:zero_window_probe_backoff_no_reply", "lwip:zwp_timeout")
def test_established_a_peer_that_answers_no_probe_is_given_up() -> None:
    endpoint = at("ESTABLISHED", retries=5)
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(100)
    endpoint.sends()
    for count in range(1, 6):
        assert endpoint.expire() == (EV_RETRANSMIT | EV_DOUBT if count == 3 else EV_RETRANSMIT)
        assert [one.payload_len for one in endpoint.sends()] == [1]
    assert endpoint.expire() == EV_CLOSED | EV_TIMEOUT


@conformance("packetimpact:ZeroWindowProbeUserTimeout")
def test_established_unanswered_probes_end_with_the_user_timeout() -> None:
    endpoint = at("ESTABLISHED", user_timeout_ms=3000)
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(100)
    endpoint.sends()
    began = endpoint.now
    while endpoint.expire() & EV_RETRANSMIT:
        endpoint.sends()
    assert 3_000_000 <= endpoint.now - began < 6_400_000


@conformance("rfc9293:MUST-38")
def test_established_a_window_opened_by_single_bytes_brings_no_tiny_segments() -> None:
    endpoint = shut(5 * MSS)
    for n in range(1, 100):
        endpoint.gets("A", theirs(1), ours(1), wnd=n)
        assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(1), wnd=MSS)
    assert [one.payload_len for one in endpoint.sends()] == [MSS]


@conformance("rfc9293:MUST-38")
def test_established_a_window_that_was_never_larger_is_used_from_its_half_on() -> None:
    endpoint = Endpoint().connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS, wnd=600)
    endpoint.sends()
    endpoint.queue(5 * MSS)
    assert [one.payload_len for one in endpoint.sends()] == [600]
    endpoint.gets("A", theirs(1), ours(601), wnd=299)
    assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(601), wnd=300)
    assert [one.payload_len for one in endpoint.sends()] == [300]


@conformance(
    "rfc9293:SHLD-15", "rfc9293:SHLD-16", "rfc9293:SHLD-17", "packetimpact:WindowShrink", "smoltcp:established_send_window_shrink"
)
def test_established_a_shrunk_window_keeps_snd_nxt() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(10 * MSS)
    assert len(endpoint.sends()) == 10
    endpoint.gets("A", theirs(1), ours(1), wnd=2 * MSS)
    endpoint.queue(MSS)
    assert endpoint.sends() == []
    assert endpoint.conn.snd_nxt == ours(1 + 10 * MSS)
    assert endpoint.expire() == EV_RETRANSMIT
    assert [one.seq for one in endpoint.sends()] == [ours(1)]
    # ACKs for what is beyond the window count.
    assert endpoint.gets("A", theirs(1), ours(1 + 10 * MSS), wnd=2 * MSS) == EV_ACKED
    assert [one.seq for one in endpoint.sends()] == [ours(1 + 10 * MSS)]


@conformance("rfc9293:MUST-1", "rfc9293:REC-1")
def test_established_a_window_is_a_number_without_a_sign() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=0xFFFF)
    endpoint.queue(100 * MSS)
    endpoint.sends()
    endpoint.cold.cwnd = 1 << 20
    endpoint.sends()
    assert (int(endpoint.conn.snd_nxt) - ours(1)) & 0xFFFFFFFF == 65 * MSS


@conformance("smoltcp:fill_peer_window", "lwip:tx_full_window_lost_from_unacked")
def test_established_a_full_window_that_is_lost_is_sent_again() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=4 * MSS)
    endpoint.queue(10 * MSS)
    assert len(endpoint.sends()) == 4
    endpoint.expire()
    assert [(one.seq, one.rexmit) for one in endpoint.sends()] == [(ours(1), 1)]
    endpoint.gets("A", theirs(1), ours(1 + 4 * MSS), wnd=4 * MSS)
    assert [one.seq for one in endpoint.sends()] == [ours(1 + n * MSS) for n in (4, 5)]


@conformance(
    "smoltcp:fast_retransmit_after_triple_duplicate_ack", "packetdrill:fast_retransmit/fr-4pkt", "lwip:fast_retx_recover"
)
@conformance("smoltcp:established_retransmit_for_dup_ack", "smoltcp:fast_retransmit_duplicate_detection")
def test_established_the_third_duplicate_brings_one_segment_again() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(4 * MSS)
    endpoint.sends()
    for _ in range(2):
        endpoint.gets("A", theirs(1), ours(1))
        assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(1))
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), MSS, rexmit=1)]
    assert endpoint.gets("A", theirs(1), ours(1 + 4 * MSS)) == EV_ACKED
    assert endpoint.sends() == []
    assert (endpoint.cold.cwnd, endpoint.cold.ssthresh, endpoint.conn.deadline) == (2 * MSS, 2 * MSS, 0)


@conformance("smoltcp:congestion_window_doesnt_limit_fast_retransmit")
def test_established_a_small_congestion_window_does_not_stop_fast_retransmit() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6 * MSS)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.cold.cwnd = MSS
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.gets("A", theirs(1), ours(1))
    assert [one.seq for one in endpoint.sends()] == [ours(1)]


@conformance(
    "smoltcp:fast_retransmit_duplicate_detection_with_data", "smoltcp:fast_retransmit_duplicate_detection_with_window_update"
)
def test_established_what_is_no_duplicate_begins_the_count_again_only_by_new_data() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6 * MSS)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.gets("PA", theirs(1), ours(1), 10)
    endpoint.gets("A", theirs(11), ours(1), wnd=60_000)
    assert [one.rexmit for one in endpoint.sends()] == [0]
    assert endpoint.cold.dup_acks == 1


@conformance("smoltcp:fast_retransmit_zero_window")
def test_established_acks_of_a_shut_window_are_no_duplicates() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6 * MSS)
    endpoint.sends()
    for _ in range(4):
        endpoint.gets("A", theirs(1), ours(1), wnd=0)
    assert endpoint.sends() == []


@conformance("smoltcp:fast_retransmit_dup_acks_counter")
def test_established_many_duplicates_are_counted_without_end() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(6 * MSS)
    endpoint.sends()
    for _ in range(300):
        endpoint.gets("A", theirs(1), ours(1))
        endpoint.sends()
    assert endpoint.cold.dup_acks == 300
    endpoint.gets("A", theirs(1), ours(1 + 6 * MSS))
    assert endpoint.cold.dup_acks == 0


@conformance("smoltcp:data_retransmit", "smoltcp:established_retransmit_reset_after_ack", "rfc9293:MUST-18")
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT"])
def test_data_is_sent_again_and_not_measured(state: str) -> None:
    endpoint = at(state)
    peer = 2 if state == "CLOSE_WAIT" else 1
    endpoint.queue(10)
    endpoint.sends()
    srtt = int(endpoint.conn.srtt)
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(peer), 10, rexmit=1)]
    endpoint.now += 3_000_000
    assert endpoint.gets("A", theirs(peer), ours(11)) == EV_ACKED
    assert (endpoint.conn.srtt, endpoint.conn.retries, endpoint.conn.deadline) == (srtt, 0, 0)


@conformance("smoltcp:retransmit_timer_restart_on_partial_ack", "smoltcp:data_retransmit_bursts_half_ack")
def test_established_an_ack_of_a_part_starts_the_timer_again() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6 * MSS)
    endpoint.sends()
    endpoint.now += 100_000
    endpoint.gets("A", theirs(1), ours(1 + 3 * MSS))
    assert endpoint.sends() == []
    assert endpoint.conn.deadline == endpoint.now // 1000 + int(endpoint.conn.rto) + 1
    endpoint.expire()
    assert [one.seq for one in endpoint.sends()] == [ours(1 + 3 * MSS)]


@conformance("smoltcp:established_queue_during_retransmission")
def test_established_what_is_queued_meanwhile_follows_what_is_sent_again() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(2 * MSS)
    endpoint.sends()
    endpoint.expire()
    assert len(endpoint.sends()) == 1
    endpoint.queue(MSS)
    endpoint.gets("A", theirs(1), ours(1 + 2 * MSS))
    assert endpoint.sends() == [Sent("PA", ours(1 + 2 * MSS), theirs(1), MSS)]


@conformance("rfc9293:MUST-20.2", "rfc9293:MUST-21", "rfc9293:SHLD-11")
def test_established_data_is_tried_for_more_than_100_seconds() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(10)
    endpoint.sends()
    began = endpoint.now
    doubts = 0
    while (events := endpoint.expire()) & EV_RETRANSMIT:
        doubts += bool(events & EV_DOUBT)
        endpoint.sends()
    assert events == EV_CLOSED | EV_TIMEOUT
    assert endpoint.now - began >= 100_000_000
    assert doubts == 1


@conformance("rfc9293:MUST-22", "rfc9293:MUST-23", "smoltcp:connect_timeout", "lwip:rto_timeout_syn_sent")
def test_syn_sent_a_syn_is_tried_for_three_minutes() -> None:
    endpoint = at("SYN_SENT")
    began = endpoint.now
    while (events := endpoint.expire()) & EV_RETRANSMIT:
        assert [one.flags for one in endpoint.sends()] == ["S"]
    assert events == EV_CLOSED | EV_TIMEOUT
    assert endpoint.now - began >= 180_000_000


def test_syn_sent_a_lost_syn_leaves_one_segment_as_initial_window() -> None:
    endpoint = at("SYN_SENT")
    endpoint.expire()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS)
    endpoint.sends()
    endpoint.queue(10 * MSS)
    assert len(endpoint.sends()) == 1
    endpoint.gets("A", theirs(1), ours(1 + MSS))
    assert len(endpoint.sends()) == 2


def test_established_what_a_small_window_holds_back_delays_no_ack() -> None:
    """The peer may wait for that ACK to open its window."""
    endpoint = at("ESTABLISHED", delack_ms=40)
    endpoint.gets("PA", theirs(1), ours(1), 10, wnd=400)
    endpoint.queue(MSS)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(11))]
    assert endpoint.conn.bits & PERSIST
