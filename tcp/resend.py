"""Segments that do not wait their turn: what is lost, what makes a shut window speak, and what makes a silent peer speak."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64, record_at
from tcp.acks import payload_room
from tcp.board import BOARD
from tcp.connection import ACK_BITS, FIN_QUEUED, LOST, PROBE, RECOVERY, TAIL_DUE, TIMED, clear_bits
from tcp.deadlines import REORDER, await_answer, schedule
from tcp.emit import fill, send_text
from tcp.probe import note_probe
from tcp.rack import TAIL_OUT, shift_of
from tcp.recovery import pipe_of, tracked
from tcp.segment import ACK, FIN, PSH
from tcp.seq import MASK, advance, distance
from tcp.spans import RESENT, SACKED, find, find_missing, isolate, join, reserve, set_marks, span_at


@rare
def send_again(conn, cold, out, limits, now):
    """One segment because of PROBE, TAIL_DUE or LOST; False when nothing may be sent for them."""
    bits = i64(conn.bits)
    if bits & PROBE:
        clear_bits(conn, PROBE | TAIL_DUE)
        return _probe(conn, cold, out, limits, now)
    address = tracked(conn, cold)
    if address == 0:
        clear_bits(conn, LOST | TAIL_DUE)
        return bits & LOST != 0 and _first(conn, cold, out, limits, now)
    if bits & TAIL_DUE:
        clear_bits(conn, TAIL_DUE)
        return _tail(conn, cold, address, out, limits, now)
    return _missing(conn, cold, address, out, limits, now)


@kernel
def _repeat(conn, cold, out, start, span, limits, now):
    """Fill *out* with at most *span* sequence numbers from *start* on, which were sent before; how many they are."""
    queued = distance(i64(conn.snd_end), start)
    length = min(span, queued, payload_room(conn, cold))
    fin = 1 if length < span and length == queued else 0
    flags = ACK | (FIN if fin else 0) | (PSH if length and length == queued else 0)
    fill(conn, cold, out, start, flags, length, length + fin, limits, now)
    clear_bits(conn, ACK_BITS)
    if start == i64(conn.snd_una):
        await_answer(conn, cold, limits, now)
    return length + fin


@kernel
def _first(conn, cold, out, limits, now):
    """Without spans: the segment at snd_una, which fast retransmit found lost."""
    una = i64(conn.snd_una)
    unacked = distance(i64(conn.snd_nxt), una)
    if unacked <= 0:
        return False
    _repeat(conn, cold, out, una, unacked, limits, now)
    return True


@kernel
def _missing(conn, cold, address, out, limits, now):
    """The first segment that is deemed lost, as far as windows allow (NextSeg of RFC 6675). Nothing in flight: one leaves."""
    board = record_at(address, BOARD)
    index = find_missing(address)
    span = span_at(address, index)
    start = i64(span.start)
    # A window that has shrunk does not stop what lies within it (RFC 9293 section 3.8.6, MUST-34).
    fits = i64(conn.snd_wnd) - distance(start, i64(conn.snd_una))
    length = min(distance(i64(span.end), start), fits, payload_room(conn, cold) + 1)
    pipe = pipe_of(conn, board)
    if length <= 0 or (pipe > 0 and pipe + min(length, i64(conn.mss)) > i64(cold.cwnd)):
        return False
    length = _repeat(conn, cold, out, start, length, limits, now)
    _note_resent(conn, cold, address, start, advance(start, length), now)
    return True


@kernel
def _note_resent(conn, cold, address, start, end, now):
    """The spans from *start* to *end* are in flight again, since *now*."""
    board, shift, length = record_at(address, BOARD), shift_of(conn), distance(end, start)
    reserve(address, i64(2))
    index = find(address, start)
    while index < i64(board.first) + i64(board.n_spans) and distance(end, i64(span_at(address, index).start)) > 0:
        if not i64(span_at(address, index).marks) & SACKED:
            index = isolate(address, index, start, end)
            set_marks(address, index, i64(RESENT), now)
        index += 0 if join(address, index - 1, shift) else 1
    if i64(board.lost) == 0:
        clear_bits(conn, LOST)
    board.undo = i64(board.undo) + length
    if i64(cold.undo_at) == 0:
        cold.undo_at = max(div64(now, 1000) & MASK, 1)
    if i64(conn.bits) & RECOVERY:
        cold.prr_out = i64(cold.prr_out) + length


@kernel
def _tail(conn, cold, address, out, limits, now):
    """A tail loss probe: new data if there is some, or else the last segment again (RFC 8985 section 7.3)."""
    board = record_at(address, BOARD)
    una, nxt = i64(conn.snd_una), i64(conn.snd_nxt)
    if nxt == una:
        return False
    queued = distance(i64(conn.snd_end), nxt)
    length = min(queued, payload_room(conn, cold))
    board.notes = i64(board.notes) | TAIL_OUT
    if length > 0 and distance(nxt, una) + length <= i64(conn.snd_wnd):
        send_text(conn, cold, out, i64(conn.bits), length, i64(0), queued, limits, now)
        note_probe(conn, board, False)
    else:
        span = min(payload_room(conn, cold) + (1 if queued < 0 else 0), distance(nxt, una))
        start = advance(nxt, -span)
        _repeat(conn, cold, out, start, span, limits, now)
        _note_resent(conn, cold, address, start, nxt, now)
        note_probe(conn, board, True)
    await_answer(conn, cold, limits, now)
    schedule(conn, cold, i64(REORDER), i64(0))
    return True


@kernel
def _probe(conn, cold, out, limits, now):
    """Into a window that is shut the smallest segment that makes the peer tell it (RFC 9293 section 3.8.6.1); into one that stays
    small, what it takes, when that was held back for long enough (section 3.8.6.2.1)."""
    una = i64(conn.snd_una)
    bits = i64(conn.bits)
    queued = distance(i64(conn.snd_end), una)
    length = max(min(queued, max(i64(conn.snd_wnd), 1), payload_room(conn, cold)), 0)
    fin = 1 if queued == length and bits & FIN_QUEUED and (length == 0 or i64(conn.snd_wnd) > length) else 0
    if length + fin == 0:
        return False
    address = tracked(conn, cold)
    if address and una != i64(conn.snd_nxt):
        length = _repeat(conn, cold, out, una, i64(1), limits, now)
        _note_resent(conn, cold, address, una, advance(una, length), now)
        return True
    conn.snd_nxt = una
    send_text(conn, cold, out, bits | TIMED, length, fin, queued, limits, now)
    clear_bits(conn, TIMED)
    return True
