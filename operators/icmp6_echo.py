"""icmp6_echo: answer pings to the engine's IPv6 addresses (RFC 4443 section 4.2).

Requests to a group are not answered, nor those behind extension headers: they go on, as all other packets do. One that is longer
than *mtu* bytes is dropped: the answer must have all that it has, and would be as long.
"""

from __future__ import annotations

from dpdk_io.memory import be16, i64, load8, record_at, store8
from operators import wire
from operators.edit import replace16, swap32, swap_macs
from operators.engine import ENGINE, addresses_at
from operators.icmp6 import icmp6_checksum
from operators.parse import ICMP6
from pipeline import DROP, NEXT, TX, operator
from tcp.ip6 import find, is_host, is_ours

_HOP_LIMIT = 64


@operator(
    state=[("answered", "u8")],
    params={"mtu": ("u2", wire.MTU)},
    reads=("kind", "l3", "l4", "payload_len"),
    drops=("bad_checksum", "too_long"),
)
def icmp6_echo(pkt, meta, state, tcp):
    """Answer ICMPv6 echo requests to the engine's addresses; other packets go on."""
    ip, icmp = pkt + i64(meta.l3), pkt + i64(meta.l4)
    if meta.kind != ICMP6 or icmp != ip + wire.IP6_HEADER or be16(icmp + wire.ICMP_TYPE) != wire.ICMP6_ECHO_REQUEST << 8:
        return NEXT
    table = addresses_at(record_at(tcp, ENGINE))
    if not is_ours(table, find(table, ip + wire.IP6_DST)) or not is_host(ip + wire.IP6_SRC):
        return NEXT
    if load8(pkt + wire.ETH_DST) & wire.ETH_GROUP != 0:
        return NEXT
    if icmp6_checksum(ip, icmp, wire.ICMP_HEADER + i64(meta.payload_len)) != 0:
        state.bad_checksum += 1
        return DROP
    if wire.IP6_HEADER + wire.ICMP_HEADER + i64(meta.payload_len) > i64(state.mtu):
        state.too_long += 1
        return DROP
    swap_macs(pkt)
    for offset in range(0, 16, 4):
        swap32(ip + wire.IP6_SRC + offset, ip + wire.IP6_DST + offset)
    store8(ip + wire.IP6_HOP_LIMIT, i64(_HOP_LIMIT))
    replace16(icmp + wire.ICMP_TYPE, icmp + wire.ICMP_CHECKSUM, i64(wire.ICMP6_ECHO_REPLY << 8))
    state.answered += 1
    return TX
