"""The header before a transfer between two engines: it names sizes, so that the server needs no configuration of its own.

40 bytes in network byte order, the first of the client's stream.

    0  magic D4 45 41 50        8  number of the connection        24  bytes of a response
    4  version, 1              16  bytes of a request              32  rounds
    5  flags: 1, the requests are the pattern                      36  0
    6  0
"""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64, load8, store8
from operators.engine import APP_HEADING, APP_PATTERN

HEADER_LEN = 40
_MAGIC = 0xD4454150
_MAGIC_WORD, _MAGIC_BYTE = 0x504145D4, 0xD4
"""As they lie in little-endian memory."""
_VERSION = 1
_PATTERN = 1
MOST_BYTES = 1 << 40
_MOST_ROUNDS = 1 << 22
_POSITIVE = (1 << 63) - 1


@rare
def write_header(transfer, number, pattern, address, at, length):
    """The *length* bytes of the client's header from byte *at* on; *number*: of the connection; *pattern*: the requests are."""
    for i in range(length):
        k = at + i
        store8(address + i, _word(transfer, number, pattern, k >> 2) >> (3 - (k & 3)) * 8)


@kernel
def _word(transfer, number, pattern, k):
    """The header's 32-bit word *k*."""
    if k == 0:
        return i64(_MAGIC)
    if k == 1:
        return i64(_VERSION << 24) | (_PATTERN << 16 if pattern else 0)
    if k < 4:
        return number >> (3 - k) * 32
    if k < 6:
        return i64(transfer.send) >> (5 - k) * 32
    if k < 8:
        return i64(transfer.receive) >> (7 - k) * 32
    return i64(transfer.rounds) if k == 8 else i64(0)


@kernel
def may_be_header(word, address, length):
    """Does a stream begin so: with the 32-bit *word*, if it has four bytes by now, else with the first of the magic number?"""
    return word == _MAGIC_WORD if length >= 4 else load8(address) == _MAGIC_BYTE


@rare
def take_header(transfer, app, address, length):
    """Take what of the header is in these *length* bytes, and note what it says: how many they are, or -1 if it is none we know.

    APP_HEADING goes when it is whole.
    """
    at = i64(app.pending)
    few = min(length, HEADER_LEN - at)
    for i in range(few):
        if not _take_byte(transfer, app, at + i, load8(address + i)):
            return i64(-1)
    app.pending = at + few
    if at + few == HEADER_LEN:
        app.app_bits = i64(app.app_bits) & ~APP_HEADING
        if not _sensible(transfer):
            return i64(-1)
    return few


@kernel
def _take_byte(transfer, app, k, byte):
    """Byte *k*. False: this is no header of ours."""
    if k < 4:
        return byte == _MAGIC >> (3 - k) * 8 & 0xFF
    if k == 4:
        return byte == _VERSION
    if k == 5:
        app.app_bits = i64(app.app_bits) | (APP_PATTERN if byte & _PATTERN else 0)
    elif 8 <= k < 16:
        app.name = (i64(app.name) << 8 | byte) & _POSITIVE
    elif 16 <= k < 24:
        transfer.receive = _shifted(i64(transfer.receive), byte)
    elif 24 <= k < 32:
        transfer.send = _shifted(i64(transfer.send), byte)
    elif 32 <= k < 36:
        transfer.rounds = (i64(transfer.rounds) << 8 | byte) & 0xFFFFFFFF
    return True


@kernel
def _shifted(size, byte):
    """One more byte of a size; one that is too large stays so."""
    return size << 8 | byte if size <= MOST_BYTES else size


@kernel
def _sensible(transfer):
    """Are the sizes such that counting them cannot go wrong?"""
    rounds, receive, send = i64(transfer.rounds), i64(transfer.receive), i64(transfer.send)
    return 0 < rounds <= _MOST_ROUNDS and (rounds == 1 or receive > 0) and receive <= MOST_BYTES and send <= MOST_BYTES
