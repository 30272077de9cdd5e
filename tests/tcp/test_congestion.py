"""The congestion window without loss: slow start, congestion avoidance, idleness, applications that have little to say, ECN."""

from __future__ import annotations

import pytest

from tcp.application import cork, nodelay
from tcp.congestion import CUBIC, RENO
from tcp.connection import CWR_DUE, ECN_OK, raise_bits
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs

conformance = pytest.mark.conformance


def busy(queued: int = 200, **limits: int) -> Endpoint:
    """In ESTABLISHED, with a full initial window in flight and much more to send."""
    endpoint = at("ESTABLISHED", **limits)
    endpoint.gets("A", theirs(1), ours(1), wnd=65535)
    endpoint.queue(queued * MSS)
    endpoint.sends()
    return endpoint


def acked(endpoint: Endpoint, segments: int) -> int:
    """How many segments leave for an ACK of all up to *segments*."""
    endpoint.gets("A", theirs(1), ours(1 + segments * MSS))
    return len(endpoint.sends())


@conformance("packetdrill:slow_start/slow-start-ack-per-1pkt", "rfc9293:MUST-19")
def test_established_slow_start_by_one_segment_an_ack() -> None:
    endpoint = busy()
    assert [acked(endpoint, n) for n in range(1, 6)] == [2] * 5
    assert endpoint.cold.cwnd == 15 * MSS


@conformance("packetdrill:slow_start/slow-start-ack-per-2pkt", "packetdrill:slow_start/slow-start-ack-per-2pkt-send-6pkt")
def test_established_slow_start_by_two_segments_an_ack() -> None:
    endpoint = busy()
    assert [acked(endpoint, n) for n in (2, 4, 6)] == [4] * 3


@conformance("packetdrill:slow_start/slow-start-ack-per-4pkt")
def test_established_slow_start_by_four_segments_an_ack() -> None:
    endpoint = busy()
    assert [acked(endpoint, n) for n in (4, 8)] == [8, 8]


def test_established_the_first_slow_start_counts_no_more_than_eight_segments_an_ack() -> None:
    """L = 8 of RFC 9406."""
    endpoint = busy()
    assert acked(endpoint, 10) == 18


def test_established_later_slow_starts_count_no_more_than_two_segments_an_ack() -> None:
    """L = 2 of RFC 3465: what an ACK for four would let out more than that is a burst."""
    endpoint = busy()
    endpoint.cold.ssthresh = 100 * MSS
    assert [acked(endpoint, n) for n in (4, 8)] == [6, 6]


@conformance("packetdrill:slow_start/slow-start-app-limited", "packetdrill:slow_start/slow-start-app-limited-9-packets-out")
def test_established_a_window_that_is_not_used_does_not_grow() -> None:
    endpoint = busy(queued=10)
    assert acked(endpoint, 10) == 0
    before = int(endpoint.cold.cwnd)
    for n in range(10, 30, 2):
        endpoint.queue(2 * MSS)
        assert len(endpoint.sends()) == 2
        acked(endpoint, n + 2)
    assert int(endpoint.cold.cwnd) == before


@conformance("packetdrill:slow_start/slow-start-after-idle", "packetdrill:cubic/cubic-bulk-166k-idle-restart")
def test_established_after_idleness_the_window_is_the_initial_one() -> None:
    endpoint = busy(queued=60)
    for n in range(2, 62, 2):
        acked(endpoint, n)
    assert endpoint.cold.cwnd > 20 * MSS
    endpoint.now += int(endpoint.conn.rto) * 1000 + 2000
    endpoint.queue(50 * MSS)
    assert len(endpoint.sends()) == 10
    assert endpoint.cold.cwnd == 10 * MSS


def test_established_a_short_pause_leaves_the_window() -> None:
    endpoint = busy(queued=60)
    for n in range(2, 62, 2):
        acked(endpoint, n)
    endpoint.now += int(endpoint.conn.rto) * 1000 - 2000
    endpoint.queue(50 * MSS)
    assert len(endpoint.sends()) > 20


@conformance("smoltcp:set_get_congestion_control")
@pytest.mark.parametrize("congestion", [RENO, CUBIC])
def test_established_congestion_avoidance_is_by_one_segment_a_round_trip_at_first(congestion: int) -> None:
    endpoint = busy(congestion=congestion)
    endpoint.cold.ssthresh = 10 * MSS
    for n in range(1, 11):
        acked(endpoint, n)
    assert int(endpoint.cold.cwnd) == pytest.approx(11 * MSS, abs=MSS // 2)


@conformance("smoltcp:congestion_window_limits_data_in_flight")
def test_established_no_more_in_flight_than_the_congestion_window() -> None:
    endpoint = busy()
    assert (int(endpoint.conn.snd_nxt) - ours(1)) & 0xFFFFFFFF == 10 * MSS
    endpoint.cold.cwnd = 12 * MSS
    assert len(endpoint.sends()) == 2


@conformance("packetdrill:slow_start/slow-start-after-win-update")
def test_established_a_window_that_opens_is_used_up_to_the_congestion_window() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1), wnd=2 * MSS)
    endpoint.queue(100 * MSS)
    assert len(endpoint.sends()) == 2
    endpoint.gets("A", theirs(1), ours(1), wnd=65535)
    assert len(endpoint.sends()) == 8


