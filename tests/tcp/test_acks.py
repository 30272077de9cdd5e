"""When an ACK is sent (RFC 9293 section 3.8.6.3), and which window it advertises (3.8.6.2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcp.board import new_boards
from tcp.connection import OWN_WINDOW, QUICK_ACK
from tcp.events import EV_DATA, EV_FIN, EV_OUT_OF_ORDER, EV_RETRANSMIT, EV_UNACCEPTABLE
from tcp.window import offer
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs

DELAY = 40


def delaying(state: str = "ESTABLISHED", **limits: int) -> Endpoint:
    return at(state, delack_ms=DELAY, **limits)


@pytest.mark.conformance("smoltcp:delayed_ack", "rfc9293:SHLD-18", "rfc9293:MUST-40")
def test_established_lone_segment_is_acknowledged_late() -> None:
    endpoint = delaying()
    assert endpoint.gets("PA", theirs(1), ours(1), MSS) == EV_DATA
    assert endpoint.sends() == []
    assert endpoint.conn.deadline == endpoint.now // 1000 + DELAY + 1
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1 + MSS))]
    assert (endpoint.sends(), endpoint.conn.deadline) == ([], 0)


@pytest.mark.conformance(
    "smoltcp:delayed_ack_every_rmss",
    "smoltcp:delayed_ack_every_rmss_or_more",
    "rfc9293:SHLD-19",
    "rfc9293:MUST-58",
    "rfc9293:MUST-59",
)
@pytest.mark.parametrize("size", [1, 10, MSS])
def test_established_every_second_segment_is_acknowledged_at_once(size: int) -> None:
    endpoint = delaying()
    for k in range(0, 10, 2):
        endpoint.gets("A", theirs(1 + k * size), ours(1), size)
        assert endpoint.sends() == []
        endpoint.gets("A", theirs(1 + (k + 1) * size), ours(1), size)
        assert endpoint.sends() == [Sent("A", ours(1), theirs(1 + (k + 2) * size))]
        assert endpoint.conn.deadline == 0


@pytest.mark.conformance("smoltcp:delayed_ack_reply")
def test_established_late_ack_rides_on_data() -> None:
    endpoint = delaying()
    endpoint.gets("PA", theirs(1), ours(1), 10)
    assert endpoint.sends() == []
    endpoint.queue(5)
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(11), 5)]
    assert endpoint.conn.deadline == endpoint.now // 1000 + int(endpoint.conn.rto) + 1
    endpoint.gets("A", theirs(11), ours(6))
    assert (endpoint.sends(), endpoint.conn.deadline) == ([], 0)


def test_established_late_ack_does_not_disturb_a_retransmission() -> None:
    endpoint = delaying()
    endpoint.queue(5)
    endpoint.sends()
    endpoint.gets("PA", theirs(1), ours(1), 10)
    start = endpoint.now // 1000
    endpoint.sends()
    assert endpoint.conn.deadline == start + DELAY + 1
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("A", ours(6), theirs(11))]
    assert endpoint.conn.deadline > start + DELAY + 1
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends()[0] == Sent("PA", ours(1), theirs(11), 5, rexmit=1)


@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"])
def test_fin_is_acknowledged_at_once(state: str) -> None:
    endpoint = delaying(state)
    ack = ours(1) if state != "FIN_WAIT_2" else ours(2)
    assert endpoint.gets("FPA", theirs(1), ack, 10) & EV_FIN
    assert [(sent.flags, sent.ack) for sent in endpoint.sends()] == [("A", theirs(12))]


def test_established_early_and_gap_filling_segments_are_acknowledged_at_once() -> None:
    """RFC 5681 section 4.2."""
    boards = new_boards(1)
    endpoint = delaying(boards=boards.address)
    assert endpoint.gets("A", theirs(11), ours(1), 10) == EV_OUT_OF_ORDER
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
    assert endpoint.gets("A", theirs(1), ours(1), 5) == EV_DATA
    assert endpoint.sends() == [Sent("A", ours(1), theirs(6))]
    assert endpoint.gets("A", theirs(6), ours(1), 5) == EV_DATA
    assert endpoint.sends() == [Sent("A", ours(1), theirs(21))]
    assert endpoint.gets("A", theirs(21), ours(1), 5) == EV_DATA
    assert endpoint.sends() == []


def test_established_quick_ack() -> None:
    endpoint = delaying()
    endpoint.conn.bits = int(endpoint.conn.bits) | QUICK_ACK
    for k in range(3):
        endpoint.gets("A", theirs(1 + k), ours(1), 1)
        assert endpoint.sends() == [Sent("A", ours(1), theirs(2 + k))]


def own_window(wnd: int, **limits: int) -> Endpoint:
    endpoint = at("ESTABLISHED", **limits)
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = wnd
    return endpoint


def give(endpoint: Endpoint, room: int, buffer: int) -> None:
    offer(endpoint.conn, endpoint.limits.record, room, buffer)


@pytest.mark.conformance("packetimpact:ZeroReceiveWindow", "lwip:recv_inseq")
def test_established_window_closes_as_text_comes() -> None:
    endpoint = own_window(2500)
    for k, wnd in enumerate((1500, 500, 0)):
        size = MSS if wnd else 500
        endpoint.gets("A", theirs(1 + k * MSS), ours(1), size)
        assert endpoint.sends() == [Sent("A", ours(1), theirs(1 + k * MSS + size))]
        assert endpoint.out.wnd == wnd


@pytest.mark.conformance("rfc9293:MAY-8")
@pytest.mark.conformance("smoltcp:zero_window_ack", "smoltcp:zero_window_ack_not_rate_limited")
def test_established_text_for_a_shut_window_is_always_answered() -> None:
    endpoint = own_window(0)
    for _ in range(50):
        assert endpoint.gets("A", theirs(1), ours(1), 10) == 0
        assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
        assert endpoint.gets("A", theirs(2), ours(1), 10) == EV_UNACCEPTABLE
        assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
        assert endpoint.out.wnd == 0


@pytest.mark.conformance("smoltcp:zero_window_fin")
def test_established_fin_for_a_shut_window() -> None:
    endpoint = own_window(0)
    assert endpoint.gets("FA", theirs(1), ours(1)) == EV_FIN
    assert endpoint.sends() == [Sent("A", ours(1), theirs(2))]


@pytest.mark.conformance("rfc9293:MUST-66")
def test_established_ack_and_rst_for_a_shut_window() -> None:
    endpoint = own_window(0)
    endpoint.queue(10)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(11), 10)
    assert endpoint.conn.snd_una == ours(11)
    endpoint.sends()
    endpoint.gets("R", theirs(1))
    assert endpoint.state == "CLOSED"


@pytest.mark.conformance(
    "smoltcp:zero_window_ack_on_window_growth",
    "smoltcp:announce_window_after_read",
    "packetimpact:ZeroReceiveWindow",
    "rfc9293:MUST-39",
)
def test_established_window_opens_by_a_segment_or_half_the_buffer() -> None:
    endpoint = own_window(0)
    give(endpoint, MSS - 1, 10_000)
    assert (endpoint.sends(), endpoint.conn.rcv_wnd) == ([], 0)
    give(endpoint, MSS, 10_000)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
    assert endpoint.out.wnd == MSS
    give(endpoint, 2 * MSS, 10_000)
    assert (endpoint.sends(), endpoint.conn.rcv_wnd) == ([], 2 * MSS)
    give(endpoint, 7 * MSS, 10_000)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
    endpoint = own_window(0)
    give(endpoint, 100, 200)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]


@pytest.mark.conformance("smoltcp:close_wait_no_window_update", "smoltcp:time_wait_no_window_update")
@pytest.mark.parametrize("state", ["CLOSE_WAIT", "TIME_WAIT"])
def test_no_window_update_after_the_peers_fin(state: str) -> None:
    endpoint = at(state)
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = 0
    give(endpoint, 5000, 10_000)
    assert endpoint.sends() == []


def test_established_small_segments_do_not_move_the_edge() -> None:
    """Silly windows: with a buffer that is emptied at once, the right edge moves by a segment."""
    endpoint = at("ESTABLISHED", rcv_wnd=5000)
    for k in range(MSS - 1):
        endpoint.gets("A", theirs(1 + k), ours(1), 1)
        endpoint.sends()
        assert endpoint.out.wnd == 5000 - k - 1
    endpoint.gets("A", theirs(MSS), ours(1), 1)
    endpoint.sends()
    assert endpoint.out.wnd == 5000


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5000)), max_size=40), st.booleans())
def test_established_the_edge_never_goes_back(steps: list[tuple[int, int]], own: bool) -> None:
    """SHLD-14, whatever the application reads, and what comes beyond the window is not taken."""
    buffer = 5000
    endpoint = own_window(buffer, rcv_wnd=buffer) if own else at("ESTABLISHED", rcv_wnd=buffer)
    unread, taken, edge = 0, 0, buffer
    for size, read in steps:
        endpoint.gets("A", theirs(1 + taken), ours(1), size)
        accepted = int(endpoint.segment.accepted)
        taken += accepted
        unread = max(unread + accepted - read, 0)
        if own:
            give(endpoint, buffer - unread, buffer)
        for _ in endpoint.sends():
            assert taken + int(endpoint.out.wnd) >= edge
            edge = taken + int(endpoint.out.wnd)
        assert not own or edge <= taken + buffer - unread + size
