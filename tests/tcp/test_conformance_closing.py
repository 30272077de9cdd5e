"""Closing a connection, as other suites test it: RFC 9293 sections 3.6, 3.10.4 and 3.10.7.4, whole state by whole state."""

from __future__ import annotations

import pytest

from tcp.events import (
    EV_ACKED,
    EV_CHALLENGE,
    EV_CLOSED,
    EV_DATA,
    EV_DUPLICATE,
    EV_FIN,
    EV_FIN_ACKED,
    EV_RETRANSMIT,
    EV_RST_DUE,
    EV_TIME_WAIT,
    EV_TIMEOUT,
    EV_UNACCEPTABLE,
)
from tcp.limits import new_limits
from tcp.reset import reset_for
from tests.tcp.builders import MSS, Sent, at, ours, sent_of, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance
ACK_FIN = Sent("A", ours(2), theirs(2))
"""Of the peer's FIN, after ours."""
TWO_MSL = 60_001


@conformance("smoltcp:established_fin", "smoltcp:rx_close_fin", "lwip:passive_close", "smoltcp:remote_close")
@conformance("packetdrill:close/close-remote-fin-then-close")
def test_established_fin_then_close() -> None:
    story = Story()
    story.gets("FA", theirs(1), ours(1)).then(EV_FIN, Sent("A", ours(1), theirs(2)), state="CLOSE_WAIT", rcv_nxt=theirs(2))
    story.closes().then(None, Sent("FA", ours(1), theirs(2)), state="LAST_ACK", snd_nxt=ours(2), deadline=201, bits="+FIN_QUEUED")
    story.gets("A", theirs(2), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_CLOSED, state="CLOSED", snd_una=ours(2), deadline=0
    )  # fmt: skip


@conformance("smoltcp:established_close", "smoltcp:established_send_fin", "lwip:active_close", "smoltcp:local_close")
@conformance("packetdrill:close/close-local-close-then-remote-fin")
def test_established_close_then_fin() -> None:
    story = Story()
    story.closes().then(
        None, Sent("FA", ours(1), theirs(1)), state="FIN_WAIT_1", snd_nxt=ours(2), deadline=201, bits="+FIN_QUEUED"
    )
    story.gets("A", theirs(1), ours(2)).then(EV_ACKED | EV_FIN_ACKED, state="FIN_WAIT_2", snd_una=ours(2), deadline=TWO_MSL)
    story.gets("FA", theirs(1), ours(2)).then(EV_FIN | EV_TIME_WAIT, ACK_FIN, state="TIME_WAIT", rcv_nxt=theirs(2))
    story.expires().then(EV_CLOSED, state="CLOSED", deadline=0)


@conformance("smoltcp:fin_with_data", "smoltcp:established_send_fin")
def test_established_fin_leaves_with_the_last_data() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6)
    story = Story(endpoint=endpoint)
    story.closes().then(
        None, Sent("FPA", ours(1), theirs(1), 6), state="FIN_WAIT_1", snd_nxt=ours(8), deadline=201, bits="+FIN_QUEUED"
    )
    story.queues(5).then(0)


@conformance("smoltcp:fin_wait_1_fin_ack")
def test_fin_wait_1_fin_with_the_ack_of_ours() -> None:
    Story("FIN_WAIT_1").gets("FA", theirs(1), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_FIN | EV_TIME_WAIT, ACK_FIN, state="TIME_WAIT", snd_una=ours(2), rcv_nxt=theirs(2),
        deadline=TWO_MSL,
    )  # fmt: skip


@conformance(
    "smoltcp:fin_wait_1_fin_fin", "smoltcp:rx_close_fin_in_fin_wait_1", "packetdrill:close/close-local-close-then-remote-fin"
)
def test_fin_wait_1_fin_without_it() -> None:
    Story("FIN_WAIT_1").gets("FA", theirs(1), ours(1)).then(EV_FIN, ACK_FIN, state="CLOSING", rcv_nxt=theirs(2))


@conformance("smoltcp:fin_wait_1_fin_with_data_queued")
def test_established_fin_while_ours_waits_behind_data() -> None:
    """Our FIN waits behind the data, so that the peer's finds an open connection."""
    endpoint = at("SYN_SENT")
    endpoint.gets("SA", theirs(0), ours(1), wnd=4, mss=MSS)
    endpoint.sends()
    endpoint.queue(10)
    endpoint.close()
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), 4)]
    story = Story(endpoint=endpoint)
    story.gets("FA", theirs(1), ours(5), wnd=65535).then(
        EV_ACKED | EV_FIN, Sent("FPA", ours(5), theirs(2), 6), state="LAST_ACK", snd_una=ours(5), snd_nxt=ours(12),
        snd_wnd=65535, rcv_nxt=theirs(2), bits="-TIMED",
    )  # fmt: skip


