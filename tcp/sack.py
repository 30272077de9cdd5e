"""What an ACK says of the spans in flight: the cumulative ACK, SACK blocks (RFC 2018), and D-SACK (RFC 2883)."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import be32, i64, record_at
from tcp.board import BOARD
from tcp.header import n_blocks
from tcp.rack import DSACK, TAIL_OUT, TAIL_TWICE, arrived, shift_of
from tcp.segment import OPT_SACK
from tcp.seq import distance
from tcp.spans import SACKED, find, isolate, join, reserve, set_marks, span_at, trim

_BLOCK = 8
_OLDEST = 1 << 30
"""A D-SACK of what is further behind is believed to be of somebody else's."""


@kernel
def take_ack(conn, cold, address, echo, now):
    """Everything before snd_una has arrived; how many bytes of it are news."""
    board = record_at(address, BOARD)
    una = i64(conn.snd_una)
    news = i64(0)
    while i64(board.n_spans):
        span = span_at(address, i64(board.first))
        start, end = i64(span.start), i64(span.end)
        if distance(una, start) <= 0:
            break
        if distance(end, una) > 0:
            end = una
        if not i64(span.marks) & SACKED:
            news += distance(end, start)
            arrived(conn, cold, board, span, end, echo, now)
        trim(address, end)
    return news


@kernel
def take_blocks(conn, cold, address, seg, echo, now):
    """Mark what the SACK blocks of *seg* report; how many bytes of it are news."""
    if not i64(seg.opts) & OPT_SACK:
        return i64(0)
    at = i64(seg.sack_at)
    blocks = n_blocks(seg)
    board = record_at(address, BOARD)
    una, nxt = i64(conn.snd_una), i64(conn.snd_nxt)
    news = i64(0)
    for k in range(blocks):
        start, end = be32(at + k * _BLOCK), be32(at + k * _BLOCK + 4)
        if distance(end, start) <= 0 or distance(end, nxt) > 0:
            continue
        if k == 0 and _came_twice(start, end, una, at + _BLOCK, blocks):
            _note_duplicate(board, start, end)
        elif distance(end, una) > 0:
            news += _mark(conn, cold, address, start if distance(start, una) > 0 else una, end, echo, now)
    return news


@kernel
def _came_twice(start, end, una, second, blocks):
    """Is the first block a D-SACK? It lies below the cumulative ACK, or within the second block (RFC 2883 section 4)."""
    if distance(end, una) <= 0:
        return distance(una, start) < _OLDEST
    return blocks > 1 and distance(start, be32(second)) >= 0 and distance(be32(second + 4), end) >= 0


@kernel
def _note_duplicate(board, start, end):
    notes = i64(board.notes) | DSACK
    if notes & TAIL_OUT and end == i64(board.tlp_end):
        notes |= TAIL_TWICE
    board.notes = notes
    board.undo = max(i64(board.undo) - distance(end, start), 0)


@kernel
def _mark(conn, cold, address, start, end, echo, now):
    """The peer has *start* to *end*; how many bytes of it are news."""
    board, shift = record_at(address, BOARD), shift_of(conn)
    reserve(address, i64(2))
    index = find(address, start)
    news = i64(0)
    while index < i64(board.first) + i64(board.n_spans) and distance(end, i64(span_at(address, index).start)) > 0:
        if not i64(span_at(address, index).marks) & SACKED:
            index = isolate(address, index, start, end)
            span = span_at(address, index)
            arrived(conn, cold, board, span, i64(span.end), echo, now)
            news += distance(i64(span.end), i64(span.start))
            set_marks(address, index, i64(SACKED), i64(span.time))
        index += 0 if join(address, index - 1, shift) else 1
    join(address, index - 1, shift)
    return news
