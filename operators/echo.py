"""What a server sends back.

Messages of our own clients need no memory: verified as they come, they are made again from what names them. For anything else
a connection takes a ring out of a pool, and keeps it to its end. With none left it cannot go on: it is reset, and counted.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import copy, i64, load8, load32, load64, record_at
from operators.engine import APP_RING, NO_ECHO_RING, bump
from operators.message import MAGIC, NAME_LEN, is_own, repeat, same, write_own
from tcp.connection import CLOSED
from tcp.seq import distance
from tcp.slots import SLOTS, give_slot, take_slot


@kernel
def echoes_own(eng, app, address, length):
    """Note what names the messages that begin with the *length* bytes at *address*, if they are ours."""
    if length < NAME_LEN or not i64(eng.own_payload):
        _note_short(eng, app, address, length)
    elif load32(address) == MAGIC:
        app.uid = load32(address + 4)
        app.name = load64(address + 8)


@rare
def _note_short(eng, app, address, length):
    """A message with room for part of a name only."""
    if i64(eng.own_payload) and length >= min(i64(eng.message_len), NAME_LEN):
        uid = name = i64(0)
        for i in range(4, min(length, 8)):
            uid |= load8(address + i) << (i - 4) * 8
        for i in range(8, length):
            name |= load8(address + i) << (i - 8) * 8
        app.uid = uid
        app.name = name


@kernel
def keep_echo(eng, conn, app, address, length):
    """See to it that the *length* bytes at *address*, next in the stream, can be sent back. False: there is no room."""
    offset = distance(i64(conn.snd_end), i64(conn.iss)) - 1
    if not i64(app.app_bits) & APP_RING:
        if _is_ours(eng, app, address, offset, length):
            return True
        if not _take_ring(eng, conn, app, offset):
            return False
    _store(eng, app, address, offset, length)
    return True


@kernel
def _is_ours(eng, app, address, offset, length):
    if i64(eng.own_payload):
        return is_own(eng, i64(app.uid), i64(app.name), address, offset, length)
    return _is_request(eng, address, offset, length)


@rare
def _is_request(eng, address, offset, length):
    """Is it what our clients are told to send, again and again?"""
    period = i64(eng.message_len)
    at = offset % period
    while length > 0:
        n = min(length, period - at)
        if not same(address, i64(eng.request) + at, n):
            return False
        address += n
        length -= n
        at = i64(0)
    return True


@rare
def _take_ring(eng, conn, app, offset):
    """Something else has come. What is on its way back, up to *offset*, moves into the ring. False: none is left."""
    ring = take_slot(record_at(i64(eng.echo_rings), SLOTS))
    if ring < 0:
        bump(i64(eng.server), NO_ECHO_RING, 1)
        conn.state = CLOSED
        conn.deadline = 0
        return False
    size = i64(eng.echo_mask) + 1
    at = distance(i64(conn.snd_una), i64(conn.iss)) - 1
    while at < offset:
        n = min(offset - at, size - at % size)
        _write_ours(eng, app, _ring(eng, ring) + at % size, at, n)
        at += n
    app.ring = ring
    app.app_bits = i64(app.app_bits) | APP_RING
    return True


@kernel
def give_ring(eng, app):
    """The connection sends nothing back any more."""
    app.app_bits = i64(app.app_bits) & ~APP_RING
    give_slot(record_at(i64(eng.echo_rings), SLOTS), i64(app.ring))


@kernel
def _ring(eng, ring):
    return i64(eng.echo) + ring * i64(eng.echo_stride)


@rare
def _store(eng, app, address, offset, length):
    """Keep the bytes in the connection's ring, at their offset in the stream that goes back."""
    mask = i64(eng.echo_mask)
    ring = _ring(eng, i64(app.ring))
    start = offset & mask
    first = min(length, mask + 1 - start)
    copy(ring + start, address, first)
    if length > first:
        copy(ring, address + first, length - first)


@kernel
def write_echo(eng, app, address, offset, length):
    """Make the *length* bytes at stream *offset* of what goes back."""
    if i64(app.app_bits) & APP_RING:
        repeat(_ring(eng, i64(app.ring)), i64(eng.echo_mask) + 1, address, offset, length)
    else:
        _write_ours(eng, app, address, offset, length)


@kernel
def _write_ours(eng, app, address, offset, length):
    if i64(eng.own_payload):
        write_own(eng, i64(app.uid), i64(app.name), address, offset, length)
    else:
        repeat(i64(eng.request), i64(eng.message_len), address, offset, length)
