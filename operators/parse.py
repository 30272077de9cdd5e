"""parse: read the headers once, check every bound once, and leave what the others need in the packet's metadata.

After parse, for a packet of kind TCP: `pkt + l3` is a whole IPv4 header, `pkt + l4` a whole TCP header with its options, and
`pkt + payload` is followed by `payload_len` bytes, all within the first segment; the same holds for the other kinds. Bytes behind
the IP packet (Ethernet padding) belong to nothing.
"""

from __future__ import annotations

from dpdk_io.expect import likely, unlikely
from dpdk_io.headers import matcher, taker
from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.mbuf import pkt_len
from dpdk_io.memory import be16, be32, i64, load8
from operators import wire
from pipeline import DROP, NEXT, operator
from tcp import header as tcp_header
from tcp.checksum import ip_intact

OTHER, ARP, TCP, UDP, ICMP, TCP6, UDP6, ICMP6, IP_OTHER, IP6_OTHER, FRAGMENT, SEGMENTED = range(12)
"""Values of the metadata field `kind`. SEGMENTED: an IP packet that does not lie in the first segment of its mbuf chain whole."""

_TAGS = 4
"""VLAN tags taken off; the ethertype of a packet with more is that of a tag."""
_EXTENSIONS = 8
"""IPv6 extension headers followed; a packet with more counts as malformed."""

_IP = wire.ETH_HEADER
_TCP = _IP + wire.IP_HEADER
_PLAIN_SIZE = _TCP + tcp_header.HEADER_LEN

