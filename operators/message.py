"""Messages of our own: 16 bytes that name the connection, or as many as there is room for, then a template.

The first four are a magic number, the next four the connection's own at its client, the other eight the *name*: the client's
address, port and core. So 12 bytes and the engine's settings give back any part of the stream.
"""

from __future__ import annotations

from dpdk_io.jit import apart, inlined, kernel, rare
from dpdk_io.memory import copy, i64, load8, load64, mul64, store8, store64

MAGIC = 0x50414554
"""The first four bytes: "TEAP"."""
NAME_LEN = 16


@kernel
def own_byte(uid, name, at):
    """Byte *at* of the first 16."""
    word = i64(MAGIC) if at < 4 else uid if at < 8 else name
    return word >> (at & (7 if at >= 8 else 3)) * 8 & 0xFF


@apart
def repeat(template, period, address, offset, length):
    """Copy from a template that repeats."""
    at = offset if offset < period else offset % period
    while length > 0:
        n = min(length, period - at)
        copy(address, template + at, n)
        address += n
        length -= n
        at = i64(0)


@kernel
def _whole(period, offset, length):
    """Is it one message from beginning to end, long enough for its name?"""
    return length == period and period >= NAME_LEN and (offset == 0 or offset % period == 0)


@kernel
def write_own(eng, uid, name, address, offset, length):
    """Make the *length* bytes at stream *offset*."""
    period = i64(eng.message_len)
    if _whole(period, offset, length):
        write_named(eng, uid, name, address)
    else:
        _write_parts(eng, uid, name, address, offset, length)


@inlined
def write_named(eng, uid, name, address):
    """Make a whole message, at least as long as its name."""
    # One store for what the checksum is going to load at once: out of two it would have to wait for the cache.
    store64(address, MAGIC | mul64(uid, 1 << 32))
    store64(address + 8, name)
    rest = i64(eng.message_len) - NAME_LEN
    if rest:
        _write_rest(eng, address + NAME_LEN, rest)


@kernel
def _write_rest(eng, address, length):
    copy(address, i64(eng.request) + NAME_LEN, length)


@rare
def _write_parts(eng, uid, name, address, offset, length):
    period = i64(eng.message_len)
    at = offset % period
    while length > 0:
        n = min(length, period - at)
        named = max(min(n, NAME_LEN - at), 0)
        for i in range(named):
            store8(address + i, own_byte(uid, name, at + i))
        copy(address + named, i64(eng.request) + at + named, n - named)
        address += n
        length -= n
        at = i64(0)


@kernel
def is_own(eng, uid, name, address, offset, length):
    """Are the *length* bytes at *address* those that `write_own` would make?"""
    period = i64(eng.message_len)
    if not _whole(period, offset, length):
        return _are_parts(eng, uid, name, address, offset, length)
    if load64(address) != MAGIC | mul64(uid, 1 << 32) or load64(address + 8) != name:
        return False
    return same(address + NAME_LEN, i64(eng.request) + NAME_LEN, period - NAME_LEN)


@rare
def _are_parts(eng, uid, name, address, offset, length):
    period = i64(eng.message_len)
    at = offset % period
    while length > 0:
        n = min(length, period - at)
        named = max(min(n, NAME_LEN - at), 0)
        for i in range(named):
            if load8(address + i) != own_byte(uid, name, at + i):
                return False
        if not same(address + named, i64(eng.request) + at + named, n - named):
            return False
        address += n
        length -= n
        at = i64(0)
    return True


@kernel
def same(one, other, length):
    """Are the *length* bytes at two addresses the same?"""
    end = one + (length & ~7)
    while one < end:
        if load64(one) != load64(other):
            return False
        one += 8
        other += 8
    for i in range(length & 7):
        if load8(one + i) != load8(other + i):
            return False
    return True
