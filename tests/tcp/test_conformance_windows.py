"""Windows, delayed ACKs, probes and keep-alive, as other suites test them: RFC 9293 section 3.8, whole state by whole state."""

from __future__ import annotations

import pytest

from tcp.board import new_boards
from tcp.connection import OWN_WINDOW
from tcp.events import (
    EV_ACKED,
    EV_CHALLENGE,
    EV_CLOSED,
    EV_DATA,
    EV_DUPLICATE,
    EV_FIN,
    EV_OUT_OF_ORDER,
    EV_RETRANSMIT,
    EV_RST_DUE,
    EV_TIMEOUT,
    EV_UNACCEPTABLE,
)
from tcp.window import offer
from tests.tcp.builders import MSS, Sent, at, ours, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance
ACK = Sent("A", ours(1), theirs(1))


def own_window(wnd: int, state: str = "ESTABLISHED", **limits: int) -> Story:
    """A connection whose application has room for *wnd* bytes."""
    endpoint = at(state, **limits)
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = wnd
    return Story(endpoint=endpoint)


def reads(story: Story, room: int, buffer: int) -> None:
    """The application has room for *room* bytes of *buffer*."""
    offer(story.endpoint.conn, story.endpoint.limits.record, room, buffer)


@conformance("smoltcp:zero_window_ack", "smoltcp:zero_window_ack_not_rate_limited", "packetimpact:ZeroReceiveWindow")
def test_established_shut_window_is_told_as_often_as_it_is_probed() -> None:
    story = own_window(6)
    story.gets("PA", theirs(1), ours(1), 6).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=0)
    for _ in range(30):
        story.gets("PA", theirs(7), ours(1), 6).then(0, Sent("A", ours(1), theirs(7)))
        assert story.endpoint.out.wnd == 0


@conformance("smoltcp:zero_window_fin")
def test_established_fin_alone_fits_a_shut_window() -> None:
    story = own_window(0)
    story.gets("FPA", theirs(1), ours(1), 3).then(0, ACK)
    story.gets("FA", theirs(1), ours(1)).then(EV_FIN, Sent("A", ours(1), theirs(2)), state="CLOSE_WAIT", rcv_nxt=theirs(2))


@conformance("smoltcp:zero_window_ack_on_window_growth", "smoltcp:announce_window_after_read", "rfc9293:MUST-39")
def test_established_window_is_announced_when_it_opens_by_a_segment() -> None:
    story = own_window(0)
    story.does(lambda: reads(story, MSS - 1, 10 * MSS)).then(None)
    story.does(lambda: reads(story, MSS, 10 * MSS)).then(None, ACK, rcv_wnd=MSS)
    assert story.endpoint.out.wnd == MSS
    story.does(lambda: reads(story, MSS + 1, 10 * MSS)).then(None)


@conformance("smoltcp:close_wait_no_window_update", "smoltcp:time_wait_no_window_update")
@pytest.mark.parametrize("state", ["CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"])
def test_no_window_is_announced_to_a_peer_that_has_closed(state: str) -> None:
    story = own_window(0, state)
    step = story.does(lambda: reads(story, 5 * MSS, 10 * MSS))
    assert step.sent == []
    assert set(step.changed) <= {"rcv_wnd"}


@conformance("smoltcp:recv_out_of_recv_win", "smoltcp:established_receive_partially_outside_window")
def test_established_what_lies_beyond_the_window_is_not_taken() -> None:
    boards = new_boards(1)
    story = own_window(6, boards=boards.address)
    story.gets("A", theirs(7), ours(1), 1).then(EV_UNACCEPTABLE, ACK)
    story.gets("A", theirs(4), ours(1), 6).then(EV_OUT_OF_ORDER, ACK, bits="+COLD_READY")
    assert (story.endpoint.segment.accepted, story.endpoint.segment.early) == (3, 3)
    story.gets("A", theirs(1), ours(1), 3).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=0)
    assert (story.endpoint.segment.accepted, story.endpoint.segment.revealed) == (3, 3)


@conformance("smoltcp:established_receive_partially_outside_window_fin")
def test_established_fin_beyond_the_window_waits() -> None:
    story = own_window(6)
    story.gets("FA", theirs(1), ours(1), 8).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=0)
    story.does(lambda: reads(story, 6, 6)).then(None, Sent("A", ours(1), theirs(7)), rcv_wnd=6)
    story.gets("FA", theirs(7), ours(1), 2).then(
        EV_DATA | EV_FIN, Sent("A", ours(1), theirs(10)), state="CLOSE_WAIT", rcv_nxt=theirs(10), rcv_wnd=4
    )


