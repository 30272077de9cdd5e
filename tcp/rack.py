"""RACK: a segment is lost when one that was sent after it has arrived long enough ago (RFC 8985 section 6)."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import bit_length, i64, record_at
from tcp.board import BOARD
from tcp.connection import RECOVERY, TIMED_OUT
from tcp.rto import UNIT
from tcp.seq import MASK, advance, distance
from tcp.spans import MISSING, RESENT, SACKED, join, set_marks, span_at

TRACKING = 1 << 0
"""The spans are in use."""
REORDERED = 1 << 1
"""Something arrived after what had been sent later (RACK.reordering_seen)."""
DSACK = 1 << 2
"""The ACK that is being looked at reports something that came twice."""
ORIGINAL = 1 << 3
"""It acknowledges something that a timeout took for lost, and that was not sent again since."""
TAIL_OUT = 1 << 4
"""A tail loss probe is on its way; `board.tlp_end` is SND.NXT after it (TLP.end_seq),"""
TAIL_RESENT = 1 << 5
"""and it was a retransmission,"""
TAIL_TWICE = 1 << 6
"""which the ACK that is being looked at reports to have come twice."""
UNDOABLE = 1 << 7
"""The last reduction may yet turn out to have been for nothing."""

_PERSIST = 16
"""Recoveries that a wider reordering window outlives (section 6.2 step 4)."""


@kernel
def begin_rack(conn, board):
    """Nothing is known of what arrives, but what round trips have taken."""
    board.rack_time = 0
    board.rack_end = i64(conn.snd_una)
    board.rack_rtt = 0
    board.fack = i64(conn.snd_una)
    board.reo_mult = 1
    board.reo_persist = 0
    board.dsack_round = i64(conn.snd_una)


@kernel
def shift_of(conn):
    """How many low bits of the times of spans do not matter: a thirty-second of a round trip."""
    return bit_length(i64(conn.srtt) * UNIT // 32)


@kernel
def arrived(conn, cold, board, span, end, echo, now):
    """What *span* has before *end* has arrived (steps 1 to 3). *echo*: how many ms ago was sent what this ACK answers, or -1."""
    time, marks = i64(span.time), i64(span.marks)
    rtt = (now - time) & MASK
    if distance(end, i64(board.fack)) > 0:
        board.fack = end
    elif not marks & RESENT:
        board.notes = i64(board.notes) | REORDERED
    if marks & RESENT:
        # Which of the two transmissions was it? Not this one, if it came sooner than anything ever did.
        if rtt < i64(cold.min_rtt) or echo > rtt // 1000 + 1:
            return
    else:
        board.fresh_rtt = max(rtt, 1)
        if i64(cold.min_rtt) == 0 or rtt < i64(cold.min_rtt):
            cold.min_rtt = max(rtt, 1)
        if i64(conn.bits) & TIMED_OUT and distance(end, i64(cold.recover)) <= 0:
            board.notes = i64(board.notes) | ORIGINAL
    if i64(board.rack_rtt) == 0 or _sent_before(i64(board.rack_time), i64(board.rack_end), time, end):
        board.rack_rtt = max(rtt, 1)
        board.rack_time = time
        board.rack_end = end


@kernel
def _sent_before(time, end, other_time, other_end):
    ahead = distance(other_time, time)
    return ahead > 0 or (ahead == 0 and distance(other_end, end) > 0)


@kernel
def detect(conn, cold, address, now):
    """Mark as missing what is lost by now (step 5); in how many us the next may have to be, 0: none."""
    board = record_at(address, BOARD)
    if i64(board.rack_rtt) == 0:
        return i64(0)
    rack_time, rack_end = i64(board.rack_time), i64(board.rack_end)
    patience = i64(board.rack_rtt) + _reordering_window(conn, cold, board)
    shift = shift_of(conn)
    wait = i64(0)
    index = i64(board.first)
    while index < i64(board.first) + i64(board.n_spans):
        span = span_at(address, index)
        marks, time = i64(span.marks), i64(span.time)
        # The time of what was sent again is exact, that of what has arrived may be too late by what `shift` leaves out.
        slack = i64(1) << shift if marks & RESENT else i64(0)
        if not marks & (SACKED | MISSING) and _sent_before(time + slack, i64(span.end), rack_time, rack_end):
            left = distance(advance(time, patience), now & MASK)
            wait = max(wait, left)
            if left <= 0:
                set_marks(address, index, marks | MISSING, time)
                index -= 1 if join(address, index - 1, shift) else 0
        index += 1
    return wait


@kernel
def _reordering_window(conn, cold, board):
    """RACK_update_reo_wnd: us."""
    bits = i64(conn.bits)
    # More than two segments' worth stands for DupThresh segments, as in IsLost of RFC 6675.
    if not i64(board.notes) & REORDERED and (bits & (RECOVERY | TIMED_OUT) or i64(board.sacked) > 2 * i64(conn.mss)):
        return i64(0)
    return min(i64(board.reo_mult) * (i64(cold.min_rtt) // 4), i64(conn.srtt) * UNIT)


@kernel
def widen(conn, board):
    """A D-SACK: what was sent again had not been lost. Wait longer, once for each round trip (step 4)."""
    if distance(i64(conn.snd_una), i64(board.dsack_round)) >= 0:
        board.dsack_round = i64(conn.snd_nxt)
        board.reo_mult = min(i64(board.reo_mult) + 1, 1 << 10)
        board.reo_persist = _PERSIST


@kernel
def recovered(board):
    """A recovery has ended: a wider window is not for ever."""
    persist = i64(board.reo_persist)
    if persist > 1:
        board.reo_persist = persist - 1
    else:
        board.reo_persist = 0
        board.reo_mult = 1
