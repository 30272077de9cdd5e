"""What the two ends say to each other.

The client sends messages: a request template as it is, or `message_len` bytes of which the first 16 name the connection. The
server answers each: with the bytes themselves (echo), or with a template. A message ends with a segment that has PSH set, or when
`message_len` bytes have come; an HTTP request with its blank line. Payload is a function of the stream offset, so that
anything can be sent again: templates repeat, and so do messages of ours, which a server that sends them back makes again from
their first 16 bytes. Only the echo of anything else is kept, in a ring, until it is acknowledged (`echo.py`).
Where sizes rule instead of messages it is a transfer (APP_TRANSFER), in `transfer.py`.
"""

from __future__ import annotations

from dpdk_io.expect import likely
from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import div64, i64, load8, load32, load64
from operators.accounting import role_counters
from operators.echo import echoes_own, keep_echo, write_echo
from operators.engine import (
    APP_DECIDED,
    APP_ECHOES,
    APP_FIN_SEEN,
    APP_HALF_OPEN,
    APP_HEAD,
    APP_HELD,
    APP_HTTP,
    APP_MISMATCH,
    APP_RING,
    APP_TRANSFER,
    APP_TURNED_AWAY,
    RESPONSE_AUTO,
    RESPONSE_ECHO,
)  # fmt: skip
from operators.message import MAGIC, own_byte, repeat, write_named, write_own
from operators.transfer import (
    begin_as_client,
    begin_as_server,
    begin_by_header,
    transfer_ends,
    transfer_goes_on,
    transfer_reveals,
    transfer_takes,
    transfer_takes_early,
    write_transfer,
)
from operators.transfer_header import may_be_header
from tcp.application import close, queue
from tcp.connection import CLIENT, FIN_QUEUED, IN_ORDER_ONLY, clear_bits, raise_bits
from tcp.events import EV_ABORTED, EV_CLOSED, EV_RST_DUE
from tcp.segment import FIN, PSH
from tcp.seq import distance
from tcp.window import offer

_COMPARED = 8
"""Bytes of our own message that the answer is compared with: the magic number and the connection's own."""
_GET, _HEAD, _POST, _PUT = 0x20544547, 0x44414548, 0x54534F50, 0x20545550
"""The first four bytes of the requests that are taken for HTTP, as they lie in little-endian memory."""


@kernel
def begin(eng, conn, app, slot):
    """The connection is established: the client speaks first, at once or when it has been held."""
    if i64(conn.bits) & CLIENT:
        if i64(eng.hold_ms):
            _hold(eng, app)
        elif i64(eng.client_transfers):
            begin_as_client(eng, conn, app, slot)
        else:
            _send_message(eng, conn, app)
    else:
        app.app_bits = i64(app.app_bits) & ~APP_HALF_OPEN
        eng.half_open = i64(eng.half_open) - 1
        if i64(eng.server_transfers):
            begin_as_server(eng, conn, app, slot)


@rare
def _hold(eng, app):
    app.app_bits = i64(app.app_bits) | APP_HELD
    app.held_until = (div64(i64(eng.now_us), 1000) + i64(eng.hold_ms) + 1) & 0xFFFFFFFF


@rare
def speak(eng, conn, app, slot):
    """A client has been held long enough."""
    app.app_bits = i64(app.app_bits) & ~APP_HELD
    if i64(eng.client_transfers):
        begin_as_client(eng, conn, app, slot)
    else:
        _send_message(eng, conn, app)


@kernel
def _send_message(eng, conn, app):
    queue(conn, i64(eng.message_len))
    app.sent_messages += 1
    if not i64(eng.own_payload) and i64(app.sent_messages) >= i64(eng.fin_by_client):
        close(conn)


@kernel
def deliver(eng, conn, app, slot, address, length, flags):
    """Take *length* new bytes of the stream at *address*, which came with the TCP flags *flags*; EV_ bits, or 0: all is well."""
    if i64(conn.bits) & CLIENT:
        _client_takes(eng, conn, app, slot, address, length, flags)
        return i64(0)
    return _server_takes(eng, conn, app, slot, address, length, flags)


@rare
def deliver_early(eng, conn, app, slot, address, early, length):
    """Take *length* bytes of the stream at *address*, before which *early* others are missing."""
    if i64(app.app_bits) & APP_TRANSFER:
        transfer_takes_early(eng, role_counters(eng, conn), conn, app, slot, address, early, length)


@rare
def reveal(eng, conn, app, slot, length):
    """Nothing is missing any more before *length* bytes that came early."""
    if i64(app.app_bits) & APP_TRANSFER:
        transfer_reveals(eng, role_counters(eng, conn), conn, app, slot, length)


@kernel
def end(eng, conn, app):
    """The peer has sent everything: so do we, after what is queued."""
    if i64(app.app_bits) & APP_TRANSFER:
        transfer_ends(app)
        return
    app.app_bits = i64(app.app_bits) & ~APP_HELD
    raise_bits(conn, i64(FIN_QUEUED))


