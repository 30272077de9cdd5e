"""Next hops and their MAC addresses, asked for and learned by ARP (RFC 826)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import aligned, be16, be32, i64, load8, load16, load32, put_be16, put_be32, record_at, store16, store32
from operators import wire
from operators.engine import ENGINE
from operators.parse import ARP
from pipeline import DROP, NEXT, operator, send, take, tick

_BROADCAST = 0xFFFFFFFFFFFF
_RETRIES_PER_SECOND = 4
_ETHERNET_IPV4 = 0x00010800
_LENGTHS = 0x0604
_ARP_TYPE = 0x0608
"""0x0806 as it lies in little-endian memory."""

NEIGHBOUR = np.dtype([("ip", "i8"), ("mac", "i8")])
"""mac: the six bytes as they lie in memory, 0 while they are not known."""


class Neighbours:
    """The next hops of a run, shared by its cores: each MAC is one word, written once it is learned."""

    def __init__(self, ips: Iterable[int]) -> None:
        ips = sorted(set(ips))
        self.table = aligned(max(1, len(ips)), NEIGHBOUR, 64)
        self.table["ip"][: len(ips)] = ips
        self._count = len(ips)

    def mac_word(self, ip: int) -> np.ndarray:
        """The one-element array that holds the MAC of *ip*."""
        row = self.table["ip"].tolist().index(ip)
        return self.table["mac"][row : row + 1]

    def unknown(self) -> list[int]:
        """The addresses that have not answered."""
        return [int(ip) for ip, mac in self.table[: self._count] if mac == 0]


@tick(state=[("next_at", "i8"), ("asked", "i8")])
def arp_ask(now, out, state, neighbours, tcp):
    """Ask by ARP for the next hops whose MAC is not known, four times a second."""
    if now < i64(state.next_at):
        return i64(0)
    eng = record_at(tcp, ENGINE)
    state.next_at = now + i64(eng.second_cycles) // _RETRIES_PER_SECOND
    asked = i64(0)
    for k in range(len(neighbours)):
        neighbour = neighbours[k]
        if i64(neighbour.ip) != 0 and i64(neighbour.mac) == 0:
            mbuf = take(out)
            if mbuf == 0:
                return asked
            pkt = data(mbuf)
            mac = i64(eng.mac)
            store32(pkt, _BROADCAST)
            store16(pkt + 4, _BROADCAST)
            store32(pkt + 6, mac)
            store16(pkt + 10, mac >> 32)
            store16(pkt + 12, i64(_ARP_TYPE))
            arp = pkt + wire.ETH_HEADER
            put_be32(arp, i64(_ETHERNET_IPV4))
            put_be16(arp + wire.ARP_LENGTHS, i64(_LENGTHS))
            put_be16(arp + wire.ARP_OPER, i64(wire.ARP_REQUEST))
            store32(arp + wire.ARP_SHA, mac)
            store16(arp + wire.ARP_SHA + 4, mac >> 32)
            put_be32(arp + wire.ARP_SPA, i64(eng.first_local))
            for offset in range(wire.ARP_THA, wire.MIN_FRAME - wire.ETH_HEADER, 2):
                store16(arp + offset, i64(0))
            put_be32(arp + wire.ARP_TPA, i64(neighbour.ip))
            set_length(mbuf, i64(wire.MIN_FRAME))
            send(out, mbuf)
            asked += 1
    state.asked += asked
    return asked


@operator(state=[("learned", "i8")], reads=("kind", "l3"), drops=("bad_mac",))
def arp_learn(pkt, meta, state, neighbours):
    """Note the MAC addresses of next hops from their ARP packets; their answers end here, every other packet goes on.

    A group address is not believed (RFC 1812 section 3.3.2).
    """
    if meta.kind != ARP:
        return NEXT
    arp = pkt + i64(meta.l3)
    operation = be16(arp + wire.ARP_OPER)
    row = _row_of(neighbours, be32(arp + wire.ARP_SPA))
    if row < 0 or (operation != wire.ARP_REPLY and operation != wire.ARP_REQUEST):
        return NEXT
    if load8(arp + wire.ARP_SHA) & wire.ETH_GROUP:
        state.bad_mac += 1
        return DROP
    neighbours[row].mac = load32(arp + wire.ARP_SHA) | load16(arp + wire.ARP_SHA + 4) << 32
    state.learned += 1
    return DROP if operation == wire.ARP_REPLY else NEXT


@kernel
def _row_of(neighbours, ip):
    """Where *ip* stands in the table, or -1."""
    for row in range(len(neighbours)):
        if i64(neighbours[row].ip) == ip:
            return i64(row)
    return i64(-1)
