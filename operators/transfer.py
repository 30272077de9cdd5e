"""Transfers: rounds of a request and a response of given sizes, at both ends, for as long and as large as one likes.

The client sends a request, takes the response, thinks, and begins the next round; the server answers each request that has come
whole. No byte of either is kept: `content` makes them, and verifies them, by their place. The server closes after its last
response, the client after the last one it has got, or, where it closes half, after its last request.

Where every connection is to be one, each slot has a TRANSFER of its own. A server that is told nothing takes them out of a pool,
for connections that begin with a header, up to their end. With none left such a connection is reset, and counted.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64, record_at
from operators.content import content_differs, number_of, write_content
from operators.engine import (
    APP_ASKED,
    APP_GIVEN_UP,
    APP_HEADED,
    APP_HEADING,
    APP_LAST,
    APP_MISMATCH,
    APP_PATTERN,
    APP_POOLED,
    APP_SHORT,
    APP_TRANSFER,
    APP_TURNED_AWAY,
    MISMATCHES,
    NO_TRANSFER,
    bump,
    pace_of,
    transfer_of,
)  # fmt: skip
from operators.reader import open_window, put_aside, wake
from operators.transfer_header import HEADER_LEN, MOST_BYTES, take_header, write_header
from tcp.application import close, queue
from tcp.connection import CLIENT, CLOSED, IN_ORDER_ONLY, clear_bits
from tcp.seq import MASK, advance, distance
from tcp.slots import SLOTS, give_slot, take_slot


@rare
def begin_as_client(eng, conn, app, slot):
    """Send the header, if any, and the first request."""
    app.transfer = slot
    transfer = transfer_of(eng, app)
    _clear(eng, app, i64(eng.client_send), i64(eng.client_receive), i64(eng.rounds))
    bits = i64(app.app_bits) | APP_TRANSFER | APP_SHORT
    clear_bits(conn, i64(IN_ORDER_ONLY))
    if i64(eng.headed):
        bits |= APP_HEADED | (APP_PATTERN if i64(eng.sends_pattern) else 0)
        queue(conn, i64(HEADER_LEN))
    app.app_bits = bits
    _next_request(eng, conn, app, transfer)


@rare
def begin_as_server(eng, conn, app, slot):
    """Sizes are our own settings: no header comes."""
    _accept(eng, conn, app, slot, i64(APP_SHORT))
    _clear(eng, app, i64(eng.server_send), i64(eng.server_receive), i64(eng.rounds))
    number = i64(eng.served) + 1
    eng.served = number
    app.uid = number & MASK
    app.name = i64(eng.core) << 32 | (number & MASK)
    _answer_requests(conn, app, transfer_of(eng, app))


@rare
def begin_by_header(eng, conn, app, slot):
    """A header begins to come."""
    bits = i64(APP_HEADING | APP_SHORT)
    number = slot
    if i64(eng.transfer_pool):
        bits |= APP_POOLED
        number = take_slot(record_at(i64(eng.transfer_pool), SLOTS))
    if number < 0:
        _turn_away(eng, conn, app)
        return
    _accept(eng, conn, app, number, bits)
    _clear(eng, app, i64(0), i64(0), i64(0))
    app.name = 0


@rare
def _turn_away(eng, conn, app):
    bump(i64(eng.server), NO_TRANSFER, 1)
    app.app_bits = i64(app.app_bits) | APP_TURNED_AWAY
    conn.state = CLOSED
    conn.deadline = 0


@kernel
def give_transfer(eng, app):
    """The connection has come to its end: it is none any more."""
    app.app_bits = i64(app.app_bits) & ~(APP_POOLED | APP_TRANSFER)
    give_slot(record_at(i64(eng.transfer_pool), SLOTS), i64(app.transfer))


@kernel
def _accept(eng, conn, app, number, bits):
    """Its TRANSFER has this *number*. `reply` is not 0: what is sent is no echo."""
    app.transfer = number
    app.app_bits = i64(app.app_bits) | APP_TRANSFER | bits
    app.reply = 1
    app.pending = 0
    clear_bits(conn, i64(0 if bits & APP_HEADING else IN_ORDER_ONLY))


@kernel
def _clear(eng, app, send, receive, rounds):
    transfer = transfer_of(eng, app)
    transfer.send = send
    transfer.receive = receive
    transfer.queued = 0
    transfer.received = 0
    transfer.rounds = rounds
    transfer.done = 0
    if i64(eng.app_wheel):
        pace = pace_of(eng, app)
        pace.unread = 0
        pace.read_us = 0
        pace.resume_ms = 0


@rare
def transfer_takes(eng, counters, conn, app, slot, address, length):
    """Take *length* new bytes of the stream at *address*, in order. `transfer_goes_on` is to follow."""
    transfer = transfer_of(eng, app)
    if i64(app.app_bits) & APP_HEADING:
        few = take_header(transfer, app, address, length)
        if few < 0:
            _refuse(eng, counters, app)
            return
        address += few
        length -= few
        if not i64(app.app_bits) & APP_HEADING:
            clear_bits(conn, i64(IN_ORDER_ONLY))
    if length == 0:
        return
    if content_differs(eng, conn, app, address, i64(transfer.received), length):
        mismatched(counters, app)
    _take(eng, counters, conn, app, slot, transfer, length)


@rare
def transfer_takes_early(eng, counters, conn, app, slot, address, early, length):
    """Verify *length* bytes at *address* that came before the *early* ones ahead of them."""
    transfer = transfer_of(eng, app)
    if content_differs(eng, conn, app, address, i64(transfer.received) + early, length):
        mismatched(counters, app)


@rare
def transfer_reveals(eng, counters, conn, app, slot, length):
    """*length* bytes that came early have their turn."""
    _take(eng, counters, conn, app, slot, transfer_of(eng, app), length)


@kernel
def _take(eng, counters, conn, app, slot, transfer, length):
    received = i64(transfer.received) + length
    transfer.received = received
    if received > i64(transfer.receive) * i64(transfer.rounds):
        _too_much(eng, counters, conn, app, slot, transfer)
    if i64(eng.read_rate):
        put_aside(eng, conn, app, slot, length)


@kernel
def mismatched(counters, app):
    """Content came that nobody can have sent."""
    bump(counters, MISMATCHES, 1)
    app.app_bits = i64(app.app_bits) | APP_MISMATCH


@kernel
def _refuse(eng, counters, app):
    """What began like a header is none of this version: nothing is answered, and we close."""
    mismatched(counters, app)
    app.app_bits = i64(app.app_bits) & ~(APP_HEADING | APP_PATTERN) | APP_LAST
    _clear(eng, app, i64(0), i64(MOST_BYTES), i64(1))


@rare
def transfer_goes_on(eng, conn, app, slot):
    """After each segment: what has come may end a round, what was acknowledged may make room for more."""
    if i64(app.app_bits) & APP_HEADING:
        return
    transfer = transfer_of(eng, app)
    open_window(eng, conn, app)
    if not i64(conn.bits) & CLIENT:
        _answer_requests(conn, app, transfer)
    elif _is_over(conn, app, transfer):
        _end_round(eng, conn, app, slot, transfer)
    else:
        _give_to_tcp(conn, app, transfer)


@kernel
def _is_over(conn, app, transfer):
    """Has the round come to its end: the response is here, or, if none is wanted, the request has arrived?"""
    done = i64(transfer.done)
    if not i64(app.app_bits) & APP_ASKED:
        return False
    if i64(transfer.receive):
        return i64(transfer.received) >= (done + 1) * i64(transfer.receive)
    return i64(transfer.queued) == (done + 1) * i64(transfer.send) and distance(i64(conn.snd_una), i64(conn.snd_end)) >= 0


@kernel
def _end_round(eng, conn, app, slot, transfer):
    """The client has its response."""
    done = i64(transfer.done) + 1
    transfer.done = done
    app.app_bits = i64(app.app_bits) & ~APP_ASKED
    if done == i64(transfer.rounds):
        app.app_bits = i64(app.app_bits) & ~APP_SHORT | APP_LAST
        _give_to_tcp(conn, app, transfer)
    elif i64(eng.think_ms):
        pace_of(eng, app).resume_ms = max((div64(i64(eng.now_us), 1000) + i64(eng.think_ms) + 1) & MASK, 1)
        wake(eng, conn, app, slot)
    else:
        _next_request(eng, conn, app, transfer)


@kernel
def _next_request(eng, conn, app, transfer):
    bits = i64(app.app_bits) | APP_ASKED
    if i64(transfer.done) + 1 == i64(transfer.rounds) and (i64(eng.half_close) or i64(transfer.receive) == 0):
        bits |= APP_LAST
    app.app_bits = bits
    _give_to_tcp(conn, app, transfer)


@kernel
def resume(eng, conn, app):
    """Thought enough: the next request, unless the peer has gone."""
    pace_of(eng, app).resume_ms = 0
    if not i64(app.app_bits) & APP_LAST:
        _next_request(eng, conn, app, transfer_of(eng, app))


@kernel
def _answer_requests(conn, app, transfer):
    """The server answers the requests that are here whole."""
    rounds, receive = i64(transfer.rounds), i64(transfer.receive)
    here = min(i64(transfer.received) // receive, rounds) if receive else rounds
    transfer.done = here
    if here == rounds:
        app.app_bits = i64(app.app_bits) & ~APP_SHORT | APP_LAST
    _give_to_tcp(conn, app, transfer)


@kernel
def _give_to_tcp(conn, app, transfer):
    """Queue what is to be sent, as much of it as TCP takes, and the FIN after the last byte."""
    owed = (i64(transfer.done) + (1 if i64(app.app_bits) & APP_ASKED else 0)) * i64(transfer.send)
    queued = i64(transfer.queued)
    if queued < owed:
        queued += queue(conn, owed - queued)
        transfer.queued = queued
    if queued == owed and i64(app.app_bits) & APP_LAST:
        close(conn)


@kernel
def _too_much(eng, counters, conn, app, slot, transfer):
    """More has come than was agreed. A client of foreign servers has what it wants, and gives the connection up; a server of
    foreign clients that was told of no requests takes whatever they say."""
    bits = i64(app.app_bits)
    if i64(transfer.receive) == 0 and i64(eng.server_transfers) and not i64(conn.bits) & CLIENT:
        return
    if bits & APP_PATTERN or not i64(eng.app_wheel):
        mismatched(counters, app)
    elif not bits & (APP_SHORT | APP_GIVEN_UP):
        app.app_bits = bits | APP_GIVEN_UP
        pace_of(eng, app).resume_ms = max(div64(i64(eng.now_us), 1000) & MASK, 1)
        wake(eng, conn, app, slot)


@rare
def transfer_ends(app):
    """The peer has sent everything: after what it has asked for, so have we."""
    app.app_bits = i64(app.app_bits) | APP_LAST


@rare
def write_transfer(eng, conn, app, slot, address, offset, length):
    """Make the *length* bytes at stream *offset* (as sequence numbers count: modulo 2^32) of what this end sends."""
    transfer = transfer_of(eng, app)
    at = i64(transfer.queued) - distance(i64(conn.snd_end), advance(i64(conn.iss), offset + 1))
    if at < 0:
        few = min(-at, length)
        write_header(transfer, number_of(eng, conn, app), i64(eng.sends_pattern), address, at + HEADER_LEN, few)
        address += few
        length -= few
        at += few
    if length:
        write_content(eng, conn, app, transfer, address, at, length)
