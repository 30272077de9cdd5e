"""arp_responder: answer for the IPv4 addresses that are ours (RFC 826). It learns nothing and never asks.

Answered are requests for *count* addresses from *ip* on, all of them seen under *mask*. All other packets go on; so do
announcements (a request for the sender's own address, RFC 5227), which want no answer.
"""

from __future__ import annotations

from dpdk_io.memory import be16, be32, copy, i64, put_be16, put_be32
from operators import wire
from operators.edit import get_mac, put_mac
from operators.parse import ARP
from pipeline import NEXT, TX, operator


@operator(
    state=[("answered", "u8")],
    params={"ip": ("u4", 0), "mask": ("u4", 0xFFFFFFFF), "count": ("u4", 1), "mac": ("u8", 0)},
    reads=("kind", "l3"),
)
def arp_responder(pkt, meta, state):
    """Answer ARP requests for *count* addresses from *ip* on, compared under *mask*, with *mac*; other packets go on."""
    if meta.kind != ARP:
        return NEXT
    arp = pkt + i64(meta.l3)
    if (
        be16(arp + wire.ARP_HTYPE) != wire.ARP_ETHERNET
        or be16(arp + wire.ARP_PTYPE) != wire.ETHERTYPE_IPV4
        or be16(arp + wire.ARP_LENGTHS) != wire.ARP_SIX_FOUR
    ):
        return NEXT
    asked, mac, sender = be32(arp + wire.ARP_TPA), i64(state.mac), get_mac(arp + wire.ARP_SHA)
    place = (asked & i64(state.mask)) - (i64(state.ip) & i64(state.mask))
    if be16(arp + wire.ARP_OPER) != wire.ARP_REQUEST or not 0 <= place < i64(state.count):
        return NEXT
    if asked == be32(arp + wire.ARP_SPA) or sender & wire.ETH_GROUP_BIT != 0 or sender == mac:
        return NEXT
    copy(pkt + wire.ETH_DST, arp + wire.ARP_SHA, 6)
    put_mac(pkt + wire.ETH_SRC, mac)
    put_be16(arp + wire.ARP_OPER, wire.ARP_REPLY)
    copy(arp + wire.ARP_THA, arp + wire.ARP_SHA, 10)
    put_mac(arp + wire.ARP_SHA, mac)
    put_be32(arp + wire.ARP_SPA, asked)
    state.answered += 1
    return TX
