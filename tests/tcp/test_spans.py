"""Spans against a dict of bytes: the same marks as long as there is room, never more certain than the truth."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.board import BOARD, SPANS
from tcp.spans import (
    MISSING,
    RESENT,
    SACKED,
    append,
    begin_spans,
    find,
    find_missing,
    isolate,
    join,
    reserve,
    set_marks,
    trim,
)

START = 0xFFFFFFC0
SHIFT = 4


class Real:
    """The spans of a board, and what the sender does with them."""

    def __init__(self) -> None:
        self.memory = aligned(1, BOARD)
        self.board: Any = self.memory[0]
        self.address = self.memory.ctypes.data
        begin_spans(self.address, START, START, 0)

    def seq(self, offset: int) -> int:
        return (START + offset) & 0xFFFFFFFF

    def span(self, index: int) -> list[int]:
        """Start, end, time and marks."""
        return [int(word) for word in self.board.spans[4 * index : 4 * index + 4]]

    def send(self, start: int, end: int, now: int) -> None:
        append(self.address, self.seq(start), self.seq(end), now, SHIFT)

    def ack(self, to: int) -> None:
        while self.board.n_spans:
            span = self.span(int(self.board.first))
            start, end = ((edge - START) & 0xFFFFFFFF for edge in span[:2])
            if start >= to:
                return
            trim(self.address, self.seq(min(end, to)))

    def mark(self, start: int, end: int, marks: Any, now: int | None = None) -> None:
        """Give the bytes from *start* to *end* the *marks* of their old ones."""
        reserve(self.address, 2)
        index = find(self.address, self.seq(start))
        while index < self.board.first + self.board.n_spans:
            span = self.span(index)
            if (span[0] - START) & 0xFFFFFFFF >= end:
                break
            index = isolate(self.address, index, self.seq(start), self.seq(end))
            span = self.span(index)
            set_marks(self.address, index, marks(span[3]), span[2] if now is None else now)
            index += 0 if join(self.address, index - 1, SHIFT) else 1
        join(self.address, index - 1, SHIFT)

    def bytes(self) -> dict[int, tuple[int, int]]:
        """Offset: marks and time."""
        result: dict[int, tuple[int, int]] = {}
        first = int(self.board.first)
        expected = None
        for index in range(first, first + int(self.board.n_spans)):
            span = self.span(index)
            start, end = ((edge - START) & 0xFFFFFFFF for edge in span[:2])
            assert start < end
            assert expected in (None, start)
            expected = end
            result |= dict.fromkeys(range(start, end), (span[3], span[2]))
        return result


def sacking(_: int) -> int:
    return SACKED


def losing(marks: int) -> int:
    return marks if marks & SACKED else marks | MISSING


def resending(marks: int) -> int:
    return marks if marks & SACKED else RESENT


KINDS = ["send", "send", "send", "ack", "sack", "sack", "lose", "resend"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 400),
        st.integers(1, 40),
    ),
    max_size=80,
)


def play(steps: list[tuple[str, int, int]]) -> tuple[Real, dict[int, tuple[int, int]], int]:
    """The steps, done to both; the most spans that were needed."""
    real, model = Real(), {}
    una = nxt = now = most = 0
    for what, at, length in steps:
        now += 7
        if what == "send":
            real.send(nxt, nxt + length, now)
            model |= dict.fromkeys(range(nxt, nxt + length), (0, now))
            nxt += length
        elif what == "ack":
            una = min(una + length, nxt)
            real.ack(una)
            model = {offset: entry for offset, entry in model.items() if offset >= una}
        elif nxt > una:
            start = una + at % (nxt - una)
            end = min(start + length, nxt)
            change: Any = {"sack": sacking, "lose": losing, "resend": resending}[what]
            time = now if what == "resend" else None
            real.mark(start, end, change, time)
            for offset in range(start, end):
                marks, sent = model[offset]
                model[offset] = (change(marks), sent if time is None else time)
        most = max(most, int(real.board.n_spans))
    return real, model, most


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_spans_are_what_a_dict_of_bytes_says(steps: list[tuple[str, int, int]]) -> None:
    real, model, most = play(steps)
    found = real.bytes()
    assert found.keys() == model.keys()
    if most < SPANS - 2:
        assert {offset: marks for offset, (marks, _) in found.items()} == {offset: marks for offset, (marks, _) in model.items()}
    for offset, (marks, time) in found.items():
        assert time >= model[offset][1] or marks & (SACKED | MISSING)
        assert not marks & SACKED or model[offset][0] & SACKED
        assert not marks & MISSING or model[offset][0] & MISSING
    assert real.board.sacked == sum(bool(marks & SACKED) for marks, _ in found.values())
    assert real.board.lost == sum(bool(marks & MISSING) for marks, _ in found.values())


def test_times_of_one_span_are_near() -> None:
    real = Real()
    for k in range(100):
        real.send(k, k + 1, 16 * 1000 + k)
    assert real.board.n_spans == 7
    assert all(0 <= time - (16 * 1000 + offset) < 1 << SHIFT for offset, (_, time) in real.bytes().items())


def test_too_many_holes_forget_the_smallest() -> None:
    real = Real()
    real.send(0, 1000, 5)
    for k in range(50):
        real.mark(20 * k, 20 * k + 4 + (k & 1), sacking)
    assert int(real.board.n_spans) <= SPANS
    found = real.bytes()
    assert set(found) == set(range(1000))
    sacked = {offset for offset, (marks, _) in found.items() if marks & SACKED}
    assert sacked <= {20 * k + j for k in range(50) for j in range(4 + (k & 1))}
    assert len(sacked) >= 100
    assert real.board.sacked == len(sacked)


def test_appending_to_a_full_board_moves_what_is_left_to_its_beginning() -> None:
    real = Real()
    for k in range(500):
        real.send(10 * k, 10 * k + 10, 100 * k)
        if k >= 40:
            real.ack(10 * (k - 40) + 5)
    found = real.bytes()
    assert set(found) == set(range(10 * 459 + 5, 5000))
    assert all(time == 100 * (offset // 10) for offset, (_, time) in found.items())


def test_the_first_missing_span_is_found() -> None:
    real = Real()
    real.send(0, 100, 5)
    assert find_missing(real.address) == 1
    real.mark(30, 40, losing)
    index = find_missing(real.address)
    assert real.span(index)[:2] == [real.seq(30), real.seq(40)]
