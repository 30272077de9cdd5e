"""Ethernet, IP and TCP headers for segments we send. Checksums are computed from the values, not read back from memory."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import copy, i64, load16, load32, put_be16, put_be32, shr64, signed, store16, store32, store64
from operators.wire import ETH_HEADER, IP6_DST, IP6_HEADER, IP6_SRC, IP_HEADER, MIN_FRAME, PROTO_TCP
from tcp.checksum import fold, ones_sum, swapped
from tcp.header import HEADER_LEN, MSS_LEN, MSS_WORD, SACK_PERMITTED_WORD, SYN_OPTIONS_LEN, options_len, write_options
from tcp.index import tuple_hash
from tcp.ip6 import FIRST_NUMBER, address_of, octets_of

_IP = ETH_HEADER
_TCP = ETH_HEADER + IP_HEADER
_TCP_IP6 = ETH_HEADER + IP6_HEADER
_DONT_FRAGMENT = 0x4000
_TOS_BITS = 0xFF << 16
_IPV4_TYPE = 0x0008
"""0x0800 as it lies in little-endian memory."""
_IPV6_TYPE = 0xDD86
"""0x86DD, likewise."""
_VERSION_6 = 0x60000000
_FLOW_LABEL = 0xFFFFF


def ip_bits(ttl: int, dscp: int) -> int:
    """What an IP header says of itself, as `write_frame` takes it: the first word of an IPv4 header without its length, the code
    point (RFC 2474) above the ECN bits, and above that word the third one without its checksum. An int64."""
    return signed((ttl << 24 | PROTO_TCP << 16) << 32 | 0x45000000 | dscp << 18)


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
def write_headers(table, mbuf, seg, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port):
    """`write_frame`, or `write_frame_ip6`, for the segment *seg* with all its options, whose payload stands already at
    `header_length`. *table*: that of IPv6 addresses."""
    tcp = data(mbuf) + payload_at(peer_ip) - HEADER_LEN
    flags, seq, ack, wnd, length = i64(seg.tcp_flags), i64(seg.seq), i64(seg.ack), i64(seg.wnd), i64(seg.payload_len)
    options = write_options(tcp + HEADER_LEN, seg)
    ip_bits |= i64(seg.ect) << 16
    if peer_ip >= FIRST_NUMBER:
        total_sum = _write_below_ip6(
            table, mbuf, options + length, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port
        )  # fmt: skip
    else:
        _write_below(mbuf, options + length, ip_bits, mac, peer_mac, local_ip, peer_ip)
        total_sum = local_ip + peer_ip + PROTO_TCP + HEADER_LEN + options + length
    total_sum += swapped(fold(ones_sum(tcp + HEADER_LEN, options + length, i64(0))))
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


@rare
def write_frame_ip6(
    table, mbuf, flags, seq, ack, wnd, mss, scale, payload_len, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port
):  # fmt: skip
    """`write_frame` between the IPv6 addresses with these numbers in *table*."""
    tcp = data(mbuf) + _TCP_IP6
    options = i64(0)
    total_sum = i64(0)
    if mss:
        options = i64(SYN_OPTIONS_LEN) if scale else i64(MSS_LEN)
        total_sum = _write_syn_options(tcp + HEADER_LEN, mss, scale, options)
    total_sum += _write_below_ip6(
        table, mbuf, options + payload_len, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port
    )  # fmt: skip
    if payload_len:
        total_sum += swapped(fold(ones_sum(tcp + HEADER_LEN + options, payload_len, i64(0))))
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


@kernel
def _write_below_ip6(table, mbuf, after, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port):
    """Ethernet and IPv6 (RFC 8200; flow label: RFC 6437), as `_write_below`; the sum of the pseudo-header."""
    pkt = data(mbuf)
    length = HEADER_LEN + after
    _write_ethernet(pkt, peer_mac, mac, i64(_IPV6_TYPE))
    label = tuple_hash(i64(table.seed), local_ip, local_port, peer_ip, peer_port) & _FLOW_LABEL
    put_be32(pkt + _IP, _VERSION_6 | (ip_bits & _TOS_BITS) << 4 | label)
    put_be32(pkt + _IP + 4, length << 16 | PROTO_TCP << 8 | shr64(ip_bits, i64(56)))
    copy(pkt + _IP + IP6_SRC, octets_of(table, local_ip), 16)
    copy(pkt + _IP + IP6_DST, octets_of(table, peer_ip), 16)
    set_length(mbuf, _TCP_IP6 + length)
    return i64(address_of(table, local_ip).added) + i64(address_of(table, peer_ip).added) + PROTO_TCP + length


@inlined
def _write_ethernet(pkt, peer_mac, mac, ethertype):
    store64(pkt, peer_mac | mac << 48)
    store32(pkt + 8, mac >> 16)
    store16(pkt + 12, ethertype)


@inlined
def write_frame(
    mbuf, flags, seq, ack, wnd, mss, scale, payload_len, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port
):  # fmt: skip
    """Write the headers before *payload_len* bytes, which stand in *mbuf* already, and set the frame's length.

    *mss*: the value of an MSS option, 0 for none; *scale*: the word of a window scale option, which SACK permitted precedes, or 0
    for neither. *ip_bits*: see `ip_bits`. MACs: six bytes as they lie in memory.
    """
    tcp = data(mbuf) + _TCP
    options = i64(0)
    total_sum = local_ip + peer_ip + PROTO_TCP + HEADER_LEN + payload_len
    if mss:
        options = i64(SYN_OPTIONS_LEN) if scale else i64(MSS_LEN)
        total_sum += _write_syn_options(tcp + HEADER_LEN, mss, scale, options) + options
    _write_below(mbuf, options + payload_len, ip_bits, mac, peer_mac, local_ip, peer_ip)
    if payload_len:
        total_sum += swapped(fold(ones_sum(tcp + HEADER_LEN + options, payload_len, i64(0))))
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


@inlined
def _write_syn_options(address, mss, scale, options):
    """The sum of the options' words."""
    put_be32(address, MSS_WORD | mss)
    if options == MSS_LEN:
        return MSS_WORD | mss
    put_be32(address + 4, i64(SACK_PERMITTED_WORD))
    put_be32(address + 8, scale)
    return (MSS_WORD | mss) + SACK_PERMITTED_WORD + scale


