"""Boards: room to remember what is lost, sacked or out of order, lent to the connections that need it, from a bounded pool.

A connection without trouble has none. One that finds the pool empty does without: what comes early is dropped, and losses are
recovered as NewReno does.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64, load32, record_at, store32
from tcp.block import Block
from tcp.congestion import warm
from tcp.connection import COLD_READY

SPANS, RANGES = 64, 16
SPANS_AT = 128
"""Where the spans begin in a BOARD."""

BOARD = np.dtype(
    {
        "names": [
            "n_spans", "n_ranges", "number", "first", "sacked", "lost", "rack_time", "rack_end", "rack_rtt", "fack", "reo_mult",
            "reo_persist", "dsack_round", "tlp_end", "notes", "undo", "fresh_rtt", "spans", "ranges",
        ],
        "formats": ["<u4"] * 17 + [("<u4", (4 * SPANS,)), ("<u4", (2 * RANGES,))],
        "offsets": [*range(0, 68, 4), SPANS_AT, SPANS_AT + 16 * SPANS],
        "itemsize": SPANS_AT + 16 * SPANS + 8 * RANGES,
    }
)  # fmt: skip
"""spans: what is in flight (spans.py), of which the first is number `first`; sacked, lost: bytes so marked. rack_*, fack, reo_*,
dsack_round, tlp_end, notes, fresh_rtt: see rack.py; undo: see recovery.py. ranges: start, end of what came early, see ranges.py;
all sequence numbers; number: the board's place in the pool."""
_BOARD_BYTES = BOARD.itemsize
assert _BOARD_BYTES % 64 == 0

BOARDS = np.dtype(
    {
        "names": ["boards", "stack", "free", "refused"],
        "formats": ["<i8", "<i8", "<i8", "<i8"],
        "itemsize": 64,
    }
)
"""boards: address of the first; stack: address of the 32-bit numbers of the free ones; refused: how often there was none."""


@kernel
def board_of(conn, cold, limits):
    """The address of this connection's BOARD, taken from the pool when it has none yet, or 0: there is none left."""
    warm(conn, cold)
    if i64(cold.board) == 0 and i64(limits.boards):
        cold.board = _take(record_at(i64(limits.boards), BOARDS))
    return i64(cold.board)


@kernel
def _take(pool):
    free = i64(pool.free) - 1
    if free < 0:
        pool.refused += 1
        return i64(0)
    pool.free = free
    number = load32(i64(pool.stack) + free * 4)
    address = i64(pool.boards) + number * _BOARD_BYTES
    board = record_at(address, BOARD)
    board.n_spans = 0
    board.n_ranges = 0
    board.notes = 0
    board.number = number
    return address


@kernel
def give_board(conn, cold, limits):
    """Give the connection's board back, if it has one: it is not needed any more, or the connection is over."""
    if not i64(conn.bits) & COLD_READY or i64(cold.board) == 0:
        return
    pool = record_at(i64(limits.boards), BOARDS)
    free = i64(pool.free)
    store32(i64(pool.stack) + free * 4, i64(record_at(i64(cold.board), BOARD).number))
    pool.free = free + 1
    cold.board = 0


@kernel
def give_board_if_idle(conn, cold, limits):
    """Give the connection's board back when nothing is on it."""
    if i64(conn.bits) & COLD_READY and i64(cold.board):
        board = record_at(i64(cold.board), BOARD)
        if i64(board.n_spans) == 0 and i64(board.n_ranges) == 0:
            give_board(conn, cold, limits)


def new_boards(count: int) -> Block:
    """A pool of *count* boards; its address is the limit `boards`."""
    pool = aligned(1, BOARDS)
    boards = aligned(count, BOARD)
    stack = aligned(count, np.dtype([("number", "<u4")]))
    stack.number[:] = np.arange(count - 1, -1, -1, dtype=np.uint32)
    pool[0].boards, pool[0].stack, pool[0].free = boards.ctypes.data, stack.ctypes.data, count
    return Block(pool[0], (pool, boards, stack))
