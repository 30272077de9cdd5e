"""Loss recovery over spans: what opens one, how fast it sends (PRR, RFC 6937), and when it was for nothing.

A connection has spans (`track`) when both sides do selective acknowledgments, a board is to be had, and there is need: more than
one segment in flight once COLD is in use, or a sign of loss. Otherwise `newreno` does what it can.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64, record_at
from tcp.board import BOARD, board_of, give_board
from tcp.congestion import LARGEST, grow, reduce, reduce_to_one, rewind, undo
from tcp.connection import (
    COLD_READY,
    LOST,
    RECOVERY,
    REWOUND,
    SACK_OK,
    TAIL_DUE,
    TIMED,
    TIMED_LATER,
    TIMED_OUT,
    TS_OK,
    clear_bits,
    raise_bits,
)
from tcp.deadlines import REORDER, schedule
from tcp.hystart import note_round_trip
from tcp.newreno import on_ack, on_duplicate, on_timeout
from tcp.probe import answer_tail, arm_probe
from tcp.rack import DSACK, ORIGINAL, TAIL_OUT, TAIL_TWICE, TRACKING, UNDOABLE, begin_rack, detect, recovered, widen
from tcp.rto import UNIT, measure
from tcp.sack import take_ack, take_blocks
from tcp.segment import OPT_SACK, OPT_TIMESTAMPS
from tcp.seq import MASK, distance
from tcp.spans import MISSING, SACKED, begin_spans, set_marks, span_at


@kernel
def tracked(conn, cold):
    """The address of the board whose spans are in use, or 0."""
    if not i64(conn.bits) & COLD_READY or i64(cold.board) == 0:
        return i64(0)
    return i64(cold.board) if i64(record_at(i64(cold.board), BOARD).notes) & TRACKING else i64(0)


@kernel
def track(conn, cold, limits, now):
    """`tracked`, from now on if it was not, with all that is in flight; 0 when it cannot be."""
    if i64(conn.bits) & (SACK_OK | REWOUND) != SACK_OK:
        return i64(0)
    address = board_of(conn, cold, limits)
    if address == 0:
        return i64(0)
    board = record_at(address, BOARD)
    if not i64(board.notes) & TRACKING:
        board.notes = TRACKING
        board.undo = 0
        age = min((now - i64(conn.rtt_time)) & MASK, 2 * i64(conn.srtt) * UNIT)
        begin_spans(address, i64(conn.snd_una), i64(conn.snd_nxt), now - age)
        begin_rack(conn, board)
    return address


@kernel
def pipe_of(conn, board):
    """Bytes that are believed to be in the network (RFC 6675)."""
    return distance(i64(conn.snd_nxt), i64(conn.snd_una)) - i64(board.sacked) - i64(board.lost)


@rare
def heard(conn, cold, seg, limits, acked, duplicate, now):
    """An ACK of *acked* new bytes, snd_una being theirs already; or it says that something came out of order."""
    sacks = i64(seg.opts) & OPT_SACK
    address = track(conn, cold, limits, now) if sacks else tracked(conn, cold)
    if address:
        _on_ack(conn, cold, address, seg, limits, acked, now)
    elif acked > 0:
        on_ack(conn, cold, limits, acked, now)
    elif duplicate:
        on_duplicate(conn, cold, limits)


@kernel
def _on_ack(conn, cold, address, seg, limits, acked, now):
    board = record_at(address, BOARD)
    board.notes = i64(board.notes) & ~(DSACK | ORIGINAL | TAIL_TWICE)
    board.fresh_rtt = 0
    pipe = pipe_of(conn, board) + acked
    echo = _echo_age(conn, seg, limits, now)
    news = take_ack(conn, cold, address, echo, now)
    news += take_blocks(conn, cold, address, seg, echo, now)
    if i64(board.fresh_rtt) and i64(conn.bits) & (RECOVERY | TIMED_OUT):
        # None is timed meanwhile, and a timeout that was backed off would stay so.
        measure(conn, limits, i64(board.fresh_rtt))
    if i64(board.notes) & DSACK:
        widen(conn, board)
    wait, lost = i64(0), i64(board.lost)
    if i64(board.sacked) or i64(conn.bits) & (RECOVERY | TIMED_OUT):
        wait = detect(conn, cold, address, now)
    lost = i64(board.lost) - lost
    answer_tail(conn, cold, board, limits, acked)
    over = _is_over(conn, cold, address, echo, acked, now)
    bits = i64(conn.bits)
    if lost and i64(board.lost) and not bits & (RECOVERY | TIMED_OUT):
        _enter(conn, cold, board, limits)
    if i64(conn.bits) & RECOVERY:
        _pace(conn, cold, board, news, acked > 0 and lost == 0)
    elif acked > 0 and not over:
        if i64(cold.ssthresh) == LARGEST and note_round_trip(conn, cold, i64(board.fresh_rtt)):
            cold.ssthresh = i64(cold.cwnd)
        grow(conn, cold, limits, acked, pipe, bits & TIMED_OUT, now)
    _note_lost(conn, board)
    if i64(conn.snd_una) == i64(conn.snd_nxt):
        _untrack(conn, cold, board, limits)
    else:
        arm_probe(conn, cold, board, wait, now)


@kernel
def _is_over(conn, cold, address, echo, acked, now):
    """Has a recovery ended with this ACK, or been taken back?"""
    board = record_at(address, BOARD)
    undoable, reached = i64(board.notes) & UNDOABLE, distance(i64(conn.snd_una), i64(cold.recover))
    if undoable and _was_for_nothing(conn, cold, board, echo, acked, now):
        _take_back(conn, cold, address)
        return True
    if i64(conn.bits) & (RECOVERY | TIMED_OUT):
        if reached < 0:
            return False
        _leave(conn, cold, board)
        return True
    if undoable and reached > 0:
        # A round trip after a recovery no more D-SACKs will come for it.
        board.notes = i64(board.notes) & ~UNDOABLE
    return False


@kernel
def _echo_age(conn, seg, limits, now):
    """How many ms ago was sent what this ACK answers, by its timestamp; -1: it does not say."""
    if i64(conn.bits) & TS_OK and i64(seg.opts) & OPT_TIMESTAMPS:
        return (now // 1000 + i64(limits.ts_offset) - i64(seg.ts_ecr)) & MASK
    return i64(-1)


@kernel
def _note_lost(conn, board):
    """LOST says that there is something to send again."""
    if i64(board.lost):
        raise_bits(conn, LOST)
    else:
        clear_bits(conn, LOST)


@kernel
def _untrack(conn, cold, board, limits):
    """Nothing is in flight: the board goes back, unless it holds what came early."""
    board.notes = 0
    board.n_spans = 0
    schedule(conn, cold, i64(REORDER), i64(0))
    if i64(board.n_ranges) == 0:
        give_board(conn, cold, limits)


@kernel
def _enter(conn, cold, board, limits):
    """Something is lost: fast recovery until all that is in flight now is acknowledged (RFC 6675 section 5)."""
    reduce(conn, cold, limits)
    cold.recover = i64(conn.snd_nxt)
    cold.recover_fs = max(distance(i64(conn.snd_nxt), i64(conn.snd_una)), 1)
    cold.prr_delivered = 0
    cold.prr_out = 0
    _may_be_for_nothing(conn, cold, board)
    conn.bits = (i64(conn.bits) | RECOVERY) & ~(TIMED | TIMED_LATER | TAIL_DUE)


@kernel
def _may_be_for_nothing(conn, cold, board):
    board.notes = (i64(board.notes) | UNDOABLE) & ~TAIL_OUT
    board.undo = 0
    cold.undo_at = 0


@kernel
def _pace(conn, cold, board, news, safe):
    """Proportional rate reduction (RFC 6937, RFC 9937): the window that lets out as much as this ACK allows.

    *safe*: it moved snd_una, and nothing more was found lost.
    """
    mss, ssthresh = i64(conn.mss), i64(cold.ssthresh)
    pipe, out = pipe_of(conn, board), i64(cold.prr_out)
    delivered = i64(cold.prr_delivered) + news
    cold.prr_delivered = delivered
    if pipe > ssthresh:
        count = (delivered * ssthresh + i64(cold.recover_fs) - 1) // i64(cold.recover_fs) - out
    else:
        count = max(delivered - out, news) + (mss if safe else 0)
        count = min(count, ssthresh - pipe)
    # The first retransmission leaves in any case.
    cold.cwnd = pipe + max(count, 0 if out else mss)


@kernel
def _leave(conn, cold, board):
    """All that was in flight when the recovery began is acknowledged."""
    if i64(conn.bits) & RECOVERY:
        cold.cwnd = i64(cold.ssthresh)
    clear_bits(conn, RECOVERY | TIMED_OUT)
    recovered(board)
    cold.recover = i64(conn.snd_nxt)


@kernel
def _was_for_nothing(conn, cold, board, echo, acked, now):
    """All that was sent again has come twice (RFC 3708), or the first ACK since answers what was sent before (Eifel, RFC 3522),
    or something that a timeout took for lost arrived without being sent again (F-RTO, RFC 5682 section 3)."""
    notes, bits, undo_at = i64(board.notes), i64(conn.bits), i64(cold.undo_at)
    if notes & ORIGINAL:
        return True
    if undo_at == 0:
        return False
    if notes & DSACK and i64(board.undo) == 0:
        return True
    return acked > 0 and bits & (RECOVERY | TIMED_OUT) != 0 and echo > (now // 1000 - undo_at) & MASK


@rare
def _take_back(conn, cold, address):
    """The recovery was for nothing: the window is what it was, and what is missing is on its way."""
    board = record_at(address, BOARD)
    undo(cold)
    board.notes = i64(board.notes) & ~UNDOABLE
    clear_bits(conn, RECOVERY | TIMED_OUT | LOST)
    _mark_all(address, i64(0), MISSING)


@kernel
def _mark_all(address, marks, instead_of):
    """Give what is not sacked *marks* in place of *instead_of*."""
    board = record_at(address, BOARD)
    first = i64(board.first)
    for index in range(first, first + i64(board.n_spans)):
        span = span_at(address, index)
        before = i64(span.marks)
        if not before & SACKED:
            set_marks(address, index, before & ~instead_of | marks, i64(span.time))


@rare
def go_back(conn, cold):
    """The window was shut, and what is in flight may have been thrown away: all of it is to be sent again."""
    address = tracked(conn, cold)
    if address == 0:
        rewind(conn, cold)
        return
    _mark_all(address, i64(MISSING), i64(0))
    clear_bits(conn, TIMED | TIMED_LATER)
    _note_lost(conn, record_at(address, BOARD))


@rare
def timed_out(conn, cold, limits, now):
    """The retransmission timer ran out: what is not sacked is lost, and it begins with one segment (RFC 6298 section 5.4)."""
    address = track(conn, cold, limits, now)
    if address == 0:
        on_timeout(conn, cold, limits)
        return
    board = record_at(address, BOARD)
    if i64(conn.bits) & RECOVERY:
        board.notes = i64(board.notes) & ~UNDOABLE
    elif i64(conn.retries) == 0:
        _may_be_for_nothing(conn, cold, board)
    reduce_to_one(conn, cold, limits)
    _forget_if_reneged(address)
    _mark_all(address, i64(MISSING), i64(0))
    cold.recover = i64(conn.snd_nxt)
    conn.bits = (i64(conn.bits) | TIMED_OUT) & ~(RECOVERY | TIMED | TIMED_LATER | TAIL_DUE)
    schedule(conn, cold, i64(REORDER), i64(0))
    _note_lost(conn, board)


@kernel
def _forget_if_reneged(address):
    """A peer that has the first byte in flight and does not acknowledge it has thrown away what it reported (RFC 2018 section 8).

    As long as that is looked for, what it reported may be believed after a timeout (RFC 6675 section 5.1).
    """
    board = record_at(address, BOARD)
    first = i64(board.first)
    if not i64(span_at(address, first).marks) & SACKED:
        return
    for index in range(first, first + i64(board.n_spans)):
        span = span_at(address, index)
        if i64(span.marks) & SACKED:
            set_marks(address, index, i64(0), i64(span.time))


@rare
def probe_due(conn, cold, limits, now):
    """REORDER is due: RACK has waited long enough, or the tail is to be probed. True: `next_segment` has something."""
    schedule(conn, cold, i64(REORDER), i64(0))
    address = tracked(conn, cold)
    if address == 0:
        return False
    board = record_at(address, BOARD)
    lost = i64(board.lost)
    wait = detect(conn, cold, address, now)
    if i64(board.lost) > lost:
        if not i64(conn.bits) & (RECOVERY | TIMED_OUT):
            _enter(conn, cold, board, limits)
        if i64(conn.bits) & RECOVERY:
            _pace(conn, cold, board, i64(0), False)
        _note_lost(conn, board)
    elif wait == 0 and i64(board.sacked) == 0 and not i64(conn.bits) & (RECOVERY | TIMED_OUT):
        raise_bits(conn, TAIL_DUE)
    if wait:
        arm_probe(conn, cold, board, wait, now)
    return i64(conn.bits) & (LOST | TAIL_DUE) != 0