@inlined
def _write_below(mbuf, after, ip_bits, mac, peer_mac, local_ip, peer_ip):
    """Ethernet and IPv4 for a segment of *after* bytes behind TCP's first 20, and the frame's length."""
    pkt = data(mbuf)
    total = IP_HEADER + HEADER_LEN + after
    _write_ethernet(pkt, peer_mac, mac, i64(_IPV4_TYPE))
    _write_ipv4(pkt + _IP, total, ip_bits, local_ip, peer_ip)
    frame = ETH_HEADER + total
    if frame < MIN_FRAME:
        store32(pkt + frame, i64(0))
        if frame < MIN_FRAME - 4:
            store16(pkt + MIN_FRAME - 2, i64(0))
        frame = i64(MIN_FRAME)
    set_length(mbuf, frame)


@inlined
def _write_ipv4(ip, total, ip_bits, local_ip, peer_ip):
    """Identification 0 with DF set: an atomic datagram (RFC 6864 section 4.1)."""
    first = (ip_bits & 0xFFFFFFFF) + total
    third = shr64(ip_bits, i64(32))
    put_be32(ip, first)
    put_be32(ip + 4, i64(_DONT_FRAGMENT))
    put_be32(ip + 8, third | (fold(first + _DONT_FRAGMENT + third + local_ip + peer_ip) ^ 0xFFFF))
    put_be32(ip + 12, local_ip)
    put_be32(ip + 16, peer_ip)


@inlined
def _write_tcp(tcp, flags, seq, ack, wnd, options, ports, start):
    """*start*: the sum over pseudo-header, options and payload."""
    control = (HEADER_LEN + options) << 26 | flags << 16 | wnd
    put_be32(tcp, ports)
    put_be32(tcp + 4, seq)
    put_be32(tcp + 8, ack)
    put_be32(tcp + 12, control)
    total = start + ports + seq + ack + control
    put_be16(tcp + 16, fold(total) ^ 0xFFFF)
    put_be16(tcp + 18, i64(0))
