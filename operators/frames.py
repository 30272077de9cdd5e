"""Ethernet, IP and TCP headers for segments we send. Checksums are computed from the values, not read back from memory."""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import copy, i64, load16, load32, put_be16, put_be32, shr64, signed, store16, store32, store64
from operators.wire import ETH_HEADER, IP6_DST, IP6_HEADER, IP6_SRC, IP_HEADER, MIN_FRAME, PROTO_TCP
from tcp.checksum import fold, ones_sum, swapped
from tcp.header import HEADER_LEN, MSS_WORD, SACK_PERMITTED_WORD, SYN_OPTIONS_LEN, options_len, write_options
from tcp.index import tuple_hash
from tcp.ip6 import FIRST_NUMBER, address_of, octets_of

_IP = ETH_HEADER
_TCP = ETH_HEADER + IP_HEADER
_TCP_IP6 = ETH_HEADER + IP6_HEADER
_DONT_FRAGMENT = 0x4000
_IPV6_TYPE = 0xDD86
"""0x86DD as it lies in little-endian memory."""
_VERSION_6 = 0x60000000
_FLOW_LABEL = 0xFFFFF

FRAMING = np.dtype([("source_mac", "i8"), ("second_word", "i8"), ("third_word", "i8"), ("ip_sum", "i8"), ("tcp_sum", "i8")])
"""What all frames of an engine begin with. source_mac: the two bytes of ours that follow the peer's six in a frame's first eight;
second_word, third_word: its bytes 8 to 15 and 16 to 23 as they lie in memory, the rest of our MAC and an IPv4 header up to its
checksum, without a length; ip_sum: the sum of that header's 16-bit words; tcp_sum: what makes of that sum and the addresses' the
one of a pseudo header before 20 bytes of TCP."""


def framing(mac: bytes, ttl: int, dscp: int) -> dict[str, int]:
    """The fields of FRAMING. Identification 0 with DF set: an atomic datagram (RFC 6864 section 4.1). *dscp*: RFC 2474."""
    fixed = bytes([0x08, 0x00, 0x45, dscp << 2, 0, 0, 0, 0, *_DONT_FRAGMENT.to_bytes(2, "big"), ttl, PROTO_TCP])
    second, third = (int.from_bytes(octets, "little") for octets in (mac[2:] + fixed[:4], fixed[4:]))
    ip_sum = sum(int.from_bytes(fixed[at : at + 2], "big") for at in range(2, len(fixed), 2))
    first = int.from_bytes(mac[:2], "little") << 48
    return {
        "source_mac": signed(first), "second_word": signed(second), "third_word": signed(third),
        "ip_sum": ip_sum, "tcp_sum": (PROTO_TCP + HEADER_LEN - ip_sum) % 0xFFFF,
    }  # fmt: skip


@kernel
def source_mac(pkt):
    """The sender's MAC of a received frame: six bytes as they lie in memory."""
    return load32(pkt + 6) | load16(pkt + 10) << 32


@inlined
def payload_at(peer_ip):
    """Bytes from the frame's start to the payload of a segment without options."""
    return i64(_TCP_IP6 + HEADER_LEN) if peer_ip >= FIRST_NUMBER else i64(_TCP + HEADER_LEN)


@kernel
def header_length(seg, peer_ip):
    """Bytes from the frame's start to the payload of *seg*."""
    return payload_at(peer_ip) + options_len(seg)


@kernel
def write_headers(table, mbuf, seg, framing, peer_mac, local_ip, local_port, peer_ip, peer_port):
    """`write_frame`, or `write_frame_ip6`, for the segment *seg* with all its options, whose payload stands already at
    `header_length`. *table*: that of IPv6 addresses."""
    pkt = data(mbuf)
    tcp = pkt + payload_at(peer_ip) - HEADER_LEN
    flags, seq, ack, wnd, length = i64(seg.tcp_flags), i64(seg.seq), i64(seg.ack), i64(seg.wnd), i64(seg.payload_len)
    options = write_options(tcp + HEADER_LEN, seg)
    ect = i64(seg.ect)
    if peer_ip >= FIRST_NUMBER:
        total_sum = _write_below_ip6(
            table, mbuf, options + length, framing, ect, peer_mac, local_ip, local_port, peer_ip, peer_port
        )  # fmt: skip
    else:
        ip_sum = address_sum(framing, local_ip, peer_ip)
        _write_below(pkt, options + length, framing, ect, peer_mac, ip_sum, local_ip, peer_ip)
        _set_length(pkt, mbuf, options + length)
        total_sum = ip_sum + i64(framing.tcp_sum) + options + length
    total_sum += text_sum(tcp + HEADER_LEN, options + length)
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


@rare
def write_frame_ip6(
    table, mbuf, framing, flags, seq, ack, wnd, mss, scale, payload_len, payload_sum, peer_mac, local_ip, local_port, peer_ip,
    peer_port,
):  # fmt: skip
    """`write_frame`, or with *mss* and *scale* (otherwise 0) `write_syn`, between the IPv6 addresses numbered so in *table*."""
    tcp = data(mbuf) + _TCP_IP6
    options = i64(0)
    total_sum = payload_sum
    if mss:
        options = i64(SYN_OPTIONS_LEN)
        total_sum += _write_syn_options(tcp + HEADER_LEN, mss, scale)
    total_sum += _write_below_ip6(
        table, mbuf, options + payload_len, framing, i64(0), peer_mac, local_ip, local_port, peer_ip, peer_port
    )  # fmt: skip
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


