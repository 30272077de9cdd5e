"""nd_responder: answer for the IPv6 addresses that are ours (RFC 4861 section 7.2.4). It learns nothing and never asks.

Who asks from :: looks whether the address is free (RFC 4862 section 5.4); all nodes are told that it is not.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.mbuf import nb_segs, set_length, tailroom
from dpdk_io.memory import copy, i64, load8, load64, put_be16, put_be32, record_at, store64
from operators import wire
from operators.edit import get_mac, put_mac
from operators.engine import ENGINE, addresses_at
from operators.icmp6 import ND_SIZE, is_neighbourly, option, write_neighbourly
from operators.parse import ICMP6
from pipeline import DROP, NEXT, TX, operator
from tcp.ip6 import find, is_host, is_ours


@operator(
    state=[("answered", "u8")],
    params={"mac": ("u8", 0)},
    reads=("kind", "l3", "l4", "payload", "payload_len"),
    drops=("malformed", "no_room"),
)
def nd_responder(pkt, length, mbuf, meta, state, tcp):
    """Answer neighbour solicitations for the engine's IPv6 addresses with *mac*; other packets go on."""
    ip, icmp = pkt + i64(meta.l3), pkt + i64(meta.l4)
    if meta.kind != ICMP6 or load8(icmp) != wire.ND_SOLICITATION or meta.payload_len < wire.ND_OPTIONS - wire.ICMP_HEADER:
        return NEXT
    table = addresses_at(record_at(tcp, ENGINE))
    if not is_ours(table, find(table, icmp + wire.ND_TARGET)):
        return NEXT
    probe = load64(ip + wire.IP6_SRC) == 0 and load64(ip + wire.IP6_SRC + 8) == 0
    told = option(pkt, meta, i64(wire.ND_SOURCE_MAC))
    if not is_neighbourly(pkt, meta) or (told != 0 if probe else not is_host(ip + wire.IP6_SRC)):
        state.malformed += 1
        return DROP
    sender = get_mac(told) if told else get_mac(pkt + wire.ETH_SRC)
    if sender & wire.ETH_GROUP_BIT != 0:
        state.malformed += 1
        return DROP
    if nb_segs(mbuf) > 1 or length + tailroom(mbuf) < i64(meta.l4) + ND_SIZE:
        state.no_room += 1
        return DROP
    _address(pkt, ip, sender, i64(state.mac), probe)
    copy(ip + wire.IP6_SRC, icmp + wire.ND_TARGET, 16)
    flags = i64(wire.ND_OVERRIDE) if probe else i64(wire.ND_OVERRIDE | wire.ND_SOLICITED)
    write_neighbourly(ip, i64(wire.ND_ADVERTISEMENT), flags, i64(wire.ND_TARGET_MAC), i64(state.mac))
    set_length(mbuf, i64(meta.l4) + ND_SIZE)
    state.answered += 1
    return TX


@kernel
def _address(pkt, ip, sender, mac, probe):
    """Ethernet addresses, and the IPv6 destination: who asked, or all nodes."""
    put_mac(pkt + wire.ETH_SRC, mac)
    if probe:
        put_be16(pkt + wire.ETH_DST, i64(0x3333))
        put_be32(pkt + wire.ETH_DST + 2, i64(1))
        put_be32(ip + wire.IP6_DST, i64(0xFF020000))
        put_be32(ip + wire.IP6_DST + 4, i64(0))
        put_be32(ip + wire.IP6_DST + 8, i64(0))
        put_be32(ip + wire.IP6_DST + 12, i64(1))
    else:
        put_mac(pkt + wire.ETH_DST, sender)
        store64(ip + wire.IP6_DST, load64(ip + wire.IP6_SRC))
        store64(ip + wire.IP6_DST + 8, load64(ip + wire.IP6_SRC + 8))
