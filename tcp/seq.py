"""Sequence numbers: 32 bits that wrap (RFC 9293 section 3.4), held in int64."""

from __future__ import annotations

from dpdk_io.jit import kernel

MASK = 0xFFFFFFFF
_HALF = 0x80000000


@kernel
def advance(seq, n):
    """The sequence number *n* after *seq*."""
    return (seq + n) & MASK


@kernel
def distance(seq, base):
    """How far *seq* is after *base*: -2^31 .. 2^31 - 1, negative when it is before."""
    return ((seq - base + _HALF) & MASK) - _HALF
