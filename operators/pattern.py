"""Content that is known by its place in the stream: the words of a Weyl sequence, eight bytes of which are one addition.

The 64-bit word at offset 8 k, little-endian, is `start + k * STEP` modulo 2^64. STEP is odd, so no two words of a stream
are the same: whatever is lost, repeated or out of place by whole words differs everywhere. `start_of` scatters the streams.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import add64, i64, load8, load16, load32, load64, mul64, shr64, signed, store8, store16, store32, store64

_STEP = signed(0x9E3779B97F4A7C15)
_MIX_1 = signed(0xBF58476D1CE4E5B9)
_MIX_2 = signed(0x94D049BB133111EB)


@kernel
def start_of(number):
    """The first word of the stream *number*: all its bits depend on all of the number's (SplitMix64's finalizer)."""
    word = add64(number, i64(_STEP))
    word = mul64(word ^ shr64(word, 30), i64(_MIX_1))
    word = mul64(word ^ shr64(word, 27), i64(_MIX_2))
    return word ^ shr64(word, 31)


@kernel
def fill(address, offset, length, start):
    """Write the *length* bytes at stream *offset* to *address*."""
    word = add64(start, mul64(offset >> 3, i64(_STEP)))
    inside = offset & 7
    if inside:
        few = min(8 - inside, length)
        _store_few(address, shr64(word, inside * 8), few)
        address += few
        length -= few
        word = add64(word, i64(_STEP))
    end = address + (length & ~7)
    while address < end:
        store64(address, word)
        word = add64(word, i64(_STEP))
        address += 8
    _store_few(address, word, length & 7)


@kernel
def differs(address, offset, length, start):
    """Are the *length* bytes at *address* others than those at stream *offset*?"""
    word = add64(start, mul64(offset >> 3, i64(_STEP)))
    wrong = i64(0)
    inside = offset & 7
    if inside:
        few = min(8 - inside, length)
        wrong = _differs_few(address, shr64(word, inside * 8), few)
        address += few
        length -= few
        word = add64(word, i64(_STEP))
    end = address + (length & ~7)
    while address < end:
        wrong |= load64(address) ^ word
        word = add64(word, i64(_STEP))
        address += 8
    return (wrong | _differs_few(address, word, length & 7)) != 0


@kernel
def _store_few(address, word, n):
    """The low *n* bytes of *word*, at most seven."""
    if n & 4:
        store32(address, word)
        word = shr64(word, 32)
        address += 4
    if n & 2:
        store16(address, word)
        word = shr64(word, 16)
        address += 2
    if n & 1:
        store8(address, word)


@kernel
def _differs_few(address, word, n):
    """Not 0 if the *n* bytes at *address*, at most seven, are others than the low ones of *word*."""
    wrong = i64(0)
    if n & 4:
        wrong = load32(address) ^ (word & 0xFFFFFFFF)
        word = shr64(word, 32)
        address += 4
    if n & 2:
        wrong |= load16(address) ^ (word & 0xFFFF)
        word = shr64(word, 16)
        address += 2
    if n & 1:
        wrong |= load8(address) ^ (word & 0xFF)
    return wrong