@kernel
def _write_below_ip6(table, mbuf, after, framing, ect, peer_mac, local_ip, local_port, peer_ip, peer_port):
    """Ethernet and IPv6 (RFC 8200; flow label: RFC 6437), as `_write_below`; the sum of the pseudo-header."""
    pkt = data(mbuf)
    length = HEADER_LEN + after
    store64(pkt, peer_mac | i64(framing.source_mac))
    store64(pkt + 8, i64(framing.second_word))
    store16(pkt + 12, i64(_IPV6_TYPE))
    traffic_class, hop_limit = shr64(i64(framing.second_word), i64(56)) | ect, shr64(i64(framing.third_word), i64(48)) & 0xFF
    label = tuple_hash(i64(table.seed), local_ip, local_port, peer_ip, peer_port) & _FLOW_LABEL
    put_be32(pkt + _IP, _VERSION_6 | traffic_class << 20 | label)
    put_be32(pkt + _IP + 4, length << 16 | PROTO_TCP << 8 | hop_limit)
    copy(pkt + _IP + IP6_SRC, octets_of(table, local_ip), 16)
    copy(pkt + _IP + IP6_DST, octets_of(table, peer_ip), 16)
    set_length(mbuf, _TCP_IP6 + length)
    return i64(address_of(table, local_ip).added) + i64(address_of(table, peer_ip).added) + PROTO_TCP + length


@inlined
def write_frame(mbuf, framing, conn, app, flags, seq, wnd, payload_len, payload_sum):
    """Write a segment's headers before *payload_len* bytes, which stand in *mbuf* already, and set the frame's length.

    *framing*: a record with the fields of FRAMING. *payload_sum*: the payload's `text_sum`.
    """
    total_sum = payload_sum + i64(framing.tcp_sum) + payload_len
    _write_frame(mbuf, framing, conn, app, flags, seq, wnd, i64(0), payload_len, total_sum)


@inlined
def write_syn(mbuf, framing, limits, conn, app, flags):
    """`write_frame` for a SYN with the window of *limits*, and its options MSS, SACK permitted and window scale."""
    options = data(mbuf) + _TCP + HEADER_LEN
    store64(options, i64(limits.syn_options))
    store32(options + 8, i64(limits.syn_scale))
    total_sum = i64(limits.syn_sum) + i64(framing.tcp_sum)
    _write_frame(mbuf, framing, conn, app, flags, i64(conn.iss), i64(limits.syn_wnd), i64(SYN_OPTIONS_LEN), i64(0), total_sum)


@inlined
def _write_frame(mbuf, framing, conn, app, flags, seq, wnd, options, payload_len, start):
    """*start*: the sum over options and payload, and what makes of `app.ip_sum` the pseudo header's."""
    pkt = data(mbuf)
    _set_length(pkt, mbuf, options + payload_len)
    ip_sum = i64(app.ip_sum)
    ports = i64(conn.local_port) << 16 | i64(conn.peer_port)
    _write_tcp(pkt + _TCP, flags, seq, i64(conn.rcv_nxt), wnd, options, ports, start + ip_sum)
    _write_below(
        pkt, options + payload_len, framing, i64(0), i64(app.peer_mac), ip_sum, i64(conn.local_ip), i64(conn.peer_ip)
    )  # fmt: skip


@inlined
def address_sum(framing, local_ip, peer_ip):
    """The sum of an IPv4 header's 16-bit words, but for its length: below 2^20."""
    total = i64(framing.ip_sum) + local_ip + peer_ip
    return (total & 0xFFFF) + (total >> 16)


@inlined
def text_sum(address, length):
    """What the *length* bytes at *address* add to the sum of a segment's 16-bit words."""
    total = ones_sum(address, length, i64(0))
    return swapped((total & 0xFFFFFFFF) + shr64(total, 32))


@inlined
def _write_syn_options(address, mss, scale):
    """The sum of the options' words."""
    put_be32(address, MSS_WORD | mss)
    put_be32(address + 4, i64(SACK_PERMITTED_WORD))
    put_be32(address + 8, scale)
    return (MSS_WORD | mss) + SACK_PERMITTED_WORD + scale


@inlined
def _set_length(pkt, mbuf, after):
    """Of a frame with IPv4 and *after* bytes behind TCP's first 20. Beyond a short one there are zeros."""
    frame = _TCP + HEADER_LEN + after
    if frame < MIN_FRAME:
        store64(pkt + frame, i64(0))
        frame = i64(MIN_FRAME)
    set_length(mbuf, frame)


@inlined
def _write_below(pkt, after, framing, ect, peer_mac, ip_sum, local_ip, peer_ip):
    """Ethernet and IPv4 for a segment of *after* bytes behind TCP's first 20."""
    total = IP_HEADER + HEADER_LEN + after
    store64(pkt, peer_mac | i64(framing.source_mac))
    store64(pkt + 8, i64(framing.second_word) | ect << 56)
    store64(pkt + 16, i64(framing.third_word))
    put_be16(pkt + 16, total)
    summed = ip_sum + ect + total & 0xFFFFFFFF
    put_be16(pkt + 24, (summed + (summed << 16 & 0xFFFFFFFF | summed >> 16)) >> 16 ^ 0xFFFF)
    put_be32(pkt + 26, local_ip)
    put_be32(pkt + 30, peer_ip)


@inlined
def _write_tcp(tcp, flags, seq, ack, wnd, options, ports, start):
    """*start*: the sum over pseudo-header, options and payload."""
    put_be32(tcp + 4, seq)
    put_be32(tcp + 8, ack)
    control = (HEADER_LEN + options) << 26 | flags << 16 | wnd
    put_be32(tcp + 12, control)
    put_be32(tcp, ports)
    total = start + seq + ack + control + ports
    put_be32(tcp + 16, (fold(total) ^ 0xFFFF) << 16)
