"""The seventh and eighth check of RFC 9293 section 3.10.7.4: payload, in order or early, the FIN, and the ACK they ask for."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import i64, record_at
from tcp.board import BOARD, board_of, give_board_if_idle
from tcp.congestion import warm
from tcp.connection import (
    ACK_ALONE,
    ACK_DUE,
    ACK_LATER,
    CLOSE_WAIT,
    CLOSING,
    COLD_READY,
    EARLY_FIN,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    IN_ORDER_ONLY,
    QUICK_ACK,
    SACK_OK,
    TIME_WAIT,
    clear_bits,
    raise_bits,
)
from tcp.events import EV_DATA, EV_FIN, EV_OUT_OF_ORDER, EV_TIME_WAIT
from tcp.ranges import add_range, had_already, reveal
from tcp.segment import FIN
from tcp.seq import advance, distance
from tcp.window import consumed


@inlined
def take_text(conn, cold, seg, limits, offset):
    """*offset* is that of the payload from rcv_nxt, at most the window."""
    state = i64(conn.state)
    if state != ESTABLISHED and state != FIN_WAIT_1 and state != FIN_WAIT_2:
        return 0
    if offset > 0:
        return _early(conn, cold, seg, limits, offset)
    new = i64(seg.payload_len) + offset
    take = min(new, i64(conn.rcv_wnd))
    fin = i64(seg.tcp_flags) & FIN if take == new else 0
    seg.skip = -offset
    seg.accepted = take
    nxt = advance(i64(conn.rcv_nxt), take)
    at_once = 0
    if offset < 0 and i64(conn.bits) & SACK_OK:
        note_duplicate(conn, cold, seg)
    if i64(conn.bits) & COLD_READY and not fin and i64(cold.board) | i64(conn.bits) & EARLY_FIN:
        at_once, fin = _close_gap(conn, cold, seg, limits, nxt)
        take += i64(seg.revealed)
        nxt = advance(nxt, i64(seg.revealed))
    conn.rcv_nxt = advance(nxt, fin)
    consumed(conn, limits, take)
    if i64(seg.accepted) < new:
        raise_bits(conn, ACK_DUE | ACK_ALONE)
    else:
        owe(conn, limits, at_once | fin)
    events = EV_DATA if take > 0 else 0
    return events | _fin(conn, cold, limits, state) if fin else events


@inlined
def owe(conn, limits, at_once):
    """Text has come in order: an ACK is due, at once for every second segment of it, or when a lone one has waited."""
    if at_once or i64(limits.delack_ms) == 0 or i64(conn.bits) & (ACK_LATER | QUICK_ACK):
        raise_bits(conn, ACK_DUE)
    else:
        raise_bits(conn, ACK_LATER)


@rare
def _close_gap(conn, cold, seg, limits, nxt):
    """All before *nxt* is here. What was early may follow now: `revealed` bytes of it, and a FIN.

    Whether the ACK is due at once (RFC 5681 section 4.2), and whether the FIN has its turn.
    """
    pending = 0
    if i64(cold.board):
        board = record_at(i64(cold.board), BOARD)
        pending = i64(board.n_ranges)
        if pending:
            _note_repeated(conn, cold, board, i64(conn.rcv_nxt), nxt)
            seg.revealed = reveal(board, nxt)
            nxt = advance(nxt, i64(seg.revealed))
            give_board_if_idle(conn, cold, limits)
    fin = 1 if i64(conn.bits) & EARLY_FIN and i64(cold.early_fin) == nxt else 0
    return pending | fin, fin


@rare
def _early(conn, cold, seg, limits, offset):
    """Text, or a FIN, beyond a gap: asked for again with an immediate ACK (RFC 5681 section 4.2), and kept in mind."""
    raise_bits(conn, ACK_DUE | ACK_ALONE)
    if i64(conn.bits) & IN_ORDER_ONLY:
        return EV_OUT_OF_ORDER
    take = min(i64(seg.payload_len), i64(conn.rcv_wnd) - offset)
    if take and not _keep(conn, cold, i64(seg.seq), advance(i64(seg.seq), take), limits):
        return EV_OUT_OF_ORDER
    seg.accepted = take
    seg.early = offset
    if i64(seg.tcp_flags) & FIN and take == i64(seg.payload_len):
        warm(conn, cold)
        cold.early_fin = advance(i64(seg.seq), take)
        raise_bits(conn, EARLY_FIN)
    return EV_OUT_OF_ORDER


@kernel
def _keep(conn, cold, start, end, limits):
    """Remember start..end; what of it was had before is reported (RFC 2883)."""
    address = board_of(conn, cold, limits)
    if address == 0:
        return False
    board = record_at(address, BOARD)
    left, right = had_already(board, start, end)
    if not add_range(board, start, end):
        return False
    _report(conn, cold, left, right)
    return True


@kernel
def _note_repeated(conn, cold, board, start, end):
    """start..end comes in order: what of it came early is reported, unless something before it is."""
    left, right = had_already(board, start, end)
    if left != right and i64(cold.dsack_start) == i64(cold.dsack_end):
        _report(conn, cold, left, right)


@kernel
def _report(conn, cold, left, right):
    """The next ACK tells that left..right, if that is something, came twice (RFC 2883 section 4)."""
    if left != right and i64(conn.bits) & SACK_OK:
        cold.dsack_start = left
        cold.dsack_end = right


@rare
def note_duplicate(conn, cold, seg):
    """Payload before rcv_nxt came once more."""
    warm(conn, cold)
    seq = i64(seg.seq)
    _report(conn, cold, seq, advance(seq, min(i64(seg.payload_len), distance(i64(conn.rcv_nxt), seq))))


@kernel
def _fin(conn, cold, limits, state):
    """The peer's FIN, with all that came before it."""
    if i64(conn.bits) & COLD_READY:
        clear_bits(conn, EARLY_FIN)
        _forget(conn, cold, limits)
    if state == ESTABLISHED:
        conn.state = CLOSE_WAIT
        return EV_FIN
    if state == FIN_WAIT_1:
        conn.state = CLOSING
        return EV_FIN
    conn.state = TIME_WAIT
    return EV_FIN | EV_TIME_WAIT


@rare
def _forget(conn, cold, limits):
    """Nothing comes after a FIN: ranges beyond it were none of this stream."""
    if i64(cold.board):
        record_at(i64(cold.board), BOARD).n_ranges = 0
        give_board_if_idle(conn, cold, limits)
