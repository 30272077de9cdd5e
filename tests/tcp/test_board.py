"""The pool of boards: lent, given back, and refused when it is empty."""

from __future__ import annotations

from typing import Any

from tcp.board import board_of, give_board, new_boards
from tests.tcp.builders import at


def with_boards(boards: Any) -> Any:
    return at("ESTABLISHED", boards=boards.address)


def test_a_board_is_lent_once_and_empty() -> None:
    boards = new_boards(2)
    endpoint = with_boards(boards)
    address = board_of(endpoint.conn, endpoint.cold, endpoint.limits.record)
    assert address == board_of(endpoint.conn, endpoint.cold, endpoint.limits.record) != 0
    board = boards.arrays[1][0]
    assert (board.n_spans, board.n_ranges, board.number) == (0, 0, 0)
    assert boards.record.free == 1


def test_an_empty_pool_refuses_and_counts() -> None:
    boards = new_boards(1)
    one, two = with_boards(boards), with_boards(boards)
    first = board_of(one.conn, one.cold, one.limits.record)
    assert board_of(two.conn, two.cold, two.limits.record) == 0
    assert boards.record.refused == 1
    give_board(one.conn, one.cold, one.limits.record)
    give_board(one.conn, one.cold, one.limits.record)
    assert boards.record.free == 1
    assert board_of(two.conn, two.cold, two.limits.record) == first


def test_without_a_pool_there_is_none() -> None:
    endpoint = at("ESTABLISHED")
    assert board_of(endpoint.conn, endpoint.cold, endpoint.limits.record) == 0
    give_board(endpoint.conn, endpoint.cold, endpoint.limits.record)
