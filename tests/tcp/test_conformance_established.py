"""Data, ACKs and resets of an established connection, as other suites test them: RFC 9293 section 3.10.7.4, RFC 5961."""

from __future__ import annotations

import itertools

import pytest

from tcp.board import new_boards
from tcp.connection import OWN_WINDOW
from tcp.events import (
    EV_ACKED,
    EV_CHALLENGE,
    EV_CLOSED,
    EV_DATA,
    EV_DUPLICATE,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_RETRANSMIT,
    EV_UNACCEPTABLE,
    EV_URGENT,
)
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS
from tcp.window import offer
from tests.tcp.builders import MSS, START, Endpoint, Sent, at, ours, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance

RCV = {"CLOSE_WAIT": 2, "CLOSING": 2, "LAST_ACK": 2, "TIME_WAIT": 2}
SND = {"FIN_WAIT_1": 2, "FIN_WAIT_2": 2, "CLOSING": 2, "LAST_ACK": 2, "TIME_WAIT": 2}
SYNCHRONIZED = ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"]


@conformance("smoltcp:established_recv", "smoltcp:psh_receive", "lwip:recv_inseq")
@pytest.mark.parametrize("flags", ["A", "PA"])
def test_established_data_in_order_is_taken_and_acknowledged(flags: str) -> None:
    """With and without PSH: nothing is held back for want of it (section 3.9.1.2)."""
    story = Story()
    story.gets(flags, theirs(1), ours(1), 6).then(EV_DATA, Sent("A", ours(1), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=65529)
    assert (story.endpoint.segment.accepted, story.endpoint.segment.skip) == (6, 0)


@conformance("smoltcp:established_sliding_window_recv")
def test_established_window_slides_with_what_is_consumed() -> None:
    story = Story(rcv_wnd=2 * MSS)
    for k in range(4):
        story.gets("A", theirs(1 + k * MSS), ours(1), MSS).then(
            EV_DATA, Sent("A", ours(1), theirs(1 + (k + 1) * MSS)), rcv_nxt=theirs(1 + (k + 1) * MSS)
        )
        assert story.endpoint.out.wnd == 2 * MSS


@pytest.mark.conformance("rfc9293:MUST-65")
@conformance("smoltcp:established_send", "smoltcp:established_send_wrap", "smoltcp:buffer_wraparound_tx")
def test_established_data_is_sent_across_the_wrap() -> None:
    story = Story()
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    assert ours(7) < ours(1)
    story.gets("A", theirs(1), ours(7)).then(EV_ACKED, snd_una=ours(7), deadline=0, bits="-TIMED")


@conformance("smoltcp:established_send_no_ack_send", "lwip:retx_add_to_sent")
def test_established_second_write_does_not_wait_for_the_ack() -> None:
    story = Story()
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    story.queues(4).then(4, Sent("PA", ours(7), theirs(1), 4), snd_end=ours(11), snd_nxt=ours(11))


@conformance("smoltcp:established_send_buf_gt_win")
def test_established_no_more_than_the_window_is_sent() -> None:
    endpoint = at("SYN_SENT")
    endpoint.gets("SA", theirs(0), ours(1), wnd=16, mss=MSS)
    endpoint.sends()
    story = Story(endpoint=endpoint)
    story.queues(32).then(32, Sent("A", ours(1), theirs(1), 16), snd_end=ours(33), snd_nxt=ours(17), deadline=201, bits="+TIMED")
    story.gets("A", theirs(1), ours(17), wnd=16).then(
        EV_ACKED, Sent("PA", ours(17), theirs(1), 16), snd_una=ours(17), snd_nxt=ours(33)
    )


@conformance("smoltcp:established_no_ack", "packetdrill:validate/validate-established-no-flags")
@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("flags", ["", "P", "F", "U"])
def test_segment_without_ack_is_dropped_in_silence(state: str, flags: str) -> None:
    Story(state).gets(flags, theirs(RCV.get(state, 1)), 0, 10).then(EV_UNACCEPTABLE)


@conformance("smoltcp:established_bad_ack", "packetimpact:EstablishedUnaccSeqAck", "packetimpact:PassiveCloseUnaccSeqAck")
@conformance("packetimpact:ActiveCloseUnaccpSeqAck", "packetimpact:SimultaneousCloseUnaccSeqAck")
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSING"])
@pytest.mark.parametrize(
    ("offset", "beyond", "payload", "events"),
    [
        (0, 1, 0, EV_CHALLENGE),
        (0, 1, 10, EV_CHALLENGE),
        (0, 1 << 30, 10, EV_CHALLENGE),
        (65_535, 0, 10, EV_UNACCEPTABLE),
        (65_536, 0, 0, EV_UNACCEPTABLE),
        (-11, 0, 10, EV_UNACCEPTABLE | EV_DUPLICATE),
    ],
)
def test_unacceptable_sequence_or_ack_number_is_answered_with_where_we_are(
    state: str, offset: int, beyond: int, payload: int, events: int
) -> None:
    rcv, snd = RCV.get(state, 1), SND.get(state, 1)
    story = Story(state)
    step = story.gets("A", theirs(rcv + offset), ours(snd + beyond), payload)
    assert step.changed.pop("bits", "+COLD_READY") == "+COLD_READY"
    step.then(events, Sent("A", ours(snd), theirs(rcv)))


@conformance("packetimpact:TCPOutsideTheWindow")
@pytest.mark.parametrize(
    ("flags", "payload", "offset", "answered"),
    [
        (flags, payload, offset, flags != "R")
        for flags, payload in (("S", 0), ("SA", 0), ("A", 0), ("FA", 0), ("PA", 10), ("R", 0))
        for offset in (65_536, 100_000, -100_000)
    ],
)
def test_established_outside_the_window(flags: str, payload: int, offset: int, answered: bool) -> None:
    story = Story()
    step = story.gets(flags, theirs(1 + offset), ours(1), payload)
    assert step.changed.pop("bits", "+COLD_READY") == "+COLD_READY"
    step.then(EV_UNACCEPTABLE | (EV_DUPLICATE if offset < 0 and answered else 0), *([Sent("A", ours(1), theirs(1))] * answered))


@conformance("packetimpact:AckOTWSeqInClosing")
@pytest.mark.parametrize("offset", [65_535, 65_536, 1 << 20])
@pytest.mark.parametrize("payload", [0, 1])
def test_closing_outside_the_window_does_not_acknowledge_the_fin(offset: int, payload: int) -> None:
    story = Story("CLOSING")
    step = story.gets("A", theirs(2 + offset), ours(2), payload)
    assert step.changed.pop("bits", "+COLD_READY") == "+COLD_READY"
    step.then(EV_UNACCEPTABLE, Sent("A", ours(2), theirs(2)))
    assert story.endpoint.state == "CLOSING"


@conformance("smoltcp:established_rst", "smoltcp:established_rst_no_ack", "lwip:process_rst_seqno", "rfc9293:MUST-12")
@conformance("smoltcp:rx_close_rst")
@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("flags", ["R", "RA"])
def test_rst_with_the_next_number_ends_the_connection(state: str, flags: str) -> None:
    story = Story(state)
    closing = state in ("CLOSING", "LAST_ACK", "TIME_WAIT")
    step = story.gets(flags, theirs(RCV.get(state, 1)), ours(SND.get(state, 1)))
    step.changed.pop("deadline", 0)
    step.then(EV_CLOSED if closing else EV_RESET | EV_CLOSED, state="CLOSED")
    assert story.endpoint.conn.deadline == 0


@conformance("rfc9293:SHLD-2")
def test_established_rst_may_contain_data() -> None:
    Story().gets("RA", theirs(1), ours(1), 20).then(EV_RESET | EV_CLOSED, state="CLOSED")


@conformance("rfc9293:MUST-66")
def test_established_rst_and_urgent_data_count_though_the_window_is_shut() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = 0
    story = Story(endpoint=endpoint)
    story.gets("UA", theirs(1), ours(1), 10, urp=7).then(EV_URGENT, Sent("A", ours(1), theirs(1)), bits="+COLD_READY +URGENT")
    assert endpoint.cold.rcv_up == theirs(8)
    story.gets("R", theirs(1)).then(EV_RESET | EV_CLOSED, state="CLOSED")


@conformance("smoltcp:rx_close_rst_with_hole")
def test_established_rst_behind_a_hole_is_challenged_and_the_exact_one_believed() -> None:
    boards = new_boards(1)
    story = Story(boards=boards.address)
    step = story.gets("A", theirs(5), ours(1), 3)
    step.then(EV_OUT_OF_ORDER, Sent("A", ours(1), theirs(1)), bits="+COLD_READY")
    story.gets("R", theirs(8)).then(EV_CHALLENGE, Sent("A", ours(1), theirs(1)))
    story.gets("R", theirs(1)).then(EV_RESET | EV_CLOSED, state="CLOSED")
    assert story.endpoint.cold.board


@conformance("smoltcp:established_abort", "lwip:active_abort")
@pytest.mark.parametrize("state", ["SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT"])
def test_abort_sends_an_rst(state: str) -> None:
    story = Story(state)
    step = story.aborts()
    step.changed.pop("deadline", 0)
    step.then(Sent("RA", ours(SND.get(state, 1)), theirs(RCV.get(state, 1))), state="CLOSED")


@conformance("rfc9293:SHLD-27", "rfc9293:MAY-16", "rfc9293:SHLD-28", "rfc9293:MUST-61")
def test_established_what_several_writes_left_leaves_in_full_segments_with_one_push() -> None:
    endpoint = at("ESTABLISHED")
    for _ in range(3):
        assert endpoint.queue(MSS // 2 + 1) == MSS // 2 + 1
    story = Story(endpoint=endpoint)
    story.does(lambda: 0).then(
        0, Sent("A", ours(1), theirs(1), MSS), Sent("PA", ours(1 + MSS), theirs(1), MSS // 2 + 3), snd_nxt=ours(4 + 3 * MSS // 2),
        deadline=201, bits="+TIMED",
    )  # fmt: skip


@conformance("packetimpact:SendWindowSizesPiggyback")
@pytest.mark.parametrize("size", [1, 10, 700])
def test_established_window_rides_on_data(size: int) -> None:
    endpoint = at("ESTABLISHED")
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = 3000
    endpoint.gets("PA", theirs(1), ours(1), size)
    endpoint.queue(5)
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(1 + size), 5)]
    assert endpoint.out.wnd == 3000 - size
    offer(endpoint.conn, endpoint.limits.record, 3000, 3000)
    endpoint.queue(5)
    assert endpoint.sends() == [Sent("PA", ours(6), theirs(1 + size), 5)]
    assert endpoint.out.wnd == (3000 if size >= MSS else 3000 - size)


@conformance(
    "packetimpact:ZeroToNonZeroWindowUpdate", "packetimpact:NonZeroReceiveWindow", "smoltcp:window_update_with_delay_ack"
)
@conformance("smoltcp:delayed_ack_win")
def test_established_reading_opens_a_window_at_once_though_acks_are_delayed() -> None:
    endpoint = at("ESTABLISHED", delack_ms=40)
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = 2 * MSS
    story = Story(endpoint=endpoint)
    story.gets("PA", theirs(1), ours(1), 2 * MSS).then(
        EV_DATA, rcv_nxt=theirs(1 + 2 * MSS), rcv_wnd=0, bits="+COLD_READY +ACK_LATER", deadline=41
    )
    story.does(lambda: offer(endpoint.conn, endpoint.limits.record, 2 * MSS, 2 * MSS)).then(
        None, Sent("A", ours(1), theirs(1 + 2 * MSS)), rcv_wnd=2 * MSS, bits="-ACK_LATER", deadline=0
    )
    assert endpoint.out.wnd == 2 * MSS


@conformance("smoltcp:nagle_works_with_reduced_payload_from_options")
def test_established_nagle_takes_a_segment_with_timestamps_for_a_full_one() -> None:
    """A full segment has 12 bytes less of payload then: it must not wait."""
    endpoint = Endpoint(options=OPT_TIMESTAMPS, nagle=1).connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS, ts=(1, START // 1000))
    endpoint.sends()
    size = MSS - 12
    endpoint.queue(2 * size)
    assert [(sent.seq, sent.payload_len) for sent in endpoint.sends()] == [(ours(1), size), (ours(1 + size), size)]
    endpoint.queue(size - 1)
    assert endpoint.sends() == []


@conformance("rfc9293:SHLD-14")
@pytest.mark.parametrize("reads", list(itertools.product([0, 300, 2000], repeat=3)))
def test_established_right_edge_never_goes_back(reads: tuple[int, ...]) -> None:
    buffer, edge, taken, unread = 2 * MSS, 2 * MSS, 0, 0
    endpoint = at("ESTABLISHED")
    endpoint.conn.bits = int(endpoint.conn.bits) | OWN_WINDOW
    endpoint.conn.rcv_wnd = buffer
    for read in reads:
        endpoint.gets("A", theirs(1 + taken), ours(1), 600)
        taken += int(endpoint.segment.accepted)
        unread = max(unread + int(endpoint.segment.accepted) - read, 0)
        offer(endpoint.conn, endpoint.limits.record, buffer - unread, buffer)
        assert len(endpoint.sends()) == 1
        assert edge <= taken + int(endpoint.out.wnd) <= taken + buffer - unread
        edge = taken + int(endpoint.out.wnd)


@conformance("packetimpact:PAWSMechanism", "rfc9293:MUST-5")
def test_established_old_timestamp_of_a_segment_in_the_window() -> None:
    clock = START // 1000
    endpoint = Endpoint(options=OPT_TIMESTAMPS | OPT_SACK_PERMITTED).connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS, ts=(0xFFFFFFFE, clock))
    endpoint.sends()
    story = Story(endpoint=endpoint)
    story.gets("A", theirs(1), ours(1), 10, ts=(2, clock)).then(
        EV_DATA, Sent("A", ours(1), theirs(11), ts=(clock, 2)), rcv_nxt=theirs(11), rcv_wnd=65525
    )
    story.gets("A", theirs(11), ours(1), 10, ts=(0xFFFFFFFF, clock)).then(
        EV_UNACCEPTABLE, Sent("A", ours(1), theirs(11), ts=(clock, 2))
    )


@conformance("smoltcp:established_timeout", "packetimpact:TCPUserTimeout", "lwip:rto_timeout", "lwip:rto_timeout_link_down")
@pytest.mark.parametrize("down", [False, True])
def test_established_gives_up_whether_its_data_leaves_or_not(down: bool) -> None:
    """Down: the device takes nothing, so that next_segment is never asked."""
    endpoint = at("ESTABLISHED", user_timeout_ms=5000)
    endpoint.queue(10)
    endpoint.sends()
    began = endpoint.now
    while endpoint.expire() & EV_RETRANSMIT:
        assert down or endpoint.sends() == [Sent("PA", ours(1), theirs(1), 10, rexmit=1)]
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert 5_000_000 <= endpoint.now - began < 10_000_000


@conformance("lwip:zwp_timeout_link_down")
@pytest.mark.parametrize("down", [False, True])
def test_established_gives_up_probing_whether_its_probes_leave_or_not(down: bool) -> None:
    endpoint = at("ESTABLISHED", retries=5)
    endpoint.gets("A", theirs(1), ours(1), wnd=0)
    endpoint.queue(10)
    endpoint.sends()
    for _ in range(5):
        assert endpoint.expire() & EV_RETRANSMIT
        assert down or [(sent.seq, sent.payload_len) for sent in endpoint.sends()] == [(ours(1), 1)]
    assert endpoint.expire() & EV_CLOSED
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
