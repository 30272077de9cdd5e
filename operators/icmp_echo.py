"""icmp_echo: answer pings (RFC 792, RFC 1122 3.2.2.6).

Answered are echo requests to *count* addresses from *ip* on, all of them seen under *mask*: by default, to any. Requests sent to
a group or broadcast address are not answered: they go on, as all other packets do. So do fragments; with `reassemble` before it
there are none. An answer of more than *mtu* bytes loses its end (RFC 1122 section 3.2.2.6). The checksum of a whole one is the
request's plus what the type is less; unlike RFC 1624's way this is right for a message of zeros too.
"""

from __future__ import annotations

from dpdk_io.jit import rare
from dpdk_io.mbuf import nb_segs, set_length
from dpdk_io.memory import be16, i64, load8, put_be16, store8, store16
from operators import wire
from operators.edit import set_ttl, swap32, swap_macs
from operators.parse import ICMP
from pipeline import DROP, NEXT, TX, operator
from tcp.checksum import fold, ip_checksum

_TTL = 64


@operator(
    state=[("answered", "u8")],
    params={"ip": ("u4", 0), "mask": ("u4", 0), "count": ("u4", 1), "mtu": ("u2", wire.MTU)},
    reads=("kind", "l3", "l4", "src", "dst", "payload_len"),
    drops=("bad_checksum",),
)
def icmp_echo(pkt, mbuf, meta, state):
    """Answer ICMP echo requests to *count* addresses from *ip* on, compared under *mask*; other packets go on."""
    place = (i64(meta.dst) & i64(state.mask)) - (i64(state.ip) & i64(state.mask))
    if meta.kind != ICMP or not 0 <= place < i64(state.count):
        return NEXT
    ip, icmp = pkt + i64(meta.l3), pkt + i64(meta.l4)
    if be16(icmp + wire.ICMP_TYPE) != wire.ICMP_ECHO_REQUEST << 8:
        return NEXT
    if load8(pkt + wire.ETH_DST) & wire.ETH_GROUP != 0 or i64(meta.src) >= wire.FIRST_GROUP or i64(meta.dst) >= wire.FIRST_GROUP:
        return NEXT
    too_long = icmp + wire.ICMP_HEADER + i64(meta.payload_len) > ip + i64(state.mtu)
    if too_long and nb_segs(mbuf) > 1:
        return NEXT
    if ip_checksum(icmp, wire.ICMP_HEADER + i64(meta.payload_len)) != 0:
        state.bad_checksum += 1
        return DROP
    swap_macs(pkt)
    swap32(ip + wire.IP_SRC, ip + wire.IP_DST)
    set_ttl(ip, _TTL)
    store8(icmp + wire.ICMP_TYPE, wire.ICMP_ECHO_REPLY)
    put_be16(icmp + wire.ICMP_CHECKSUM, fold(be16(icmp + wire.ICMP_CHECKSUM) + (wire.ICMP_ECHO_REQUEST << 8)))
    if too_long:
        _shorten(ip, icmp, i64(state.mtu))
        set_length(mbuf, i64(meta.l3) + i64(state.mtu))
    state.answered += 1
    return TX


@rare
def _shorten(ip, icmp, size):
    """Make the packet one of *size* bytes."""
    put_be16(ip + wire.IP_TOTAL_LENGTH, size)
    store16(ip + wire.IP_CHECKSUM, i64(0))
    store16(ip + wire.IP_CHECKSUM, ip_checksum(ip, icmp - ip))
    store16(icmp + wire.ICMP_CHECKSUM, i64(0))
    store16(icmp + wire.ICMP_CHECKSUM, ip_checksum(icmp, ip + size - icmp))
