"""The TCP header on the wire: RFC 9293 section 3.1."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import be16, be32, i64, load8, put_be16, put_be32, store16
from tcp.segment import OPT_MSS, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE

SOURCE, DESTINATION, SEQ, ACK_SEQ, DATA_OFFSET, FLAGS, WINDOW, CHECKSUM, URGENT, OPTIONS = 0, 2, 4, 8, 12, 13, 14, 16, 18, 20
"""Offsets in bytes from the header's first."""
HEADER_LEN = 20

KIND_END, KIND_NOP, KIND_MSS, KIND_WSCALE, KIND_SACK_PERMITTED, KIND_TIMESTAMPS = 0, 1, 2, 3, 4, 8
MSS_LEN, WSCALE_LEN, SACK_PERMITTED_LEN, TIMESTAMPS_LEN = 4, 3, 2, 10


@kernel
def header_len(address):
    """Bytes of the header at *address* as it says itself: 0..60, not checked."""
    return (load8(address + DATA_OFFSET) >> 4) * 4


@kernel
def parse_header(address, seg):
    """Fill *seg* from the 20 readable bytes at *address*, except `payload_len` and what options say (`opts` becomes 0)."""
    seg.seq = be32(address + SEQ)
    seg.ack = be32(address + ACK_SEQ)
    seg.tcp_flags = load8(address + FLAGS)
    seg.wnd = be16(address + WINDOW)
    seg.opts = 0


@inlined
def parse_options(address, length, seg):
    """Read the *length* option bytes at *address*, all readable, into `mss`, `wscale`, `ts_val`, `ts_ecr` and `opts` of *seg*.

    False when an option has length 0 or 1 or reaches beyond the end; what came before it is kept. Options that are unknown, or
    known and not of their length, are skipped (MUST-6).
    """
    # The SYN of a small stack, as is ours: an MSS option and nothing else.
    if length == MSS_LEN and be16(address) == KIND_MSS << 8 | MSS_LEN:
        seg.mss = be16(address + 2)
        seg.opts = OPT_MSS
        return True
    return _parse_options(address, length, seg)


@rare
def _parse_options(address, length, seg):
    seg.opts = 0
    end = address + length
    while address < end:
        kind = load8(address)
        if kind == KIND_END:
            return True
        if kind == KIND_NOP:
            address += 1
            continue
        if address + 2 > end:
            return False
        size = load8(address + 1)
        if size < 2 or address + size > end:
            return False
        _take(address, kind, size, seg)
        address += size
    return True


@kernel
def _take(address, kind, size, seg):
    if kind == KIND_MSS and size == MSS_LEN:
        seg.mss = be16(address + 2)
        seg.opts = i64(seg.opts) | OPT_MSS
    elif kind == KIND_WSCALE and size == WSCALE_LEN:
        seg.wscale = load8(address + 2)
        seg.opts = i64(seg.opts) | OPT_WSCALE
    elif kind == KIND_SACK_PERMITTED and size == SACK_PERMITTED_LEN:
        seg.opts = i64(seg.opts) | OPT_SACK_PERMITTED
    elif kind == KIND_TIMESTAMPS and size == TIMESTAMPS_LEN:
        seg.ts_val = be32(address + 2)
        seg.ts_ecr = be32(address + 6)
        seg.opts = i64(seg.opts) | OPT_TIMESTAMPS


@kernel
def segment_header_len(out):
    """Bytes that `write_header` will write for *out*."""
    return HEADER_LEN + MSS_LEN if i64(out.opts) & OPT_MSS else HEADER_LEN


@kernel
def write_header(address, source, destination, out):
    """Write the header of the segment *out* with these ports, options included and checksum 0; its length in bytes."""
    length = segment_header_len(out)
    put_be32(address + SOURCE, source << 16 | destination)
    put_be32(address + SEQ, i64(out.seq))
    put_be32(address + ACK_SEQ, i64(out.ack))
    put_be32(address + DATA_OFFSET, length << 26 | i64(out.tcp_flags) << 16 | i64(out.wnd))
    put_be32(address + CHECKSUM, i64(0))
    if length > HEADER_LEN:
        put_be16(address + OPTIONS, i64(KIND_MSS << 8 | MSS_LEN))
        put_be16(address + OPTIONS + 2, i64(out.mss))
    return length


@kernel
def write_checksum(address, value):
    """Put *value*, as `checksum.tcp_checksum` gives it, into the header at *address*."""
    store16(address + CHECKSUM, value)
