"""Segments out of order: what is delivered, acknowledged and reported, against a model that counts single bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcp.board import BOARD, RANGES, new_boards
from tcp.connection import IN_ORDER_ONLY, OWN_WINDOW, SACK_OK
from tcp.events import EV_DATA, EV_DUPLICATE, EV_FIN, EV_OUT_OF_ORDER, EV_UNACCEPTABLE
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs
from tests.tcp.early_model import Model

WINDOW = 60


def receiver(window: int = WINDOW, state: str = "ESTABLISHED") -> Endpoint:
    """An endpoint that keeps what comes early, with a window of *window* bytes that does not open by itself."""
    boards = new_boards(1)
    endpoint = at(state, boards=boards.address)
    endpoint.boards = boards
    endpoint.conn.bits = int(endpoint.conn.bits) | SACK_OK | OWN_WINDOW
    endpoint.conn.rcv_wnd = window
    return endpoint


def byte(n: int) -> int:
    """The peer's sequence number of byte *n*; the first is 0."""
    return theirs(n + 1)


class Reader:
    """An application that notes which bytes it is given, beside the endpoint."""

    def __init__(self, endpoint: Endpoint, window: int = WINDOW) -> None:
        self.endpoint = endpoint
        self.model = Model(window)
        self.given: set[int] = set()
        self.in_order = 0

    def takes(self, start: int, length: int, fin: bool = False) -> None:
        """One segment, to both; all that can be seen must agree."""
        model, endpoint = self.model, self.endpoint
        over = model.over
        events = endpoint.gets("FA" if fin else "A", byte(start), ours(1), length)
        self._note(start, events)
        blocks = model.takes(start, length, fin)
        assert self.given == model.had
        assert self.in_order == model.nxt
        assert bool(events & EV_FIN) == (model.over and not over)
        assert endpoint.conn.rcv_nxt == byte(model.nxt + model.over)
        assert endpoint.conn.rcv_wnd == model.edge - model.nxt
        expected = tuple((byte(left), byte(right)) for left, right in blocks)
        ack = Sent("A", ours(1), byte(model.nxt + model.over), blocks=expected)
        assert endpoint.sends() == [ack]
        assert endpoint.sends() == []

    def _note(self, start: int, events: int) -> None:
        seg = self.endpoint.segment
        accepted = int(seg.accepted)
        if events & EV_DATA:
            assert (start + int(seg.skip), seg.early) == (self.in_order, 0)
            self.in_order += accepted + int(seg.revealed)
        elif accepted:
            assert events & EV_OUT_OF_ORDER
            assert (start + int(seg.skip), seg.revealed) == (self.in_order + int(seg.early), 0)
        self.given |= set(range(start + int(seg.skip), start + int(seg.skip) + accepted))

    def ends(self) -> None:
        """A board is in use only while something is early."""
        early = self.model.had != set(range(self.model.nxt))
        assert self.endpoint.boards.record.free == (0 if early else 1)


FAMILIES = {
    "disjoint": [(0, 4), (4, 4), (8, 4), (12, 4), (16, 4)],
    "gaps": [(1, 2), (5, 2), (9, 2), (13, 2), (17, 2)],
    "overlapping": [(0, 5), (3, 5), (6, 5), (9, 5), (12, 5)],
    "nested": [(0, 20), (2, 16), (4, 12), (6, 8), (8, 4)],
    "same": [(4, 4), (4, 4), (4, 4), (0, 4), (8, 4)],
    "touching": [(0, 8), (8, 2), (4, 8), (12, 1), (11, 3)],
    "edge": [(0, 10), (50, 10), (55, 10), (45, 30), (30, 20)],
}