@conformance("smoltcp:fin_wait_1_recv")
def test_fin_wait_1_data_is_taken() -> None:
    Story("FIN_WAIT_1").gets("PA", theirs(1), ours(1), 6).then(
        EV_DATA, Sent("A", ours(2), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=65529
    )


@conformance("smoltcp:fin_wait_2_recv")
def test_fin_wait_2_data_is_taken() -> None:
    Story("FIN_WAIT_2").gets("PA", theirs(1), ours(2), 6).then(
        EV_DATA, Sent("A", ours(2), theirs(7)), rcv_nxt=theirs(7), rcv_wnd=65529
    )


@conformance("smoltcp:fin_wait_2_fin", "smoltcp:rx_close_fin_in_fin_wait_2", "smoltcp:time_wait_from_fin_wait_2_ack")
def test_fin_wait_2_fin() -> None:
    story = Story("FIN_WAIT_2")
    story.endpoint.now += 1_000_000
    story.gets("FA", theirs(1), ours(2)).then(
        EV_FIN | EV_TIME_WAIT, ACK_FIN, state="TIME_WAIT", rcv_nxt=theirs(2), deadline=TWO_MSL
    )


@conformance("smoltcp:closing_ack_fin", "smoltcp:time_wait_from_closing_no_ack", "lwip:imultaneous_close")
def test_closing_ack_of_our_fin() -> None:
    Story("CLOSING").gets("A", theirs(2), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_TIME_WAIT, state="TIME_WAIT", snd_una=ours(2), deadline=TWO_MSL
    )


@conformance("smoltcp:fin_wait_1_close", "smoltcp:fin_wait_2_close", "smoltcp:closing_close", "smoltcp:time_wait_close")
@conformance("smoltcp:last_ack_close")
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "LAST_ACK", "TIME_WAIT"])
def test_close_once_more_changes_nothing(state: str) -> None:
    Story(state).closes().then(None)


@conformance("smoltcp:close_wait_close")
def test_close_wait_close_sends_the_fin() -> None:
    Story("CLOSE_WAIT").closes().then(
        None, Sent("FA", ours(1), theirs(2)), state="LAST_ACK", snd_nxt=ours(2), deadline=201, bits="+FIN_QUEUED"
    )


