"""What is in flight, as runs of bytes that share a fate: SACK scoreboard (RFC 6675) and transmission log (RFC 8985).

A BOARD has the sequence space from snd_una to snd_nxt as contiguous spans in order, each with the time of its last transmission
and its marks. Neighbours alike become one. When there are more than a board holds, the two that lose least are merged, and a
merged span is never more certain than its parts: sacked or lost only if both were, sent at the later time.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import copy, i64, record_at
from tcp.board import BOARD, SPANS, SPANS_AT
from tcp.seq import MASK, distance

SACKED = 1 << 0
"""The peer has it. No other mark stands beside this one."""
MISSING = 1 << 1
"""Deemed lost, and not sent again since: not in flight."""
RESENT = 1 << 2
"""Sent more than once."""

SPAN = np.dtype([("start", "<u4"), ("end", "<u4"), ("time", "<u4"), ("marks", "<u4")])
"""start, end: sequence numbers; time: us, low 32 bits; marks: bits."""
_SPAN_BYTES = SPAN.itemsize
assert _SPAN_BYTES == 16
_UNLIKE = 1 << 33
"""More than two spans that are alike can differ by."""


@inlined
def span_at(address, index):
    """Span *index* of the board at *address*; the first is number `board.first`."""
    return record_at(address + SPANS_AT + index * _SPAN_BYTES, SPAN)


@kernel
def begin_spans(address, start, end, time):
    """All that is in flight, *start* to *end*, was sent at *time* as far as we know."""
    board = record_at(address, BOARD)
    board.first = 0
    board.n_spans = 0
    board.sacked = 0
    board.lost = 0
    if start != end:
        _write(address, i64(0), start, end, time & MASK, i64(0))
        board.n_spans = 1


@inlined
def append(address, start, end, now, shift):
    """New data, *start* to *end*, is sent at *now*, after all else that is in flight. Times whose bits above *shift* are the same
    count as one."""
    board = record_at(address, BOARD)
    n = i64(board.n_spans)
    last = i64(board.first) + n - 1
    time = now & MASK
    if n:
        span = span_at(address, last)
        if i64(span.marks) == 0 and i64(span.time) >> shift == time >> shift:
            span.end = end
            span.time = time
            return
    if last + 1 >= SPANS:
        reserve(address, i64(1))
        n = i64(board.n_spans)
        last = i64(board.first) + n - 1
    _write(address, last + 1, start, end, time, i64(0))
    board.n_spans = n + 1


@inlined
def _write(address, index, start, end, time, marks):
    span = span_at(address, index)
    span.start = start
    span.end = end
    span.time = time
    span.marks = marks


@inlined
def trim(address, seq):
    """What stands before *seq* in the first span leaves; all of it, and the span with it, when it ends there."""
    board = record_at(address, BOARD)
    first = i64(board.first)
    span = span_at(address, first)
    marks, length = i64(span.marks), distance(seq, i64(span.start))
    if marks & SACKED:
        board.sacked = i64(board.sacked) - length
    elif marks & MISSING:
        board.lost = i64(board.lost) - length
    span.start = seq
    if seq == i64(span.end):
        n = i64(board.n_spans) - 1
        board.n_spans = n
        board.first = first + 1 if n else 0


@kernel
def find(address, seq):
    """The index of the span that ends after *seq*: the first that does, or one after the last."""
    board = record_at(address, BOARD)
    index = i64(board.first)
    stop = index + i64(board.n_spans)
    while index < stop and distance(i64(span_at(address, index).end), seq) <= 0:
        index += 1
    return index


@kernel
def find_missing(address):
    """The index of the first span that is missing, or one after the last."""
    board = record_at(address, BOARD)
    index = i64(board.first)
    stop = index + i64(board.n_spans)
    while index < stop and not i64(span_at(address, index).marks) & MISSING:
        index += 1
    return index


@kernel
def cut(address, index, seq):
    """Make two of span *index*, the second from *seq* on; there must be room (`reserve`)."""
    board = record_at(address, BOARD)
    stop = i64(board.first) + i64(board.n_spans)
    while stop > index:
        stop -= 1
        copy(address + SPANS_AT + (stop + 1) * _SPAN_BYTES, address + SPANS_AT + stop * _SPAN_BYTES, i64(_SPAN_BYTES))
    span_at(address, index).end = seq
    span_at(address, index + 1).start = seq
    board.n_spans = i64(board.n_spans) + 1


@kernel
def isolate(address, index, start, end):
    """Cut from span *index* what lies within *start* to *end*; the index of that part. Needs room for two."""
    span = span_at(address, index)
    if distance(start, i64(span.start)) > 0:
        cut(address, index, start)
        index += 1
        span = span_at(address, index)
    if distance(i64(span.end), end) > 0:
        cut(address, index, end)
    return index


@kernel
def set_marks(address, index, marks, time):
    """Give span *index* other *marks* and the *time* of its last transmission; what is sacked and lost is counted again."""
    board, span = record_at(address, BOARD), span_at(address, index)
    length, before = distance(i64(span.end), i64(span.start)), i64(span.marks)
    board.sacked = i64(board.sacked) + length * ((marks & SACKED) - (before & SACKED))
    board.lost = i64(board.lost) + length * ((marks & MISSING) - (before & MISSING)) // MISSING
    span.marks = marks
    span.time = time & MASK


@kernel
def join(address, index, shift):
    """Make one of the spans *index* and *index* + 1 if both exist and are alike; True when it was done."""
    board = record_at(address, BOARD)
    first = i64(board.first)
    if index < first or index + 1 >= first + i64(board.n_spans):
        return False
    one, two = span_at(address, index), span_at(address, index + 1)
    marks = i64(one.marks)
    # When what has arrived, or waits to be sent again, was sent does not matter any more.
    if marks != i64(two.marks) or not (marks & (SACKED | MISSING) or i64(one.time) >> shift == i64(two.time) >> shift):
        return False
    _unite(address, index, marks)
    return True


@kernel
def _unite(address, index, marks):
    """Make one of the spans *index* and *index* + 1, with *marks* and the later time."""
    board, one, two = record_at(address, BOARD), span_at(address, index), span_at(address, index + 1)
    if distance(i64(two.time), i64(one.time)) > 0:
        one.time = i64(two.time)
    one.end = i64(two.end)
    one.marks = marks
    n = i64(board.n_spans) - 1
    board.n_spans = n
    stop = i64(board.first) + n
    index += 1
    while index < stop:
        copy(address + SPANS_AT + index * _SPAN_BYTES, address + SPANS_AT + (index + 1) * _SPAN_BYTES, i64(_SPAN_BYTES))
        index += 1


@kernel
def reserve(address, count):
    """See to it that *count* more spans have room after the last one. Indices from before are worth nothing afterwards."""
    board = record_at(address, BOARD)
    if i64(board.first) + i64(board.n_spans) + count <= SPANS:
        return
    while i64(board.n_spans) + count > SPANS:
        _merge_somewhere(address)
    first, n = i64(board.first), i64(board.n_spans)
    for index in range(n if first else 0):
        copy(address + SPANS_AT + index * _SPAN_BYTES, address + SPANS_AT + (first + index) * _SPAN_BYTES, i64(_SPAN_BYTES))
    board.first = 0


@rare
def _merge_somewhere(address):
    """Merge the two neighbours that lose least: alike and close in time, or else the fewest bytes whose marks are forgotten."""
    board = record_at(address, BOARD)
    first = i64(board.first)
    best, least = first, i64(1) << 62
    for index in range(first, first + i64(board.n_spans) - 1):
        cost = _cost(address, index)
        if cost < least:
            best, least = index, cost
    one, two = span_at(address, best), span_at(address, best + 1)
    certain = i64(one.marks) & i64(two.marks) & (SACKED | MISSING)
    resent = (i64(one.marks) | i64(two.marks)) & RESENT
    marks = certain if certain & SACKED else certain | resent
    set_marks(address, best, marks, i64(one.time))
    set_marks(address, best + 1, marks, i64(two.time))
    _unite(address, best, marks)


@kernel
def _cost(address, index):
    """What merging spans *index* and *index* + 1 would lose."""
    one, two = span_at(address, index), span_at(address, index + 1)
    different = i64(one.marks) ^ i64(two.marks)
    if different == 0:
        return abs(distance(i64(two.time), i64(one.time)))
    cost = i64(_UNLIKE)
    if different & (SACKED | MISSING):
        for span in (one, two):
            if i64(span.marks) & (SACKED | MISSING):
                cost += distance(i64(span.end), i64(span.start))
    return cost