@conformance("rfc9293:SHLD-8")
def test_established_an_echo_of_congestion_reduces_once_a_window() -> None:
    endpoint = busy(congestion=RENO)
    raise_bits(endpoint.conn, ECN_OK)
    endpoint.gets("EA", theirs(1), ours(1 + MSS))
    assert (endpoint.cold.ssthresh, endpoint.cold.cwnd) == (4500, 4500)
    assert endpoint.conn.bits & CWR_DUE
    for n in range(2, 11):
        endpoint.gets("EA", theirs(1), ours(1 + n * MSS))
        assert endpoint.cold.ssthresh == 4500
        sent = endpoint.sends()
        if sent:
            break
    assert [one.flags for one in sent] == ["AC"]
    assert endpoint.out.ect == 2
    endpoint.gets("EA", theirs(1), ours(1 + 11 * MSS))
    assert endpoint.cold.ssthresh < 4500


def test_established_an_echo_of_congestion_without_ecn_says_nothing() -> None:
    endpoint = busy()
    endpoint.gets("EA", theirs(1), ours(1 + MSS))
    assert endpoint.cold.ssthresh == 1 << 30


@conformance("smoltcp:nagle", "packetdrill:nagle/https_client", "rfc9293:SHLD-7")
def test_established_nagle_holds_small_segments_while_others_are_in_flight() -> None:
    endpoint = at("ESTABLISHED", nagle=1)
    endpoint.queue(100)
    assert [one.payload_len for one in endpoint.sends()] == [100]
    endpoint.queue(100)
    assert endpoint.sends() == []
    endpoint.queue(MSS)
    assert [one.payload_len for one in endpoint.sends()] == [MSS]
    endpoint.gets("A", theirs(1), ours(101))
    assert endpoint.sends() == []
    endpoint.gets("A", theirs(1), ours(101 + MSS))
    assert endpoint.sends() == [Sent("PA", ours(101 + MSS), theirs(1), 100)]


@conformance("rfc9293:MUST-17", "packetdrill:nagle/sockopt_cork_nodelay")
def test_established_nodelay_switches_nagle_off() -> None:
    endpoint = at("ESTABLISHED", nagle=1)
    nodelay(endpoint.conn, True)
    for n in (0, 100):
        endpoint.queue(100)
        assert endpoint.sends() == [Sent("PA", ours(1 + n), theirs(1), 100)]
    nodelay(endpoint.conn, False)
    endpoint.queue(100)
    assert endpoint.sends() == []


@conformance("smoltcp:final_packet_in_stream_doesnt_wait_for_nagle")
def test_established_nagle_does_not_hold_the_fin() -> None:
    endpoint = at("ESTABLISHED", nagle=1)
    endpoint.queue(100)
    endpoint.sends()
    endpoint.queue(100)
    endpoint.close()
    assert endpoint.sends() == [Sent("FPA", ours(101), theirs(1), 100)]


@conformance(
    "packetimpact:TCPCorkMSS", "packetdrill:nagle/sendmsg_msg_more", "rfc9293:MUST-60", "rfc9293:MAY-15", "rfc9293:MAY-16"
)
def test_established_cork_holds_less_than_a_segment_but_not_for_ever() -> None:
    endpoint = at("ESTABLISHED")
    cork(endpoint.conn, True)
    endpoint.queue(100)
    assert endpoint.sends() == []
    endpoint.queue(MSS)
    assert [one.payload_len for one in endpoint.sends()] == [MSS]
    endpoint.gets("A", theirs(1), ours(1 + MSS))
    assert endpoint.sends() == []
    endpoint.expire()
    assert endpoint.sends() == [Sent("PA", ours(1 + MSS), theirs(1), 100)]
    endpoint.queue(50)
    assert endpoint.sends() == []
    cork(endpoint.conn, False)
    assert endpoint.sends() == [Sent("PA", ours(101 + MSS), theirs(1), 50)]


@conformance("packetdrill:limited_transmit/limited-transmit-no-sack")
def test_established_the_first_two_duplicates_let_new_data_out() -> None:
    endpoint = busy()
    assert [acked(endpoint, 0) for _ in range(2)] == [1, 1]
    assert acked(endpoint, 0) == 1
    assert endpoint.out.rexmit == 1


@conformance("rfc9293:MUST-61", "smoltcp:psh_transmit")
def test_established_push_is_on_the_last_segment_of_what_is_queued() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(2500)
    assert [one.flags for one in endpoint.sends()] == ["A", "A", "PA"]


@conformance("smoltcp:maximum_segment_size", "rfc9293:MUST-16")
def test_established_no_segment_is_larger_than_the_peer_takes() -> None:
    endpoint = Endpoint(mss=1460).connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=600)
    endpoint.sends()
    endpoint.queue(3000)
    assert [one.payload_len for one in endpoint.sends()] == [600] * 5