_is_plain = matcher(
    {
        0: (wire.ETHERTYPE_IPV4 >> 8, 0xFF),
        1: (wire.ETHERTYPE_IPV4 & 0xFF, 0xFF),
        _IP - wire.ETH_TYPE + wire.IP_VERSION_IHL: (4 << 4 | wire.IP_HEADER // 4, 0xFF),
        _IP - wire.ETH_TYPE + wire.IP_FRAGMENT: (0, wire.IP_MORE_FRAGMENTS_OR_OFFSET >> 8),
        _IP - wire.ETH_TYPE + wire.IP_FRAGMENT + 1: (0, wire.IP_MORE_FRAGMENTS_OR_OFFSET & 0xFF),
        _IP - wire.ETH_TYPE + wire.IP_PROTOCOL: (wire.PROTO_TCP, 0xFF),
    }
)
"""Does the frame, from its ethertype on, look like TCP over IPv4 without options or fragments?"""

_TAKEN = _IP + wire.IP_TTL
_take = taker(
    {
        "dst": (_IP + wire.IP_DST - _TAKEN, 4),
        "src": (_IP + wire.IP_SRC - _TAKEN, 4),
        "dport": (_TCP + tcp_header.DESTINATION - _TAKEN, 2),
        "sport": (_TCP + tcp_header.SOURCE - _TAKEN, 2),
        "l4_proto": (_IP + wire.IP_PROTOCOL - _TAKEN, 1),
        "seq": (_TCP + tcp_header.SEQ - _TAKEN, 4),
        "ack": (_TCP + tcp_header.ACK_SEQ - _TAKEN, 4),
        "wnd": (_TCP + tcp_header.WINDOW - _TAKEN, 2),
        "tcp_flags": (_TCP + tcp_header.FLAGS - _TAKEN, 1),
    },
    beside=("kind", "ip_version", "ethertype", "vlan", "l3", "l4"),
)
"""What the last 32 bytes of a plain packet's headers say."""

_OK, _RUNT, _BAD_IP, _IP_CHECKSUM, _BAD_TCP, _BAD_UDP, _BAD_ICMP, _BAD_ARP = range(8)


@operator(
    writes=[
        ("dst", "u4"), ("src", "u4"), ("dport", "u2"), ("sport", "u2"), ("kind", "u1"), ("ip_version", "u1"), ("l4_proto", "u1"),
        ("seq", "u4"), ("ack", "u4"), ("wnd", "u2"), ("tcp_flags", "u1"), ("ethertype", "u2"), ("vlan", "u2"),
        ("l3", "u2"), ("l4", "u2"), ("payload", "u2"), ("payload_len", "u4"),
    ],
    drops=("runt", "bad_ip", "ip_checksum", "bad_tcp", "bad_udp", "bad_icmp", "bad_arp"),
)  # fmt: skip
def parse(pkt, length, mbuf, meta, state):
    """Parse Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP and ICMP; malformed packets are dropped, unknown ones go on as OTHER."""
    if likely(length >= _PLAIN_SIZE and _plain(pkt, length, meta)):
        return NEXT
    fault = read_headers(pkt, length, mbuf, meta)
    if fault == _OK:
        return NEXT
    _count(state, fault)
    return DROP


@inlined
def _plain(pkt, length, meta):
    """The usual packet, TCP over IPv4 without tags, options or fragments, in one go. False: look at it closely."""
    if unlikely(not _is_plain(pkt + wire.ETH_TYPE)):
        return False
    end = _IP + be16(pkt + _IP + wire.IP_TOTAL_LENGTH)
    payload = _TCP + tcp_header.header_len(pkt + _TCP)
    if unlikely(payload < _PLAIN_SIZE or end < payload or length < end or not ip_intact(pkt + _IP, i64(wire.IP_HEADER))):
        return False
    _take(meta, pkt + _TAKEN)
    meta.kind = TCP
    meta.ip_version = 4
    meta.ethertype = wire.ETHERTYPE_IPV4
    meta.vlan = 0
    meta.l3 = _IP
    meta.l4 = _TCP
    meta.payload = payload
    meta.payload_len = end - payload
    return True


@rare
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
def _clear(meta):
    """Nothing is left of the packet whose metadata stood here before."""
    meta.kind = OTHER
    meta.l4_proto = 0
    meta.tcp_flags = 0
    meta.ip_version = 0
    meta.vlan = 0
    meta.l4 = 0
    meta.payload = 0
    meta.sport = 0
    meta.dport = 0
    meta.wnd = 0
    meta.src = 0
    meta.dst = 0
    meta.seq = 0
    meta.ack = 0
    meta.payload_len = 0


@rare
def read_headers(pkt, length, mbuf, meta):
    """All of parse for a frame of any kind; what is wrong with it, 0: nothing."""
    if length < wire.ETH_HEADER:
        return _RUNT
    l3 = i64(wire.ETH_HEADER)
    ethertype = be16(pkt + wire.ETH_TYPE)
    _clear(meta)
    for _ in range(_TAGS):
        if ethertype != wire.ETHERTYPE_VLAN and ethertype != wire.ETHERTYPE_QINQ:
            break
        if length < l3 + wire.VLAN_TAG:
            return _RUNT
        meta.vlan = be16(pkt + l3) & 0xFFF
        ethertype = be16(pkt + l3 + 2)
        l3 += wire.VLAN_TAG
    meta.ethertype = ethertype
    meta.l3 = l3
    if ethertype == wire.ETHERTYPE_IPV4:
        return _ipv4(pkt, l3, length, mbuf, meta)
    if ethertype == wire.ETHERTYPE_IPV6:
        return _ipv6(pkt, l3, length, mbuf, meta)
    if ethertype == wire.ETHERTYPE_ARP:
        meta.kind = ARP
        return _OK if length >= l3 + wire.ARP_SIZE else _BAD_ARP
    return _OK


@kernel
def _ipv4(pkt, l3, length, mbuf, meta):
    if length < l3 + wire.IP_HEADER:
        return _BAD_IP
    ip = pkt + l3
    first = load8(ip + wire.IP_VERSION_IHL)
    header = (first & 15) * 4
    total = be16(ip + wire.IP_TOTAL_LENGTH)
    if first >> 4 != 4 or header < wire.IP_HEADER or total < header or length < l3 + header or pkt_len(mbuf) < l3 + total:
        return _BAD_IP
    if not ip_intact(ip, header):
        return _IP_CHECKSUM
    meta.ip_version = 4
    meta.l4_proto = load8(ip + wire.IP_PROTOCOL)
    meta.src = be32(ip + wire.IP_SRC)
    meta.dst = be32(ip + wire.IP_DST)
    meta.l4 = l3 + header
    if be16(ip + wire.IP_FRAGMENT) & wire.IP_MORE_FRAGMENTS_OR_OFFSET:
        meta.kind = FRAGMENT
        return _OK
    return _transport(pkt, l3 + header, l3 + total, length, meta)


@kernel
def _ipv6(pkt, l3, length, mbuf, meta):
    """Follows the extension headers (RFC 8200 4.1) to the transport header."""
    if length < l3 + wire.IP6_HEADER:
        return _BAD_IP
    ip = pkt + l3
    end = l3 + wire.IP6_HEADER + be16(ip + wire.IP6_PAYLOAD_LENGTH)
    if load8(ip) >> 4 != 6 or pkt_len(mbuf) < end:
        return _BAD_IP
    meta.ip_version = 6
    meta.src = be32(ip + wire.IP6_SRC + 12)
    meta.dst = be32(ip + wire.IP6_DST + 12)
    proto = load8(ip + wire.IP6_NEXT_HEADER)
    l4 = l3 + wire.IP6_HEADER
    for _ in range(_EXTENSIONS):
        if not is_extension(proto):
            break
        if end < l4 + 8 or length < l4 + 8:
            return _BAD_IP
        if proto == wire.IP6_ROUTING and load8(pkt + l4 + wire.IP6_SEGMENTS_LEFT) != 0:
            return _under_way(l4, meta)
        proto = load8(pkt + l4)
        l4 += (load8(pkt + l4 + 1) + 1) * 8
        if end < l4:
            return _BAD_IP
    if is_extension(proto):
        return _BAD_IP
    meta.l4_proto = proto
    meta.l4 = l4
    if proto == wire.IP6_FRAGMENT:
        meta.kind = FRAGMENT
        return _OK
    return _transport(pkt, l4, end, length, meta)


@kernel
def _under_way(l4, meta):
    """The packet's route goes on from here (RFC 8200 section 4.4): what is in it is for others."""
    meta.kind = IP6_OTHER
    meta.l4_proto = wire.IP6_ROUTING
    meta.l4 = l4
    return _OK


@kernel
def is_extension(proto):
    """Does this name an IPv6 extension header that is followed?"""
    return proto in (wire.IP6_HOP_BY_HOP, wire.IP6_ROUTING, wire.IP6_DESTINATION)


@kernel
def _transport(pkt, l4, end, length, meta):
    """The header from offset *l4*; the IP packet ends at offset *end*, *length* bytes can be read."""
    proto = i64(meta.l4_proto)
    if length < end:
        meta.kind = SEGMENTED
        return _OK
    if proto == wire.PROTO_TCP:
        return _tcp(pkt, l4, end, meta)
    if proto == wire.PROTO_UDP:
        return _udp(pkt, l4, end, meta)
    if proto == (wire.PROTO_ICMP if meta.ip_version == 4 else wire.PROTO_ICMP6):
        return _icmp(l4, end, meta)
    meta.kind = IP_OTHER if meta.ip_version == 4 else IP6_OTHER
    return _OK


@kernel
def _tcp(pkt, l4, end, meta):
    if end < l4 + tcp_header.HEADER_LEN:
        return _BAD_TCP
    tcp = pkt + l4
    size = tcp_header.header_len(tcp)
    if size < tcp_header.HEADER_LEN or end < l4 + size:
        return _BAD_TCP
    meta.kind = TCP if meta.ip_version == 4 else TCP6
    meta.sport = be16(tcp + tcp_header.SOURCE)
    meta.dport = be16(tcp + tcp_header.DESTINATION)
    meta.seq = be32(tcp + tcp_header.SEQ)
    meta.ack = be32(tcp + tcp_header.ACK_SEQ)
    meta.tcp_flags = load8(tcp + tcp_header.FLAGS)
    meta.wnd = be16(tcp + tcp_header.WINDOW)
    meta.payload = l4 + size
    meta.payload_len = end - l4 - size
    return _OK


@kernel
def _udp(pkt, l4, end, meta):
    if end < l4 + wire.UDP_HEADER:
        return _BAD_UDP
    datagram = be16(pkt + l4 + wire.UDP_LENGTH)
    if datagram < wire.UDP_HEADER or end < l4 + datagram:
        return _BAD_UDP
    meta.kind = UDP if meta.ip_version == 4 else UDP6
    meta.sport = be16(pkt + l4)
    meta.dport = be16(pkt + l4 + 2)
    meta.payload = l4 + wire.UDP_HEADER
    meta.payload_len = datagram - wire.UDP_HEADER
    return _OK


@kernel
def _icmp(l4, end, meta):
    if end < l4 + wire.ICMP_HEADER:
        return _BAD_ICMP
    meta.kind = ICMP if meta.ip_version == 4 else ICMP6
    meta.payload = l4 + wire.ICMP_HEADER
    meta.payload_len = end - l4 - wire.ICMP_HEADER
    return _OK