@conformance("smoltcp:established_fin_after_missing", "smoltcp:rx_close_fin_with_hole")
def test_established_fin_behind_a_hole_has_its_turn() -> None:
    boards = new_boards(1)
    story = Story(boards=boards.address)
    story.gets("FPA", theirs(7), ours(1), 6).then(EV_OUT_OF_ORDER, ACK, bits="+COLD_READY +EARLY_FIN")
    story.gets("PA", theirs(1), ours(1), 6).then(
        EV_DATA | EV_FIN, Sent("A", ours(1), theirs(14)), state="CLOSE_WAIT", rcv_nxt=theirs(14), rcv_wnd=65523, bits="-EARLY_FIN"
    )
    assert story.endpoint.segment.revealed == 6


@conformance("smoltcp:duplicate_seq_ack", "smoltcp:old_data_ack_not_rate_limited")
def test_established_old_data_is_acknowledged_each_time() -> None:
    story = Story()
    story.gets("PA", theirs(1), ours(1), 6).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=65529)
    for _ in range(30):
        story.gets("PA", theirs(1), ours(1), 6).then(EV_UNACCEPTABLE | EV_DUPLICATE, Sent("A", ours(1), theirs(7)))


@conformance("smoltcp:established_bad_seq", "smoltcp:established_bad_seq_challenge_ack_updated", "rfc9293:MAY-12")
def test_established_challenge_tells_the_latest_number() -> None:
    story = Story()
    story.gets("A", theirs(100_000), ours(1)).then(EV_UNACCEPTABLE, ACK, bits="+COLD_READY")
    story.gets("PA", theirs(1), ours(1), 6).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=65529)
    story.gets("A", theirs(100_000), ours(1)).then(EV_UNACCEPTABLE, Sent("A", ours(1), theirs(7)))


@conformance("smoltcp:bad_seq_syn_with_data_rate_limited")
def test_established_syn_with_data_is_answered_ten_times() -> None:
    story = Story()
    story.gets("S", theirs(0), 0, 6).then(EV_CHALLENGE, ACK, bits="+COLD_READY")
    for _ in range(9):
        story.gets("S", theirs(0), 0, 6).then(EV_CHALLENGE, ACK)
    story.gets("S", theirs(0), 0, 6).then(EV_CHALLENGE)


@conformance("smoltcp:last_ack_partial_ack_no_challenge_ack")
def test_last_ack_ack_of_the_data_before_the_fin() -> None:
    endpoint = at("CLOSE_WAIT")
    endpoint.queue(6)
    endpoint.close()
    assert endpoint.sends() == [Sent("FPA", ours(1), theirs(2), 6)]
    story = Story(endpoint=endpoint)
    story.gets("A", theirs(2), ours(7)).then(EV_ACKED, snd_una=ours(7))


@conformance("smoltcp:delayed_ack", "rfc9293:SHLD-18", "rfc9293:MUST-40")
def test_established_lone_segment_waits_for_company() -> None:
    story = Story(delack_ms=40)
    story.gets("PA", theirs(1), ours(1), 6).then(
        EV_DATA, rcv_nxt=theirs(7), rcv_wnd=65529, deadline=41, bits="+COLD_READY +ACK_LATER"
    )
    story.expires().then(EV_RETRANSMIT, Sent("A", ours(1), theirs(7)), deadline=0, bits="-ACK_LATER")


@conformance("smoltcp:delayed_ack_reply")
def test_established_lone_segments_ack_rides_on_the_reply() -> None:
    story = Story(delack_ms=40)
    story.gets("PA", theirs(1), ours(1), 6)
    step = story.queues(4)
    step.then(
        4, Sent("PA", ours(1), theirs(7), 4), snd_end=ours(5), snd_nxt=ours(5), deadline=201, bits="+TIMED -ACK_LATER"
    )  # fmt: skip


