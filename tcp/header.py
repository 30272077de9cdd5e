"""The TCP header on the wire: RFC 9293 section 3.1."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import be16, be32, i64, load8, put_be32, store16
from tcp.segment import OPT_MSS, OPT_SACK, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE

SOURCE, DESTINATION, SEQ, ACK_SEQ, DATA_OFFSET, FLAGS, WINDOW, CHECKSUM, URGENT, OPTIONS = 0, 2, 4, 8, 12, 13, 14, 16, 18, 20
"""Offsets in bytes from the header's first."""
HEADER_LEN = 20

KIND_END, KIND_NOP, KIND_MSS, KIND_WSCALE, KIND_SACK_PERMITTED, KIND_SACK, KIND_TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
MSS_LEN, WSCALE_LEN, SACK_PERMITTED_LEN, TIMESTAMPS_LEN = 4, 3, 2, 10
BLOCK_LEN = 8

MSS_WORD = KIND_MSS << 24 | MSS_LEN << 16
WSCALE_WORD = KIND_NOP << 24 | KIND_WSCALE << 16 | WSCALE_LEN << 8
SACK_PERMITTED_WORD = KIND_NOP << 24 | KIND_NOP << 16 | KIND_SACK_PERMITTED << 8 | SACK_PERMITTED_LEN
TIMESTAMPS_WORD = KIND_NOP << 24 | KIND_NOP << 16 | KIND_TIMESTAMPS << 8 | TIMESTAMPS_LEN
SYN_TIMESTAMPS_WORD = KIND_SACK_PERMITTED << 24 | SACK_PERMITTED_LEN << 16 | KIND_TIMESTAMPS << 8 | TIMESTAMPS_LEN
SACK_WORD = KIND_NOP << 24 | KIND_NOP << 16 | KIND_SACK << 8
"""Options as we write them, in words of 32 bits padded in front (RFC 7323 appendix A), and as most do."""
SYN_OPTIONS_LEN = 12


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
    seg.urp = be16(address + URGENT)
    seg.opts = 0


@inlined
def parse_options(address, length, seg):
    """Read the *length* option bytes at *address*, all readable, into `mss`, `wscale`, `ts_*`, `sack_at` and `opts` of *seg*.

    False when an option has length 0 or 1 or reaches beyond the end; what came before it is kept. Options that are unknown, or
    known and not of their length, are skipped (MUST-6).
    """
    # The SYN of most stacks, ours among them: MSS, SACK permitted, window scale.
    if length == SYN_OPTIONS_LEN and be32(address + 4) == SACK_PERMITTED_WORD:
        first, last = be32(address), be32(address + 8)
        if first & 0xFFFF0000 == MSS_WORD and last & 0xFFFFFF00 == WSCALE_WORD:
            seg.mss = first & 0xFFFF
            seg.wscale = last & 0xFF
            seg.opts = OPT_MSS | OPT_SACK_PERMITTED | OPT_WSCALE
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
    elif kind == KIND_SACK and size > 2 and (size - 2) % BLOCK_LEN == 0:
        seg.sack_at = address + 2
        seg.opts = i64(seg.opts) | OPT_SACK


@kernel
def n_blocks(seg):
    """The SACK blocks at `seg.sack_at`, which OPT_SACK says there are."""
    return (load8(i64(seg.sack_at) - 1) - 2) // BLOCK_LEN


@kernel
def options_len(out):
    """Bytes of the options of *out*."""
    opts = i64(out.opts)
    length = 0
    if opts & OPT_MSS:
        length += 4
    if opts & OPT_WSCALE:
        length += 4
    if opts & OPT_TIMESTAMPS:
        length += 12
    elif opts & OPT_SACK_PERMITTED:
        length += 4
    if opts & OPT_SACK:
        length += 4 + BLOCK_LEN * i64(out.n_blocks)
    return length


@kernel
def write_options(address, out):
    """Write the options of *out*; their length in bytes."""
    opts = i64(out.opts)
    start = address
    if opts & OPT_MSS:
        address = _put(address, MSS_WORD | i64(out.mss))
    if opts & OPT_TIMESTAMPS:
        address = _put(address, i64(SYN_TIMESTAMPS_WORD if opts & OPT_SACK_PERMITTED else TIMESTAMPS_WORD))
        address = _put(address, i64(out.ts_val))
        address = _put(address, i64(out.ts_ecr))
    elif opts & OPT_SACK_PERMITTED:
        address = _put(address, i64(SACK_PERMITTED_WORD))
    if opts & OPT_WSCALE:
        address = _put(address, WSCALE_WORD | i64(out.wscale))
    if opts & OPT_SACK:
        blocks = i64(out.n_blocks)
        address = _put(address, SACK_WORD | (2 + BLOCK_LEN * blocks))
        for i in range(2 * blocks):
            address = _put(address, i64(out.blocks[i]))
    return address - start


@kernel
def _put(address, word):
    put_be32(address, word)
    return address + 4


@kernel
def segment_header_len(out):
    """Bytes that `write_header` will write for *out*."""
    return HEADER_LEN + options_len(out)


@kernel
def write_header(address, source, destination, out):
    """Write the header of the segment *out* with these ports, options included and checksum 0; its length in bytes."""
    length = segment_header_len(out)
    put_be32(address + SOURCE, source << 16 | destination)
    put_be32(address + SEQ, i64(out.seq))
    put_be32(address + ACK_SEQ, i64(out.ack))
    put_be32(address + DATA_OFFSET, length << 26 | i64(out.tcp_flags) << 16 | i64(out.wnd))
    put_be32(address + CHECKSUM, i64(0))
    write_options(address + OPTIONS, out)
    return length


@kernel
def write_checksum(address, value):
    """Put *value*, as `checksum.tcp_checksum` gives it, into the header at *address*."""
    store16(address + CHECKSUM, value)