@conformance("smoltcp:close_wait_ack")
def test_close_wait_data_of_ours_is_acknowledged() -> None:
    story = Story("CLOSE_WAIT")
    story.queues(6).then(6, Sent("PA", ours(1), theirs(2), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    story.gets("A", theirs(2), ours(7)).then(EV_ACKED, snd_una=ours(7), deadline=0, bits="-TIMED")


@conformance("smoltcp:last_ack_fin_ack")
def test_last_ack_ack_of_our_fin() -> None:
    Story("LAST_ACK").gets("A", theirs(2), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_CLOSED, state="CLOSED", snd_una=ours(2), deadline=0
    )


@conformance("smoltcp:last_ack_ack_not_of_fin", "smoltcp:last_ack_duplicate_ack_challenge_ack")
def test_last_ack_ack_of_something_else() -> None:
    """An old ACK is heard in silence, one of what was never sent challenged, as in every state (RFC 5961 section 5.2)."""
    story = Story("LAST_ACK")
    story.gets("A", theirs(2), ours(1)).then(0, bits="+COLD_READY")
    story.gets("A", theirs(2), ours(3)).then(EV_CHALLENGE, Sent("A", ours(2), theirs(2)))


@conformance("smoltcp:simultaneous_close", "lwip:imultaneous_close")
def test_established_both_close_at_once() -> None:
    story = Story()
    story.closes().then(
        None, Sent("FA", ours(1), theirs(1)), state="FIN_WAIT_1", snd_nxt=ours(2), deadline=201, bits="+FIN_QUEUED"
    )
    story.gets("FA", theirs(1), ours(1)).then(EV_FIN, ACK_FIN, state="CLOSING", rcv_nxt=theirs(2))
    story.gets("A", theirs(2), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_TIME_WAIT, state="TIME_WAIT", snd_una=ours(2), deadline=TWO_MSL
    )


@conformance("smoltcp:simultaneous_close_combined_fin_ack")
def test_established_close_meets_a_fin_that_acknowledges_it() -> None:
    story = Story()
    story.closes().then(
        None, Sent("FA", ours(1), theirs(1)), state="FIN_WAIT_1", snd_nxt=ours(2), deadline=201, bits="+FIN_QUEUED"
    )
    story.gets("FA", theirs(1), ours(2)).then(
        EV_ACKED | EV_FIN_ACKED | EV_FIN | EV_TIME_WAIT, ACK_FIN, state="TIME_WAIT", snd_una=ours(2), rcv_nxt=theirs(2),
        deadline=TWO_MSL,
    )  # fmt: skip


@conformance("smoltcp:simultaneous_close_raced", "smoltcp:simultaneous_close_raced_with_data")
@pytest.mark.parametrize("payload", [0, 6])
def test_established_fin_arrives_before_ours_has_left(payload: int) -> None:
    """Close was called, and the peer's FIN comes before next_segment: what leaves acknowledges it."""
    endpoint = at("ESTABLISHED")
    endpoint.queue(payload)
    endpoint.close()
    story = Story(endpoint=endpoint)
    flags = "FPA" if payload else "FA"
    story.gets(flags, theirs(1), ours(1), payload).then(
        EV_FIN | (EV_DATA if payload else 0), Sent(flags, ours(1), theirs(2 + payload), payload), state="LAST_ACK",
        snd_nxt=ours(2 + payload), rcv_nxt=theirs(2 + payload), deadline=201,
        **({"rcv_wnd": 65535 - payload} if payload else {}),
    )  # fmt: skip
    story.gets("A", theirs(2 + payload), ours(2 + payload)).then(
        EV_ACKED | EV_FIN_ACKED | EV_CLOSED, state="CLOSED", snd_una=ours(2 + payload), deadline=0
    )


@conformance("smoltcp:mutual_close_with_data_1", "smoltcp:mutual_close_with_data_2")
@pytest.mark.parametrize("together", [True, False])
def test_established_both_close_with_data(together: bool) -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6)
    endpoint.close()
    assert endpoint.sends() == [Sent("FPA", ours(1), theirs(1), 6)]
    story = Story(endpoint=endpoint)
    if together:
        story.gets("FPA", theirs(1), ours(8), 3).then(
            EV_ACKED | EV_FIN_ACKED | EV_DATA | EV_FIN | EV_TIME_WAIT, Sent("A", ours(8), theirs(5)), state="TIME_WAIT",
            snd_una=ours(8), rcv_nxt=theirs(5), rcv_wnd=65532, deadline=TWO_MSL,
        )  # fmt: skip
    else:
        story.gets("PA", theirs(1), ours(8), 3).then(
            EV_ACKED | EV_FIN_ACKED | EV_DATA, Sent("A", ours(8), theirs(4)), state="FIN_WAIT_2", snd_una=ours(8),
            rcv_nxt=theirs(4), rcv_wnd=65532, deadline=TWO_MSL,
        )  # fmt: skip
        story.gets("FA", theirs(4), ours(8)).then(
            EV_FIN | EV_TIME_WAIT, Sent("A", ours(8), theirs(5)), state="TIME_WAIT", rcv_nxt=theirs(5)
        )


@conformance("smoltcp:time_wait_retransmit", "rfc9293:MUST-13")
def test_time_wait_fin_again_is_acknowledged_and_starts_the_wait_again() -> None:
    story = Story("TIME_WAIT")
    story.endpoint.now += 7_000_000
    step = story.gets("FA", theirs(1), ours(2))
    step.then(EV_UNACCEPTABLE | EV_DUPLICATE, ACK_FIN, deadline=TWO_MSL)


@conformance("smoltcp:time_wait_timeout", "rfc9293:MUST-13")
def test_time_wait_lasts_two_minutes_at_most_and_a_minute_unless_told() -> None:
    """2 MSL, with an MSL of 30 seconds as most stacks have it; `time_wait_ms` may say 4 minutes, the RFC's own."""
    assert int(new_limits().record.time_wait_ms) == 60_000
    for wait in (60_000, 240_000):
        story = Story("TIME_WAIT", time_wait_ms=wait)
        began = story.endpoint.now
        story.endpoint.now += wait * 1000 - 1
        story.does(story.endpoint.timer).then(0)
        story.expires().then(EV_CLOSED, state="CLOSED", deadline=0)
        assert wait * 1000 <= story.endpoint.now - began <= wait * 1000 + 2000


@conformance("packetimpact:FinWait2Timeout")
def test_fin_wait_2_ends_and_the_peer_is_reset_afterwards() -> None:
    story = Story("FIN_WAIT_2", fin_wait_2_ms=3000)
    story.expires().then(EV_CLOSED | EV_TIMEOUT, state="CLOSED", deadline=0)
    story.gets("A", theirs(1), ours(2)).then(EV_RST_DUE)
    assert reset_for(story.endpoint.segment, story.endpoint.out)
    assert sent_of(story.endpoint.out) == Sent("R", ours(2), 0)


@conformance("packetimpact:TCPClosingFinRetransmission", "smoltcp:retransmit_fin_wait", "smoltcp:retransmit_fin")
@pytest.mark.parametrize(("state", "peer"), [("FIN_WAIT_1", 1), ("CLOSING", 2), ("LAST_ACK", 2)])
def test_our_fin_is_sent_again(state: str, peer: int) -> None:
    story = Story(state)
    story.expires().then(
        EV_RETRANSMIT, Sent("FA", ours(1), theirs(peer), rexmit=1), retries=1, rto=400, deadline=401,
        bits="+COLD_READY",
    )  # fmt: skip


@conformance("smoltcp:fin_wait_1_retransmit_reset_after_ack", "smoltcp:close_wait_retransmit_reset_after_ack")
@conformance("smoltcp:data_retransmit_bursts_half_ack_close")
@pytest.mark.parametrize("state", ["CLOSE_WAIT", "FIN_WAIT_1"])
def test_repeated_data_acknowledged_in_two_parts(state: str) -> None:
    endpoint = at("CLOSE_WAIT" if state == "CLOSE_WAIT" else "ESTABLISHED")
    peer = 2 if state == "CLOSE_WAIT" else 1
    endpoint.queue(2 * MSS)
    endpoint.sends()
    if state == "FIN_WAIT_1":
        endpoint.close()
        assert endpoint.sends() == [Sent("FA", ours(1 + 2 * MSS), theirs(1))]
    assert endpoint.expire() == EV_RETRANSMIT
    assert endpoint.sends() == [Sent("A", ours(1), theirs(peer), MSS, rexmit=1)]
    endpoint.gets("A", theirs(peer), ours(1 + MSS))
    assert (endpoint.conn.retries, endpoint.state) == (0, state)
    last = Sent("FPA" if state == "FIN_WAIT_1" else "PA", ours(1 + MSS), theirs(peer), MSS, rexmit=1)
    assert endpoint.sends() == [last]
    end = 2 + 2 * MSS if state == "FIN_WAIT_1" else 1 + 2 * MSS
    events = EV_ACKED | (EV_FIN_ACKED if state == "FIN_WAIT_1" else 0)
    assert endpoint.gets("A", theirs(peer), ours(end)) == events
    assert (endpoint.conn.snd_una, endpoint.conn.snd_nxt, endpoint.conn.retries) == (ours(end), ours(end), 0)
    assert endpoint.sends() == []


@conformance("smoltcp:fin_wait_1_timeout", "smoltcp:last_ack_timeout")
@pytest.mark.parametrize(("state", "peer"), [("FIN_WAIT_1", 1), ("LAST_ACK", 2)])
def test_our_fin_is_given_up_after_the_user_timeout(state: str, peer: int) -> None:
    endpoint = at(state, user_timeout_ms=1000)
    began = endpoint.now
    while endpoint.expire() == EV_RETRANSMIT:
        assert endpoint.sends() == [Sent("FA", ours(1), theirs(peer), rexmit=1)]
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert 1_000_000 <= endpoint.now - began < 2_000_000


@conformance("lwip:gen_rst_in_TIME_WAIT")
@pytest.mark.parametrize("offset", [0, 1, 1000])
def test_time_wait_ack_of_something_never_sent(offset: int) -> None:
    """RFC 9293 section 3.10.7.4: an ACK in TIME_WAIT, not an RST; a new SYN is for the listener (EV_REUSE)."""
    story = Story("TIME_WAIT")
    story.gets("A", theirs(2 + offset), ours(3)).then(EV_CHALLENGE, Sent("A", ours(2), theirs(2)), bits="+COLD_READY")
    assert story.endpoint.state == "TIME_WAIT"
