"""What the two ends say to each other.

The client sends messages: a request template as it is, or `message_len` bytes of which the first 16 name the connection. The
server answers each: with the bytes themselves (echo), or with a template. A message ends with a segment that has PSH set, or when
`message_len` bytes have come; an HTTP request with its blank line. Payload is a function of the stream offset, so that
anything can be sent again: templates repeat, an echo is kept in the connection's ring until it is acknowledged.
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import copy, i64, load8, load32, load64, store8, store64
from operators.engine import (
    APP_DECIDED,
    APP_ECHOES,
    APP_HEAD,
    APP_HTTP,
    APP_MISMATCH,
    RESPONSE_AUTO,
    RESPONSE_ECHO,
)  # fmt: skip
from tcp.application import close, queue
from tcp.connection import ACK_DUE, CLIENT, raise_bits
from tcp.segment import FIN, PSH
from tcp.seq import distance

_MAGIC = 0x50414554
"""The first four bytes of a message of ours: "TEAP"."""
_NAME_LEN = 16
_COMPARED = 8
"""Bytes of our own message that the answer is compared with: the magic number and the connection's own."""
_GET, _HEAD, _POST, _PUT = 0x20544547, 0x44414548, 0x54534F50, 0x20545550
"""The first four bytes of the requests that are taken for HTTP, as they lie in little-endian memory."""
_OPEN_AGAIN = 1024
"""A window that was smaller and grows to as much is told to the peer at once."""


@kernel
def begin(eng, conn, app):
    """The connection is established: the client speaks first."""
    if i64(conn.bits) & CLIENT:
        _send_message(eng, conn, app)


@kernel
def _send_message(eng, conn, app):
    queue(conn, i64(eng.message_len))
    app.sent_messages += 1
    if not i64(eng.own_payload) and i64(app.sent_messages) >= i64(eng.fin_by_client):
        close(conn)


@kernel
def deliver(eng, conn, app, slot, address, length, flags):
    """Take *length* new bytes of the stream at *address*, which came with the TCP flags *flags*."""
    if i64(conn.bits) & CLIENT:
        _client_takes(eng, conn, app, address, length, flags)
    else:
        _server_takes(eng, conn, app, slot, address, length, flags)


@kernel
def end(eng, conn, app):
    """The peer has sent everything: so do we, after what is queued."""
    close(conn)


@kernel
def _client_takes(eng, conn, app, address, length, flags):
    if i64(eng.expect_len) > i64(app.matched) and not i64(app.app_bits) & APP_MISMATCH:
        _compare(eng, app, address, length)
    if not i64(eng.own_payload):
        return
    pending = i64(app.pending) + length
    if pending < i64(eng.message_len):
        app.pending = pending
        return
    app.pending = pending - i64(eng.message_len)
    app.received_messages += 1
    if i64(app.received_messages) >= i64(eng.fin_by_client):
        close(conn)
    elif not flags & FIN:
        _send_message(eng, conn, app)


@kernel
def _compare(eng, app, address, length):
    """Go on comparing the response with what is expected; without a template, our own message, by its name."""
    matched = i64(app.matched)
    if matched == 0 and length >= _COMPARED and not i64(eng.expect) and load64(address) == _MAGIC | i64(app.uid) << 32:
        app.matched = _COMPARED
        return
    for i in range(min(length, i64(eng.expect_len) - matched)):
        wanted = load8(i64(eng.expect) + matched + i) if i64(eng.expect) else _own_byte(app, matched + i)
        if load8(address + i) != wanted:
            app.app_bits = i64(app.app_bits) | APP_MISMATCH
            return
    app.matched = matched + min(length, i64(eng.expect_len) - matched)


@kernel
def _own_byte(app, at):
    """Byte *at* of the first eight of a message of ours: the magic number and the connection's own."""
    word = i64(_MAGIC) if at < 4 else i64(app.uid)
    return word >> (at & 3) * 8 & 0xFF


@kernel
def _server_takes(eng, conn, app, slot, address, length, flags):
    if not i64(app.app_bits) & APP_DECIDED:
        _decide(eng, app, address, length)
    if i64(app.app_bits) & APP_HTTP:
        for _ in range(_blank_lines(app, address, length)):
            _answer(eng, conn, app, i64(app.reply))
        return
    if i64(app.reply) == 0:
        _store_echo(eng, conn, slot, address, length)
        queue(conn, length)
    pending = i64(app.pending) + length
    if flags & PSH or pending >= i64(eng.message_len):
        app.pending = 0
        _answer(eng, conn, app, i64(app.reply))
    else:
        app.pending = pending