@pytest.mark.conformance(
    "smoltcp:out_of_order",
    "smoltcp:established_rfc2018_cases",
    "smoltcp:buffer_wraparound_rx",
    "lwip:recv_inseq_trim",
    "lwip:recv_ooseq_overrun_rxwin",
    "lwip:recv_ooseq_overrun_rxwin_edge",
    "rfc9293:SHLD-31",
    "rfc9293:MAY-13",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_established_five_segments_in_every_order(family: str) -> None:
    for order in itertools.permutations(FAMILIES[family]):
        reader = Reader(receiver())
        for start, length in order:
            reader.takes(start, length)
        reader.ends()


@pytest.mark.conformance("lwip:recv_ooseq_FIN_OOSEQ", "lwip:recv_ooseq_FIN_INSEQ", "smoltcp:rx_close_fin_with_hole")
def test_established_fin_in_every_order() -> None:
    for order in itertools.permutations([(0, 4, False), (4, 4, False), (8, 4, False), (12, 3, True)]):
        reader = Reader(receiver())
        for start, length, fin in order:
            if not reader.model.over:
                reader.takes(start, length, fin)
        assert reader.endpoint.state == "CLOSE_WAIT"
        reader.ends()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(-20, WINDOW + 5), st.integers(1, 30)), min_size=1, max_size=40))
def test_established_any_segments(segments: list[tuple[int, int]]) -> None:
    reader = Reader(receiver())
    for start, length in segments:
        nxt = reader.model.nxt
        if nxt == WINDOW or start >= WINDOW:
            continue
        reader.takes(start, length)


@pytest.mark.conformance("lwip:recv_ooseq_max_bytes", "lwip:recv_ooseq_max_pbufs")
def test_established_more_ranges_than_there_is_room_for() -> None:
    """What finds no room is dropped, as if it had been lost; what joins a range is not."""
    endpoint = receiver(window=1000)
    for k in range(RANGES):
        assert endpoint.gets("A", byte(10 + 10 * k), ours(1), 5) == EV_OUT_OF_ORDER
        assert endpoint.segment.accepted == 5
        assert len(endpoint.sends()) == 1
    assert endpoint.gets("A", byte(500), ours(1), 5) == EV_OUT_OF_ORDER
    assert endpoint.segment.accepted == 0
    latest = 10 + 10 * (RANGES - 1)
    blocks = tuple((byte(latest - 10 * k), byte(latest - 10 * k + 5)) for k in range(4))
    assert endpoint.sends() == [Sent("A", ours(1), byte(0), blocks=blocks)]
    assert endpoint.gets("A", byte(15), ours(1), 5) == EV_OUT_OF_ORDER
    assert endpoint.segment.accepted == 5
    assert endpoint.sends()[0].blocks[0] == (byte(10), byte(25))


def test_established_without_a_board_what_is_early_is_dropped() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.conn.bits = int(endpoint.conn.bits) | SACK_OK
    assert endpoint.gets("A", byte(5), ours(1), 5) == EV_OUT_OF_ORDER
    assert endpoint.segment.accepted == 0
    assert endpoint.sends() == [Sent("A", ours(1), byte(0))]


def test_established_in_order_only_early_text_is_dropped() -> None:
    endpoint = receiver()
    endpoint.conn.bits = int(endpoint.conn.bits) | IN_ORDER_ONLY
    assert endpoint.gets("FA", byte(5), ours(1), 5) == EV_OUT_OF_ORDER
    assert endpoint.segment.accepted == 0
    assert endpoint.sends() == [Sent("A", ours(1), byte(0))]
    assert endpoint.gets("A", byte(0), ours(1), 5) == EV_DATA
    assert (endpoint.segment.accepted, endpoint.segment.revealed) == (5, 0)


@pytest.mark.conformance("smoltcp:established_fin_after_missing")
def test_established_fin_after_missing_data() -> None:
    endpoint = receiver()
    assert endpoint.gets("FA", byte(6), ours(1), 3) == EV_OUT_OF_ORDER
    assert endpoint.sends() == [Sent("A", ours(1), byte(0), blocks=((byte(6), byte(9)),))]
    assert endpoint.state == "ESTABLISHED"
    assert endpoint.gets("A", byte(0), ours(1), 6) == EV_DATA | EV_FIN
    assert (endpoint.segment.accepted, endpoint.segment.revealed) == (6, 3)
    assert endpoint.sends() == [Sent("A", ours(1), byte(10))]
    assert endpoint.state == "CLOSE_WAIT"


