"""parse: read the headers once, check every bound once, and leave what the others need in the packet's metadata.

After parse, for a packet of kind TCP: `pkt + l3` is a whole IPv4 header, `pkt + l4` a whole TCP header with its options, and
`pkt + payload` is followed by `payload_len` bytes, all within the first segment; the same holds for the other kinds. Bytes behind
the IP packet (Ethernet padding) belong to nothing.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.mbuf import pkt_len
from dpdk_io.memory import be16, be32, i64, load8
from operators.checksum import header_sum
from operators.wire import (
    ARP_SIZE, ETH_HEADER, ETH_TYPE, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, ICMP_HEADER,
    IP6_DESTINATION, IP6_DST, IP6_FRAGMENT, IP6_HEADER, IP6_HOP_BY_HOP, IP6_NEXT_HEADER, IP6_PAYLOAD_LENGTH, IP6_ROUTING, IP6_SRC,
    IP_DST, IP_FRAGMENT, IP_HEADER, IP_MORE_FRAGMENTS_OR_OFFSET, IP_PROTOCOL, IP_SRC, IP_TOTAL_LENGTH, IP_VERSION_IHL, PROTO_ICMP,
    PROTO_ICMP6, PROTO_TCP, PROTO_UDP, UDP_HEADER, UDP_LENGTH, VLAN_TAG,
)  # fmt: skip
from pipeline import DROP, NEXT, operator
from tcp.header import TCP_ACK, TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER, TCP_SEQ, TCP_WINDOW

OTHER, ARP, TCP, UDP, ICMP, TCP6, UDP6, ICMP6, IP_OTHER, IP6_OTHER, FRAGMENT, SEGMENTED = range(12)
"""Values of the metadata field `kind`. SEGMENTED: an IP packet that does not lie in the first segment of its mbuf chain whole."""

_EXTENSIONS = 8
"""IPv6 extension headers followed before the packet counts as malformed."""

_OK, _RUNT, _BAD_IP, _IP_CHECKSUM, _BAD_TCP, _BAD_UDP, _BAD_ICMP, _BAD_ARP = range(8)


@operator(
    writes=[
        ("kind", "u1"), ("l4_proto", "u1"), ("tcp_flags", "u1"), ("ip_version", "u1"), ("ethertype", "u2"), ("vlan", "u2"),
        ("l3", "u2"), ("l4", "u2"), ("payload", "u2"), ("sport", "u2"), ("dport", "u2"), ("wnd", "u2"),
        ("src", "u4"), ("dst", "u4"), ("seq", "u4"), ("ack", "u4"), ("payload_len", "u4"),
    ],
    drops=("runt", "bad_ip", "ip_checksum", "bad_tcp", "bad_udp", "bad_icmp", "bad_arp"),
)  # fmt: skip
def parse(pkt, length, mbuf, meta, state):
    """Parse Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP and ICMP; malformed packets are dropped, unknown ones go on as OTHER."""
    fault = _ethernet(pkt, length, mbuf, meta)
    if fault == _OK:
        return NEXT
    _count(state, fault)
    return DROP


@kernel
def _count(state, fault):
    if fault == _RUNT:
        state.runt += 1
    elif fault == _BAD_IP:
        state.bad_ip += 1
    elif fault == _IP_CHECKSUM:
        state.ip_checksum += 1
    elif fault == _BAD_TCP:
        state.bad_tcp += 1
    elif fault == _BAD_UDP:
        state.bad_udp += 1
    elif fault == _BAD_ICMP:
        state.bad_icmp += 1
    else:
        state.bad_arp += 1


@kernel
def _ethernet(pkt, length, mbuf, meta):
    if length < ETH_HEADER:
        return _RUNT
    l3 = i64(ETH_HEADER)
    ethertype = be16(pkt + ETH_TYPE)
    meta.vlan = 0
    while ethertype == ETHERTYPE_VLAN or ethertype == ETHERTYPE_QINQ:
        if length < l3 + VLAN_TAG:
            return _RUNT
        meta.vlan = be16(pkt + l3) & 0xFFF
        ethertype = be16(pkt + l3 + 2)
        l3 += VLAN_TAG
    meta.kind = OTHER
    meta.ethertype = ethertype
    meta.ip_version = 0
    meta.l4_proto = 0
    meta.l3 = l3 & 0xFFFF
    if ethertype == ETHERTYPE_IPV4:
        return _ipv4(pkt, l3, length, mbuf, meta)
    if ethertype == ETHERTYPE_IPV6:
        return _ipv6(pkt, l3, length, mbuf, meta)
    if ethertype == ETHERTYPE_ARP:
        meta.kind = ARP
        return _OK if length >= l3 + ARP_SIZE else _BAD_ARP
    return _OK


@kernel
def _ipv4(pkt, l3, length, mbuf, meta):
    if length < l3 + IP_HEADER:
        return _BAD_IP
    ip = pkt + l3
    first = load8(ip + IP_VERSION_IHL)
    header = (first & 15) * 4
    total = be16(ip + IP_TOTAL_LENGTH)
    if first >> 4 != 4 or header < IP_HEADER or total < header or length < l3 + header or pkt_len(mbuf) < l3 + total:
        return _BAD_IP
    if header_sum(ip, header) != 0xFFFF:
        return _IP_CHECKSUM
    meta.ip_version = 4
    meta.l4_proto = load8(ip + IP_PROTOCOL)
    meta.src = be32(ip + IP_SRC)
    meta.dst = be32(ip + IP_DST)
    meta.l4 = l3 + header
    if be16(ip + IP_FRAGMENT) & IP_MORE_FRAGMENTS_OR_OFFSET:
        meta.kind = FRAGMENT
        return _OK
    return _transport(pkt, l3 + header, l3 + total, length, meta)


@kernel
def _ipv6(pkt, l3, length, mbuf, meta):
    """Follows the extension headers (RFC 8200 4.1) to the transport header."""
    if length < l3 + IP6_HEADER:
        return _BAD_IP
    ip = pkt + l3
    end = l3 + IP6_HEADER + be16(ip + IP6_PAYLOAD_LENGTH)
    if load8(ip) >> 4 != 6 or pkt_len(mbuf) < end:
        return _BAD_IP
    meta.ip_version = 6
    meta.src = be32(ip + IP6_SRC + 12)
    meta.dst = be32(ip + IP6_DST + 12)
    proto = load8(ip + IP6_NEXT_HEADER)
    l4 = l3 + IP6_HEADER
    for _ in range(_EXTENSIONS):
        if proto != IP6_HOP_BY_HOP and proto != IP6_ROUTING and proto != IP6_DESTINATION:
            break
        if end < l4 + 8 or length < l4 + 8:
            return _BAD_IP
        proto = load8(pkt + l4)
        l4 += (load8(pkt + l4 + 1) + 1) * 8
        if end < l4:
            return _BAD_IP
    meta.l4_proto = proto
    meta.l4 = l4 & 0xFFFF
    if proto == IP6_FRAGMENT:
        meta.kind = FRAGMENT
        return _OK
    return _transport(pkt, l4, end, length, meta)


@kernel
def _transport(pkt, l4, end, length, meta):
    """The header from offset *l4*; the IP packet ends at offset *end*, *length* bytes can be read."""
    proto = i64(meta.l4_proto)
    if length < end:
        meta.kind = SEGMENTED
        return _OK
    if proto == PROTO_TCP:
        return _tcp(pkt, l4, end, meta)
    if proto == PROTO_UDP:
        return _udp(pkt, l4, end, meta)
    if proto == PROTO_ICMP or proto == PROTO_ICMP6:
        return _icmp(l4, end, meta)
    meta.kind = IP_OTHER if meta.ip_version == 4 else IP6_OTHER
    return _OK


@kernel
def _tcp(pkt, l4, end, meta):
    if end < l4 + TCP_HEADER:
        return _BAD_TCP
    tcp = pkt + l4
    header = (load8(tcp + TCP_DATA_OFFSET) >> 4) * 4
    if header < TCP_HEADER or end < l4 + header:
        return _BAD_TCP
    meta.kind = TCP if meta.ip_version == 4 else TCP6
    meta.sport = be16(tcp)
    meta.dport = be16(tcp + 2)
    meta.seq = be32(tcp + TCP_SEQ)
    meta.ack = be32(tcp + TCP_ACK)
    meta.tcp_flags = load8(tcp + TCP_FLAGS)
    meta.wnd = be16(tcp + TCP_WINDOW)
    meta.payload = l4 + header
    meta.payload_len = end - l4 - header
    return _OK


@kernel
def _udp(pkt, l4, end, meta):
    if end < l4 + UDP_HEADER:
        return _BAD_UDP
    datagram = be16(pkt + l4 + UDP_LENGTH)
    if datagram < UDP_HEADER or end < l4 + datagram:
        return _BAD_UDP
    meta.kind = UDP if meta.ip_version == 4 else UDP6
    meta.sport = be16(pkt + l4)
    meta.dport = be16(pkt + l4 + 2)
    meta.payload = l4 + UDP_HEADER
    meta.payload_len = datagram - UDP_HEADER
    return _OK


@kernel
def _icmp(l4, end, meta):
    if end < l4 + ICMP_HEADER:
        return _BAD_ICMP
    meta.kind = ICMP if meta.l4_proto == PROTO_ICMP else ICMP6
    meta.payload = l4 + ICMP_HEADER
    meta.payload_len = end - l4 - ICMP_HEADER
    return _OK
