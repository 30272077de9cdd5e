"""Ethernet, IPv4 and TCP headers for segments we send. Checksums are computed from the values, not read back from memory."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import i64, load16, load32, put_be16, put_be32, store16, store32, store64
from operators.wire import ETH_HEADER, IP_HEADER, MIN_FRAME, PROTO_TCP
from tcp.checksum import fold, ones_sum, swapped
from tcp.header import HEADER_LEN, MSS_LEN, MSS_WORD, SACK_PERMITTED_WORD, SYN_OPTIONS_LEN, options_len, write_options

_IP = ETH_HEADER
_TCP = ETH_HEADER + IP_HEADER
PAYLOAD = _TCP + HEADER_LEN
"""Where the payload of a segment without options stands in the frame."""
_DONT_FRAGMENT = 0x4000
_TTL_BITS, _TOS_BITS = 0xFF << 24, 0xFF << 16
_IPV4_TYPE = 0x0008
"""0x0800 as it lies in little-endian memory."""


def ip_bits(ttl: int, dscp: int) -> int:
    """What an IP header says of itself, as `write_frame` takes it: the TTL, and the code point (RFC 2474) above the ECN bits."""
    return ttl << 24 | dscp << 18


@kernel
def source_mac(pkt):
    """The sender's MAC of a received frame: six bytes as they lie in memory."""
    return load32(pkt + 6) | load16(pkt + 10) << 32


@kernel
def header_length(seg):
    """Bytes from the frame's start to the payload of *seg*."""
    return _TCP + HEADER_LEN + options_len(seg)


@kernel
def write_headers(mbuf, seg, ip_bits, mac, peer_mac, local_ip, local_port, peer_ip, peer_port):
    """`write_frame` for the segment *seg* with all its options, whose payload stands already at `header_length(seg)`."""
    tcp = data(mbuf) + _TCP
    flags, seq, ack, wnd, length = i64(seg.tcp_flags), i64(seg.seq), i64(seg.ack), i64(seg.wnd), i64(seg.payload_len)
    options = write_options(tcp + HEADER_LEN, seg)
    _write_below(mbuf, options + length, ip_bits | i64(seg.ect) << 16, mac, peer_mac, local_ip, peer_ip)
    total_sum = local_ip + peer_ip + PROTO_TCP + HEADER_LEN + options + length
    total_sum += swapped(fold(ones_sum(tcp + HEADER_LEN, options + length, i64(0))))
    _write_tcp(tcp, flags, seq, ack, wnd, options, local_port << 16 | peer_port, total_sum)


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
    store64(pkt, peer_mac | mac << 48)
    store32(pkt + 8, mac >> 16)
    store16(pkt + 12, i64(_IPV4_TYPE))
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
    first = 0x45000000 | (ip_bits & _TOS_BITS) | total
    third = (ip_bits & _TTL_BITS) | PROTO_TCP << 16
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
