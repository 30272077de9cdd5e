"""What a fragment says of itself: the headers of RFC 791 and RFC 8200 section 4.5, checked and described in a PIECE."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.mbuf import data_len
from dpdk_io.memory import be16, be32, be64, i64, load8
from operators import wire
from operators.fragments import FITS, MALFORMED, MOST_DATA, MOST_HEAD, TINY, TOO_LONG, UNIT
from operators.parse import is_extension
from tcp import header as tcp_header

_MOST = 0xFFFF
"""Bytes of a datagram, whoever could take it."""


@kernel
def describe(pkt, mbuf, meta, piece):
    """Describe the fragment; what is wrong with it."""
    piece.version = i64(meta.ip_version)
    piece.l3 = i64(meta.l3)
    whole = _read4(pkt, meta, piece) if meta.ip_version == 4 else _read6(pkt, mbuf, meta, piece)
    size, more = i64(piece.bytes), i64(piece.more)
    end = i64(piece.start) + size
    if not whole or size <= 0 or end > _MOST or (more and size % UNIT != 0):
        return MALFORMED
    if data_len(mbuf) < i64(piece.at) + size or end > MOST_DATA or i64(piece.head) > MOST_HEAD:
        return TOO_LONG
    if i64(piece.start) == 0 and not _has_headers(pkt + i64(piece.at), size, i64(piece.proto), i64(piece.version)):
        return TINY
    return FITS


@kernel
def _read4(pkt, meta, piece):
    """The IPv4 header; the VLAN belongs to the key."""
    ip = pkt + i64(meta.l3)
    word = be16(ip + wire.IP_FRAGMENT)
    piece.src_high = 0
    piece.dst_high = 0
    piece.src_low = be32(ip + wire.IP_SRC)
    piece.dst_low = be32(ip + wire.IP_DST)
    piece.name = (4 << 12 | i64(meta.vlan)) << 40 | i64(meta.l4_proto) << 32 | be16(ip + wire.IP_ID)
    piece.head = i64(meta.l4)
    piece.at = i64(meta.l4)
    piece.bytes = be16(ip + wire.IP_TOTAL_LENGTH) - (i64(meta.l4) - i64(meta.l3))
    piece.start = (word & wire.IP_OFFSET) * UNIT
    piece.more = word & wire.IP_MORE_FRAGMENTS
    piece.proto = i64(meta.l4_proto)
    piece.ecn = load8(ip + wire.IP_TOS) & 3
    return True


@kernel
def _read6(pkt, mbuf, meta, piece):
    """The IPv6 header and the fragment header, False: not all of it is there. Fragments of a datagram may differ in what they say
    follows: the first one's word counts."""
    ip, fragment = pkt + i64(meta.l3), pkt + i64(meta.l4)
    at = i64(meta.l4) + wire.IP6_FRAGMENT_SIZE
    size = i64(meta.l3) + wire.IP6_HEADER + be16(ip + wire.IP6_PAYLOAD_LENGTH) - at
    if size < 0 or data_len(mbuf) < at:
        return False
    word = be16(fragment + wire.IP6_FRAGMENT_OFFSET)
    piece.src_high = be64(ip + wire.IP6_SRC)
    piece.src_low = be64(ip + wire.IP6_SRC + 8)
    piece.dst_high = be64(ip + wire.IP6_DST)
    piece.dst_low = be64(ip + wire.IP6_DST + 8)
    piece.name = (6 << 12 | i64(meta.vlan)) << 40 | be32(fragment + wire.IP6_FRAGMENT_ID)
    piece.head = i64(meta.l4)
    piece.at = at
    piece.bytes = size
    piece.start = word & ~(UNIT - 1)
    piece.more = word & 1
    piece.proto = load8(fragment)
    piece.ecn = be16(ip) >> 4 & 3
    return True


@kernel
def _has_headers(address, size, proto, version):
    """Are the extension headers and TCP's whole in the first *size* bytes of a datagram?"""
    while version == 6 and is_extension(proto):
        if size < UNIT:
            return False
        proto = load8(address)
        skipped = (load8(address + 1) + 1) * UNIT
        address += skipped
        size -= skipped
    if proto != wire.PROTO_TCP:
        return size > 0
    return size >= tcp_header.HEADER_LEN and size >= tcp_header.header_len(address)