@pytest.mark.parametrize(("state", "then"), [("FIN_WAIT_1", "CLOSING"), ("FIN_WAIT_2", "TIME_WAIT")])
def test_fin_wait_early_fin(state: str, then: str) -> None:
    endpoint = receiver(state=state)
    ack = ours(1) if state == "FIN_WAIT_1" else ours(2)
    assert endpoint.gets("FA", byte(3), ack) == EV_OUT_OF_ORDER
    assert endpoint.sends() == [Sent("A", ours(2), byte(0))]
    assert endpoint.gets("A", byte(0), ack, 3) & (EV_DATA | EV_FIN) == EV_DATA | EV_FIN
    assert endpoint.state == then
    assert endpoint.sends() == [Sent("A", ours(2), byte(4))]


@pytest.mark.conformance("smoltcp:established_receive_partially_outside_window", "smoltcp:recv_out_of_recv_win")
def test_established_text_beyond_the_window_is_cut_off() -> None:
    endpoint = receiver(window=10)
    assert endpoint.gets("A", byte(6), ours(1), 10) == EV_OUT_OF_ORDER
    assert (endpoint.segment.accepted, endpoint.segment.early) == (4, 6)
    assert endpoint.sends()[0].blocks == ((byte(6), byte(10)),)
    assert endpoint.gets("A", byte(10), ours(1), 1) == EV_UNACCEPTABLE


@pytest.mark.conformance("smoltcp:established_receive_partially_outside_window_fin")
def test_established_fin_beyond_the_window_is_cut_off() -> None:
    endpoint = receiver(window=10)
    assert endpoint.gets("FA", byte(0), ours(1), 12) == EV_DATA
    assert endpoint.state == "ESTABLISHED"
    assert endpoint.sends() == [Sent("A", ours(1), byte(10))]


@pytest.mark.conformance("smoltcp:duplicate_seq_ack")
def test_established_old_text_is_reported_once() -> None:
    """RFC 2883 section 4.1."""
    endpoint = receiver()
    endpoint.gets("A", byte(0), ours(1), 10)
    endpoint.sends()
    assert endpoint.gets("A", byte(0), ours(1), 10) == EV_UNACCEPTABLE | EV_DUPLICATE
    assert endpoint.sends() == [Sent("A", ours(1), byte(10), blocks=((byte(0), byte(10)),))]
    endpoint.gets("A", byte(10), ours(1), 1)
    assert endpoint.sends() == [Sent("A", ours(1), byte(11))]


def test_established_old_text_is_not_reported_without_sack() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", byte(0), ours(1), 10)
    endpoint.gets("A", byte(0), ours(1), 10)
    assert endpoint.sends() == [Sent("A", ours(1), byte(10))]


@pytest.mark.conformance("smoltcp:established_sack_no_overflow_on_near_max_seqnumber")
def test_established_blocks_across_the_wrap() -> None:
    endpoint = receiver()
    endpoint.gets("A", 0xFFFFFFFF if byte(0) != 0xFFFFFFFF else 1, ours(1), 4)
    assert all(0 <= edge <= 0xFFFFFFFF for sent in endpoint.sends() for block in sent.blocks for edge in block)
    endpoint = receiver()
    endpoint.conn.rcv_nxt = 0xFFFFFFF0
    endpoint.cold.last_ack_sent = 0xFFFFFFF0
    endpoint.gets("A", 0xFFFFFFFC, ours(1), 8)
    assert endpoint.sends()[0].blocks == ((0xFFFFFFFC, 4),)
    assert endpoint.gets("A", 0xFFFFFFF0, ours(1), 12) == EV_DATA
    assert (endpoint.conn.rcv_nxt, endpoint.segment.revealed) == (4, 8)


def test_established_blocks_take_from_the_payload() -> None:
    """The segment with SACK blocks is no longer than one without (RFC 9293 section 3.7.1)."""
    endpoint = receiver()
    endpoint.gets("A", byte(5), ours(1), 5)
    endpoint.queue(3 * MSS)
    sent = endpoint.sends()
    assert [segment.payload_len for segment in sent[1:]] == [MSS - 12, MSS - 12, MSS - 12, 36][: len(sent) - 1]
    assert all(segment.blocks == ((byte(5), byte(10)),) for segment in sent)


def test_a_board_has_no_room_beyond_its_ranges() -> None:
    assert BOARD["ranges"].shape == (2 * RANGES,)