@kernel
def _answer(eng, conn, app, length):
    """A message is complete: queue *length* bytes of response, and the FIN after the last one."""
    received = i64(app.received_messages) + 1
    app.received_messages = received
    if length:
        queue(conn, length)
    if received >= i64(eng.fin_by_server):
        close(conn)


@kernel
def _decide(eng, app, address, length):
    """What kind of answer do the first bytes ask for? `reply` is its length; 0: they are sent back."""
    bits = i64(app.app_bits) | APP_DECIDED
    word = load32(address) if length >= 4 else i64(0)
    if word == _MAGIC and length >= _NAME_LEN:
        app.uid = load32(address + 4)
    kind = i64(eng.response_kind)
    reply = i64(0)
    if kind == RESPONSE_AUTO and word in (_GET, _HEAD, _POST, _PUT):
        bits |= APP_HTTP | (APP_HEAD if word == _HEAD else 0)
        reply = i64(eng.response_head_len) if word == _HEAD else i64(eng.response_len)
    elif kind != RESPONSE_ECHO and kind != RESPONSE_AUTO:
        reply = i64(eng.response_len)
    if reply == 0:
        bits |= APP_ECHOES
    app.app_bits = bits
    app.reply = reply


@rare
def _blank_lines(app, address, length):
    """How often has CR LF CR LF come to its end, in this segment or across several?"""
    seen = i64(app.terminator)
    found = i64(0)
    for i in range(length):
        byte = load8(address + i)
        wanted = i64(13) if seen & 1 == 0 else i64(10)
        if byte == wanted:
            seen += 1
        else:
            seen = i64(1) if byte == 13 else i64(0)
        if seen == 4:
            seen = i64(0)
            found += 1
    app.terminator = seen
    return found


@kernel
def _store_echo(eng, conn, slot, address, length):
    """Keep the bytes in the connection's ring, at their offset in the stream that goes back."""
    mask = i64(eng.echo_mask)
    ring = i64(eng.echo) + slot * i64(eng.echo_stride)
    start = distance(i64(conn.snd_end), i64(conn.iss)) - 1 & mask
    first = min(length, mask + 1 - start)
    copy(ring + start, address, first)
    if length > first:
        copy(ring, address + first, length - first)


@kernel
def update_window(eng, conn, app):
    """An echoing server takes only what its ring has room for."""
    if not i64(app.app_bits) & APP_ECHOES:
        return
    size = i64(eng.echo_mask) + 1
    room = size - distance(i64(conn.snd_end), i64(conn.snd_una))
    if i64(conn.rcv_wnd) < _OPEN_AGAIN <= room:
        raise_bits(conn, ACK_DUE)
    conn.rcv_wnd = max(min(room, size - 1), 0)


@kernel
def write_payload(eng, conn, app, slot, address, offset, length):
    """Make the *length* bytes at stream *offset* of what this end sends."""
    if i64(conn.bits) & CLIENT:
        if i64(eng.own_payload):
            _write_own(eng, conn, app, address, offset, length)
        else:
            _repeat(i64(eng.request), i64(eng.message_len), address, offset, length)
    elif i64(app.reply):
        _repeat(i64(eng.response), i64(app.reply), address, offset, length)
    else:
        mask = i64(eng.echo_mask)
        _repeat(i64(eng.echo) + slot * i64(eng.echo_stride), mask + 1, address, offset, length)


@kernel
def _repeat(template, period, address, offset, length):
    """Copy from a template that repeats."""
    at = offset if offset < period else offset % period
    while length > 0:
        n = min(length, period - at)
        copy(address, template + at, n)
        address += n
        length -= n
        at = i64(0)


@kernel
def _write_own(eng, conn, app, address, offset, length):
    """Messages of ours: 16 bytes that name the connection, then the template."""
    period = i64(eng.message_len)
    if length == period and period >= _NAME_LEN and (offset == 0 or offset % period == 0):
        store64(address, _MAGIC | i64(app.uid) << 32)
        store64(address + 8, i64(conn.local_ip) | (i64(conn.local_port) | i64(eng.core) << 16) << 32)
        if period > _NAME_LEN:
            copy(address + _NAME_LEN, i64(eng.request) + _NAME_LEN, period - _NAME_LEN)
        return
    _repeat(i64(eng.request), period, address, offset, length)
    for i in range(length):
        at = (offset + i) % period
        if at < _NAME_LEN:
            store8(address + i, _name_byte(eng, conn, app, at))


@kernel
def _name_byte(eng, conn, app, at):
    if at < 8:
        return _own_byte(app, at)
    word = i64(conn.local_ip) if at < 12 else i64(conn.local_port) | i64(eng.core) << 16
    return word >> (at & 3) * 8 & 0xFF
