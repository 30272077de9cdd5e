"""Text that came before its turn: which sequence numbers beyond rcv_nxt are had (RFC 9293 section 3.10.7.4, RFC 2018).

The payload itself is the caller's. A board holds up to RANGES ranges, disjoint and with gaps between them, the one that was
added to last first: so their order is that of SACK blocks (RFC 2018 section 4).
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.board import RANGES
from tcp.seq import distance


@rare
def add_range(board, start, end):
    """Add the sequence numbers from *start* to *end*, exclusive; False when there is no room for one more range."""
    kept = 0
    n = i64(board.n_ranges)
    for i in range(n):
        left, right = i64(board.ranges[2 * i]), i64(board.ranges[2 * i + 1])
        if distance(left, end) <= 0 and distance(start, right) <= 0:
            start = left if distance(left, start) < 0 else start
            end = right if distance(right, end) > 0 else end
        else:
            kept += 1
    if kept == RANGES:
        return False
    _put_first(board, start, end)
    return True


@kernel
def _put_first(board, start, end):
    """Make start..end the first range; those within it go."""
    at = 1
    left, right = i64(board.ranges[0]), i64(board.ranges[1])
    for i in range(i64(board.n_ranges)):
        following_left, following_right = i64(board.ranges[2 * i + 2 & 31]), i64(board.ranges[2 * i + 3 & 31])
        if distance(left, start) < 0 or distance(right, end) > 0:
            board.ranges[2 * at] = left
            board.ranges[2 * at + 1] = right
            at += 1
        left, right = following_left, following_right
    board.ranges[0] = start
    board.ranges[1] = end
    board.n_ranges = at


@rare
def had_already(board, start, end):
    """The first part of start..end that was had already: its two ends, equal when nothing was."""
    first, last = end, end
    for i in range(i64(board.n_ranges)):
        left, right = i64(board.ranges[2 * i]), i64(board.ranges[2 * i + 1])
        if distance(left, first) < 0 and distance(start, right) < 0:
            first = left if distance(left, start) > 0 else start
            last = right if distance(right, end) < 0 else end
    return first, last


@rare
def reveal(board, nxt):
    """All before *nxt* has come, in order: how many bytes that were had follow it without a gap. Ranges before that go."""
    end = nxt
    kept = 0
    for i in range(i64(board.n_ranges)):
        left, right = i64(board.ranges[2 * i]), i64(board.ranges[2 * i + 1])
        if distance(left, nxt) > 0:
            board.ranges[2 * kept] = left
            board.ranges[2 * kept + 1] = right
            kept += 1
        elif distance(right, end) > 0:
            end = right
    board.n_ranges = kept
    return distance(end, nxt)
