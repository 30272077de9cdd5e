"""What a transfer carries: the pattern, a template, or what a hook of the user's makes. All are functions of the place."""

from __future__ import annotations

from dpdk_io.callback import call_back
from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from operators.engine import APP_PATTERN
from operators.message import repeat
from operators.pattern import differs, fill, start_of
from tcp.connection import CLIENT


@kernel
def number_of(eng, conn, app):
    """What names the connection at both ends, 63 bits; its content follows from it."""
    return i64(eng.core) << 32 | i64(app.uid) if i64(conn.bits) & CLIENT else i64(app.name)


@kernel
def write_content(eng, conn, app, transfer, address, offset, length):
    """Write the *length* bytes at *offset* of what this end sends. A template begins anew with each round."""
    if i64(eng.fill_hook):
        call_back(i64(eng.fill_hook), address, offset, length, number_of(eng, conn, app))
    elif i64(eng.template):
        _write_rounds(eng, transfer, address, offset, length)
    else:
        fill(address, offset, length, start_of(_stream(number_of(eng, conn, app), i64(conn.bits) & CLIENT)))


@kernel
def content_differs(eng, conn, app, address, offset, length):
    """Are the *length* bytes at *address* others than the peer must have sent at *offset*? Foreign content may be anything."""
    if i64(eng.check_hook):
        return call_back(i64(eng.check_hook), address, offset, length, number_of(eng, conn, app)) == 0
    if not i64(app.app_bits) & APP_PATTERN:
        return False
    return differs(address, offset, length, start_of(_stream(number_of(eng, conn, app), not i64(conn.bits) & CLIENT)))


@kernel
def _stream(number, by_client):
    """Each direction of a connection has a pattern of its own."""
    return number if by_client else ~number


@kernel
def _write_rounds(eng, transfer, address, offset, length):
    at = offset % i64(transfer.send)
    while length > 0:
        n = min(length, i64(transfer.send) - at)
        repeat(i64(eng.template), i64(eng.template_len), address, at, n)
        address += n
        length -= n
        at = i64(0)