@kernel
def _client_takes(eng, conn, app, slot, address, length, flags):
    if i64(eng.expect_len) > i64(app.matched) and not i64(app.app_bits) & APP_MISMATCH:
        _compare(eng, app, address, length)
    if not i64(eng.own_payload):
        if i64(app.app_bits) & APP_TRANSFER:
            transfer_takes(eng, role_counters(eng, conn), conn, app, slot, address, length)
        elif i64(app.matched) >= i64(eng.expect_len):
            clear_bits(conn, i64(IN_ORDER_ONLY))
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
    if matched == 0 and length >= _COMPARED and not i64(eng.expect) and load64(address) == MAGIC | i64(app.uid) << 32:
        app.matched = _COMPARED
        return
    for i in range(min(length, i64(eng.expect_len) - matched)):
        wanted = load8(i64(eng.expect) + matched + i) if i64(eng.expect) else own_byte(i64(app.uid), i64(0), matched + i)
        if load8(address + i) != wanted:
            app.app_bits = i64(app.app_bits) | APP_MISMATCH
            return
    app.matched = matched + min(length, i64(eng.expect_len) - matched)


@kernel
def _server_takes(eng, conn, app, slot, address, length, flags):
    if not i64(app.app_bits) & APP_DECIDED:
        _decide(eng, conn, app, slot, address, length)
    if i64(app.app_bits) & (APP_HTTP | APP_TRANSFER | APP_TURNED_AWAY):
        return _takes_other(eng, conn, app, slot, address, length)
    if i64(app.reply) == 0:
        if not keep_echo(eng, conn, app, address, length):
            return i64(EV_ABORTED | EV_CLOSED | EV_RST_DUE)
        queue(conn, length)
    pending = i64(app.pending) + length
    if flags & PSH or pending >= i64(eng.message_len):
        app.pending = 0
        _answer(eng, conn, app, i64(app.reply))
    else:
        app.pending = pending
    return i64(0)


@kernel
def _takes_other(eng, conn, app, slot, address, length):
    """A server takes what does not come in messages of its own; EV_ bits."""
    bits = i64(app.app_bits)
    if bits & APP_HTTP:
        for _ in range(_blank_lines(app, address, length)):
            _answer(eng, conn, app, i64(app.reply))
    elif bits & APP_TRANSFER:
        transfer_takes(eng, role_counters(eng, conn), conn, app, slot, address, length)
    else:
        return i64(EV_ABORTED | EV_CLOSED | EV_RST_DUE)
    return i64(0)


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
def _decide(eng, conn, app, slot, address, length):
    """What kind of answer do the first bytes ask for? `reply` is its length; 0: they are sent back."""
    bits = i64(app.app_bits) | APP_DECIDED
    word = load32(address) if length >= 4 else i64(0)
    if bits & APP_TRANSFER or (may_be_header(word, address, length) and i64(eng.transfers)):
        app.app_bits = bits
        if not bits & APP_TRANSFER:
            begin_by_header(eng, conn, app, slot)
        return
    kind = i64(eng.response_kind)
    reply = i64(0)
    if kind == RESPONSE_AUTO and word != MAGIC and word in (_GET, _HEAD, _POST, _PUT):
        bits |= APP_HTTP | (APP_HEAD if word == _HEAD else 0)
        reply = i64(eng.response_head_len) if word == _HEAD else i64(eng.response_len)
    elif kind != RESPONSE_ECHO and kind != RESPONSE_AUTO:
        reply = i64(eng.response_len)
    app.reply = reply
    app.app_bits = bits if reply else bits | APP_ECHOES
    echoes_own(eng, app, address, length)


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
def update_window(eng, conn, app, slot, limits):
    """An echoing server takes only what its ring has room for, as long as anything may come; transfers have windows of their own,
    and go on."""
    bits = i64(app.app_bits)
    if likely(not bits & (APP_ECHOES | APP_TRANSFER)):
        return
    if bits & APP_TRANSFER:
        transfer_goes_on(eng, conn, app, slot)
        return
    if bits & APP_FIN_SEEN:
        return
    size = i64(eng.echo_mask)
    offer(conn, limits, size - distance(i64(conn.snd_end), i64(conn.snd_una)), size)


@inlined
def write_payload(eng, conn, app, slot, address, offset, length):
    """Make the *length* bytes at stream *offset* of what this end sends: usually the first message of our own, and all of it."""
    client = i64(conn.bits) & CLIENT
    if length == i64(eng.named_len) and offset == 0 and (client or not (i64(app.reply) or i64(app.app_bits) & APP_RING)):
        write_named(eng, i64(app.uid), _own_name(eng, conn) if client else i64(app.name), address)
    else:
        _write_text(eng, conn, app, slot, address, offset, length)


@kernel
def _own_name(eng, conn):
    """What names the messages of a client."""
    return i64(conn.local_ip) | (i64(conn.local_port) | i64(eng.core) << 16) << 32


@kernel
def _write_text(eng, conn, app, slot, address, offset, length):
    if i64(conn.bits) & CLIENT:
        if i64(eng.own_payload):
            write_own(eng, i64(app.uid), _own_name(eng, conn), address, offset, length)
        elif i64(app.app_bits) & APP_TRANSFER:
            write_transfer(eng, conn, app, slot, address, offset, length)
        else:
            repeat(i64(eng.request), i64(eng.message_len), address, offset, length)
    elif i64(app.reply):
        if i64(app.app_bits) & APP_TRANSFER:
            write_transfer(eng, conn, app, slot, address, offset, length)
        else:
            repeat(i64(eng.response), i64(app.reply), address, offset, length)
    else:
        write_echo(eng, app, address, offset, length)