@conformance("smoltcp:delayed_ack_every_rmss", "smoltcp:delayed_ack_every_rmss_or_more", "rfc9293:SHLD-19", "rfc9293:MUST-58")
@pytest.mark.parametrize("size", [MSS, MSS // 2, 1])
def test_established_every_second_segment_brings_one_ack(size: int) -> None:
    story = Story(delack_ms=40)
    acks = 0
    for k in range(10):
        acks += len(story.gets("A", theirs(1 + k * size), ours(1), size).sent)
    assert acks == 5
    assert story.endpoint.out.ack == story.endpoint.conn.rcv_nxt == theirs(1 + 10 * size)
    assert story.endpoint.conn.deadline == 0


@conformance("rfc9293:MUST-58", "rfc9293:MUST-59")
def test_established_a_burst_that_is_received_at_once_has_one_ack() -> None:
    """Nothing is sent before all that is here was processed: next_segment is asked once."""
    endpoint = at("ESTABLISHED")
    for k in range(10):
        assert endpoint.gets("A", theirs(1 + k * MSS), ours(1), MSS) == EV_DATA
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1 + 10 * MSS))]
    assert endpoint.sends() == []


@conformance("smoltcp:zero_window_probe_enter_on_send", "packetimpact:ZeroWindowProbe", "rfc9293:MUST-36", "rfc9293:SHLD-29")
def test_established_data_for_a_shut_window_waits_for_a_probe() -> None:
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0).then(0, snd_wnd=0, bits="+COLD_READY")
    story.queues(6).then(6, snd_end=ours(7), deadline=201, bits="+PERSIST")
    story.expires().then(
        EV_RETRANSMIT, Sent("A", ours(1), theirs(1), 1), snd_nxt=ours(2), retries=1, rto=400, deadline=401, bits="-PERSIST"
    )  # fmt: skip


@conformance("smoltcp:zero_window_probe_enter_on_win_update")
def test_established_window_shuts_while_data_waits() -> None:
    endpoint = at("SYN_SENT")
    endpoint.gets("SA", theirs(0), ours(1), wnd=6, mss=MSS)
    endpoint.sends()
    story = Story(endpoint=endpoint)
    story.queues(12).then(12, Sent("A", ours(1), theirs(1), 6), snd_end=ours(13), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    step = story.gets("A", theirs(1), ours(7), wnd=0)
    assert (step.events, step.sent, story.endpoint.conn.snd_wnd) == (EV_ACKED, [], 0)
    assert "+PERSIST" in str(step.changed["bits"])
    assert story.expires().sent == [Sent("A", ours(7), theirs(1), 1)]


@conformance("smoltcp:zero_window_probe_exit", "smoltcp:zero_window_probe_not_capped_by_cwnd")
def test_established_window_opens_before_the_probe() -> None:
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0)
    story.queues(6)
    story.gets("A", theirs(1), ours(1), wnd=MSS).then(
        0, Sent("PA", ours(1), theirs(1), 6), snd_wnd=MSS, snd_nxt=ours(7), bits="+TIMED -PERSIST"
    )
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0)
    story.queues(6)
    story.endpoint.cold.cwnd = 0
    assert story.expires().sent == [Sent("A", ours(1), theirs(1), 1)]


@conformance("smoltcp:zero_window_probe_exit_ack", "smoltcp:zero_window_probe_shift")
def test_established_probe_is_taken_and_the_window_opens() -> None:
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0)
    story.queues(6)
    story.expires()
    step = story.gets("A", theirs(1), ours(2), wnd=MSS)
    assert (step.events, step.sent) == (EV_ACKED, [Sent("PA", ours(2), theirs(1), 5)])
    assert (story.endpoint.conn.snd_una, story.endpoint.conn.snd_nxt, story.endpoint.conn.retries) == (ours(2), ours(7), 0)
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0)
    story.queues(3)
    for taken in range(3):
        flags = "PA" if taken == 2 else "A"
        assert story.expires().sent == [Sent(flags, ours(1 + taken), theirs(1), 1)]
        step = story.gets("A", theirs(1), ours(2 + taken), wnd=0)
        assert (step.events, step.sent) == (EV_ACKED, [])
    assert story.endpoint.conn.deadline == 0


