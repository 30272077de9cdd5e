"""Urgent data (RFC 9293 section 3.8.5): the pointer, what the application is told, and that everything comes in line."""

from __future__ import annotations

import pytest

from tcp.board import new_boards
from tcp.connection import URGENT
from tcp.events import EV_ACKED, EV_DATA, EV_DUPLICATE, EV_FIN, EV_OUT_OF_ORDER, EV_UNACCEPTABLE, EV_URGENT
from tests.tcp.builders import MSS, Sent, at, ours, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance
FROM = {"ESTABLISHED": 1, "FIN_WAIT_1": 2, "FIN_WAIT_2": 2}
"""The states that take text, and our next number in them."""


def up(story: Story) -> int:
    """RCV.UP, counted from the peer's SYN."""
    return (int(story.endpoint.cold.rcv_up) - theirs(0)) % 2**32


@conformance("rfc9293:MUST-62", "rfc9293:MUST-30")
@pytest.mark.parametrize("state", FROM)
def test_the_pointer_is_the_number_after_the_urgent_data(state: str) -> None:
    """Urgent data that a segment brings whole is pending until the next one: nothing after it is urgent."""
    story, seq = Story(state), ours(FROM[state])
    acked = 2 if state == "FIN_WAIT_2" else 1
    step = story.gets("UPA", theirs(1), ours(acked), 10, urp=10)
    step.changed.pop("deadline", 0)
    step.then(EV_DATA | EV_URGENT, Sent("A", seq, theirs(11)), rcv_nxt=theirs(11), rcv_wnd=65525, bits="+COLD_READY +URGENT")
    assert up(story) == 11
    step = story.gets("A", theirs(11), ours(acked), 5)
    step.changed.pop("deadline", 0)
    step.then(EV_DATA, Sent("A", seq, theirs(16)), rcv_nxt=theirs(16), rcv_wnd=65520, bits="-URGENT")


@conformance("rfc9293:MUST-31", "rfc9293:MUST-32", "rfc9293:MUST-33")
@pytest.mark.parametrize("segments", [1, 2, 100])
def test_urgent_data_of_any_length_is_told_once_and_again_when_it_reaches_further(segments: int) -> None:
    """Told before the first byte of it has come; then how much is to come is known until there is none."""
    story = Story()
    length = segments * MSS
    reach = min(length, 0xFFFF)
    story.gets("UA", theirs(1), ours(1), urp=reach).then(EV_URGENT, bits="+COLD_READY +URGENT")
    furthest = reach
    for k in range(segments):
        nxt = theirs(1 + (k + 1) * MSS)
        pointer = min(length - k * MSS, 0xFFFF)
        news = EV_URGENT if k * MSS + pointer > furthest else 0
        furthest = k * MSS + pointer
        story.gets("UPA", theirs(1 + k * MSS), ours(1), MSS, urp=pointer).then(
            EV_DATA | news, Sent("A", ours(1), nxt), rcv_nxt=nxt
        )
        assert up(story) == 1 + furthest
    story.gets("UA", theirs(1 + length), ours(1), urp=0).then(bits="-URGENT")
    assert furthest == length


@conformance("rfc9293:MUST-32")
def test_new_urgent_data_after_the_old_was_taken_is_told() -> None:
    story = Story()
    for k in range(3):
        step = story.gets("UPA", theirs(1 + 10 * k), ours(1), 10, urp=4)
        assert (step.events, up(story)) == (EV_DATA | EV_URGENT, 5 + 10 * k)


@pytest.mark.parametrize("urp", [0, 65535])
def test_the_pointer_of_a_segment_without_the_bit_means_nothing(urp: int) -> None:
    story = Story()
    step = story.gets("PA", theirs(1), ours(1), 10, urp=urp)
    step.then(EV_DATA, Sent("A", ours(1), theirs(11)), rcv_nxt=theirs(11), rcv_wnd=65525)
    assert story.endpoint.cold_is_untouched


def test_a_pointer_that_is_not_ahead_is_no_news() -> None:
    story = Story()
    story.gets("UA", theirs(1), ours(1), urp=0).then()
    assert story.endpoint.cold_is_untouched
    story.gets("UA", theirs(1), ours(1), urp=100).then(EV_URGENT, bits="+COLD_READY +URGENT")
    story.gets("UA", theirs(1), ours(1), urp=99).then()
    story.gets("UA", theirs(1), ours(1), urp=100).then()
    story.gets("UA", theirs(1), ours(1), urp=101).then(EV_URGENT)
    assert up(story) == 102


@conformance("rfc9293:MUST-32")
def test_urgent_data_beyond_a_gap_is_told_at_once() -> None:
    boards = new_boards(1)
    story = Story(boards=boards.address)
    step = story.gets("UA", theirs(101), ours(1), 10, urp=10)
    assert (step.events, up(story)) == (EV_OUT_OF_ORDER | EV_URGENT, 111)
    step = story.gets("A", theirs(1), ours(1), 100)
    step.then(EV_DATA, Sent("A", ours(1), theirs(111)), rcv_nxt=theirs(111), rcv_wnd=65425)
    story.gets("A", theirs(111), ours(1)).then(bits="-URGENT")


@pytest.mark.parametrize("seq", [-(2**31), -30_000, 2**17, 2**30])
def test_a_segment_outside_the_window_has_no_pointer(seq: int) -> None:
    """Nor does one that came before."""
    story = Story()
    step = story.gets("UA", theirs(1 + seq), ours(1), 10, urp=65535)
    assert step.events == (EV_UNACCEPTABLE | EV_DUPLICATE if seq < 0 else EV_UNACCEPTABLE)
    assert story.endpoint.conn.bits & URGENT == 0


@pytest.mark.parametrize(("state", "acked"), [("CLOSE_WAIT", 1), ("CLOSING", 1), ("LAST_ACK", 1)])
def test_after_the_fin_nothing_is_urgent(state: str, acked: int) -> None:
    story = Story(state)
    assert story.gets("UA", theirs(2), ours(acked), urp=10).events & EV_URGENT == 0
    assert story.endpoint.conn.bits & URGENT == 0


def test_urgent_data_ends_with_the_stream() -> None:
    story = Story()
    step = story.gets("UFA", theirs(1), ours(1), 10, urp=10)
    step.then(
        EV_DATA | EV_URGENT | EV_FIN, Sent("A", ours(1), theirs(12)), rcv_nxt=theirs(12), rcv_wnd=65525,
        state="CLOSE_WAIT", bits="+COLD_READY +URGENT",
    )  # fmt: skip
    story.queues(5).then(5, Sent("PA", ours(1), theirs(12), 5), snd_end=ours(6), snd_nxt=ours(6), bits="+TIMED", deadline=201)
    step = story.gets("A", theirs(12), ours(6))
    assert (step.events, str(step.changed["bits"])) == (EV_ACKED, "-TIMED -URGENT")


@conformance("rfc9293:SHLD-13")
def test_nothing_of_ours_is_urgent() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("UPA", theirs(1), ours(1), 10, urp=10)
    endpoint.queue(3 * MSS)
    endpoint.close()
    assert {flag for sent in endpoint.sends() for flag in sent.flags} == {"A", "P", "F"}