@conformance("smoltcp:zero_window_probe_backoff_nack_reply", "smoltcp:zero_window_probe_backoff_no_reply", "rfc9293:SHLD-30")
@conformance("packetimpact:ZeroWindowProbeRetransmit", "rfc9293:MUST-37")
@pytest.mark.parametrize("answers", [True, False])
def test_established_probes_come_at_doubling_intervals(answers: bool) -> None:
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=0)
    story.queues(6)
    gaps = []
    for _ in range(6):
        before = story.endpoint.now
        step = story.expires()
        assert [(one.seq, one.payload_len) for one in step.sent] == [(ours(1), 1)]
        gaps.append((story.endpoint.now - before) // 1000)
        if answers:
            assert story.gets("A", theirs(1), ours(1), wnd=0).sent == []
    assert [round(gap / 200) for gap in gaps] == [1, 2, 4, 8, 16, 32]
    assert story.endpoint.state == "ESTABLISHED"


@conformance("smoltcp:responds_to_keep_alive", "rfc9293:SHLD-12")
@pytest.mark.parametrize("size", [0, 1])
def test_established_keep_alive_of_the_peer_is_answered(size: int) -> None:
    """Without data and, as old implementations send it, with a garbage octet."""
    story = Story()
    step = story.gets("A", theirs(0), ours(1), size)
    assert step.changed.pop("bits", "+COLD_READY") == "+COLD_READY"
    step.then(EV_UNACCEPTABLE | EV_DUPLICATE, ACK)


@conformance("smoltcp:sends_keep_alive", "smoltcp:established_keep_alive_timeout", "rfc9293:MUST-29", "rfc9293:MUST-27")
def test_established_keep_alive_is_sent_and_given_up() -> None:
    endpoint = at("ESTABLISHED", keepalive_ms=10_000, keepalive_interval_ms=1000, keepalive_probes=2)
    story = Story(endpoint=endpoint)
    probe = Sent("A", ours(0), theirs(1))
    story.expires().then(EV_RETRANSMIT, probe, retries=1, deadline=1001)
    story.gets("A", theirs(1), ours(1)).then(0, retries=0, deadline=10_001)
    story.expires().then(EV_RETRANSMIT, probe, retries=1, deadline=1001)
    story.expires().then(EV_RETRANSMIT, probe, retries=2, deadline=1001)
    story.expires().then(EV_CLOSED | EV_TIMEOUT | EV_RST_DUE, state="CLOSED", deadline=0)


@conformance("smoltcp:established_send_window_shrink", "packetimpact:WindowShrink", "rfc9293:MUST-34", "rfc9293:SHLD-15")
def test_established_window_shrinks_below_what_is_in_flight() -> None:
    story = Story()
    story.queues(2 * MSS)
    story.gets("A", theirs(1), ours(1), wnd=MSS).then(0, snd_wnd=MSS)
    story.queues(6).then(6, snd_end=ours(7 + 2 * MSS))
    story.gets("A", theirs(1), ours(1 + 2 * MSS), wnd=MSS).then(
        EV_ACKED, Sent("PA", ours(1 + 2 * MSS), theirs(1), 6), snd_una=ours(1 + 2 * MSS), snd_nxt=ours(7 + 2 * MSS)
    )


@conformance("smoltcp:fill_peer_window", "smoltcp:maximum_segment_size", "smoltcp:psh_transmit")
def test_established_window_is_filled_with_full_segments() -> None:
    story = Story()
    story.gets("A", theirs(1), ours(1), wnd=3 * MSS).then(0, snd_wnd=3 * MSS)
    story.queues(4 * MSS).then(
        4 * MSS, *(Sent("A", ours(1 + k * MSS), theirs(1), MSS) for k in range(3)), snd_end=ours(1 + 4 * MSS),
        snd_nxt=ours(1 + 3 * MSS), deadline=201, bits="+TIMED",
    )  # fmt: skip
    step = story.gets("A", theirs(1), ours(1 + 3 * MSS), wnd=3 * MSS)
    assert (step.events, step.sent) == (EV_ACKED, [Sent("PA", ours(1 + 3 * MSS), theirs(1), MSS)])


@conformance("smoltcp:nagle", "rfc9293:SHLD-7", "smoltcp:final_packet_in_stream_doesnt_wait_for_nagle")
def test_established_nagle_waits_for_the_ack_and_not_with_the_fin() -> None:
    story = Story(nagle=1)
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    story.queues(6).then(6, snd_end=ours(13))
    story.gets("A", theirs(1), ours(7)).then(EV_ACKED, Sent("PA", ours(7), theirs(1), 6), snd_una=ours(7), snd_nxt=ours(13))
    story.queues(6).then(6, snd_end=ours(19))
    story.closes().then(
        None, Sent("FPA", ours(13), theirs(1), 6), state="FIN_WAIT_1", snd_nxt=ours(20), bits="+FIN_QUEUED"
    )  # fmt: skip
