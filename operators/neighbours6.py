"""IPv6 next hops and their MAC addresses, asked for and learned by neighbour discovery (RFC 4861 section 7.2)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import (
    aligned,
    copy,
    i64,
    load8,
    load16,
    load32,
    load64,
    put_be16,
    put_be32,
    record_at,
    store16,
    store32,
    store64,
)
from operators import wire
from operators.edit import get_mac
from operators.engine import ENGINE, addresses_at
from operators.icmp6 import ND_SIZE, is_neighbourly, option, write_neighbourly
from operators.parse import ICMP6
from pipeline import DROP, NEXT, operator, send, take, tick
from tcp.ip6 import octets_of

_RETRIES_PER_SECOND = 4
_ETHERTYPE = 0xDD86
"""0x86DD as it lies in little-endian memory."""

NEIGHBOUR6 = np.dtype([("high", "i8"), ("low", "i8"), ("mac", "i8")])
"""high, low: the address's halves, and mac: the six bytes, as they lie in memory; mac is 0 while it is not known."""


def _halves(ip: int) -> tuple[int, int]:
    words = np.frombuffer(ip.to_bytes(16, "big"), np.int64)
    return int(words[0]), int(words[1])


class Neighbours6:
    """The IPv6 next hops of a run, shared by its cores: each MAC is one word, written once it is learned."""

    def __init__(self, ips: Iterable[int]) -> None:
        self._ips = sorted(set(ips))
        self.table = aligned(max(1, len(self._ips)), NEIGHBOUR6, 64)
        for row, ip in enumerate(self._ips):
            self.table["high"][row], self.table["low"][row] = _halves(ip)

    def mac_word(self, ip: int) -> np.ndarray:
        """The one-element array that holds the MAC of *ip*."""
        row = self._ips.index(ip)
        return self.table["mac"][row : row + 1]

    def unknown(self) -> list[int]:
        """The addresses that have not answered."""
        return [ip for ip, mac in zip(self._ips, self.table["mac"].tolist(), strict=False) if mac == 0]


@tick(state=[("next_at", "i8"), ("asked", "i8")])
def nd_ask(now, out, state, neighbours6, tcp):
    """Solicit the IPv6 next hops whose MAC is not known, four times a second."""
    if now < i64(state.next_at):
        return i64(0)
    eng = record_at(tcp, ENGINE)
    state.next_at = now + i64(eng.second_cycles) // _RETRIES_PER_SECOND
    asked = i64(0)
    for k in range(len(neighbours6)):
        neighbour = neighbours6[k]
        if i64(neighbour.high) != 0 and i64(neighbour.mac) == 0:
            mbuf = take(out)
            if mbuf == 0:
                break
            _write_solicitation(eng, data(mbuf), i64(neighbour.high), i64(neighbour.low))
            set_length(mbuf, i64(wire.ETH_HEADER + wire.IP6_HEADER + ND_SIZE))
            send(out, mbuf)
            asked += 1
    state.asked += asked
    return asked


@kernel
def _write_solicitation(eng, pkt, high, low):
    """From our first address to the group of those nodes whose address ends as the target's (RFC 4291 section 2.7.1)."""
    mac, ip = i64(eng.mac), pkt + wire.ETH_HEADER
    target = ip + wire.IP6_HEADER + wire.ND_TARGET
    store64(target, high)
    store64(target + 8, low)
    put_be16(pkt + wire.ETH_DST, i64(0x3333))
    store32(pkt + wire.ETH_DST + 2, load32(target + 12))
    store16(pkt + wire.ETH_DST + 2, load16(target + 12) | 0xFF)
    store32(pkt + wire.ETH_SRC, mac)
    store16(pkt + wire.ETH_SRC + 4, mac >> 32)
    store16(pkt + wire.ETH_TYPE, i64(_ETHERTYPE))
    copy(ip + wire.IP6_SRC, octets_of(addresses_at(eng), load64(i64(eng.local) + i64(eng.n_ip4) * 8)), 16)
    put_be32(ip + wire.IP6_DST, i64(0xFF020000))
    put_be32(ip + wire.IP6_DST + 4, i64(0))
    put_be32(ip + wire.IP6_DST + 8, i64(1))
    copy(ip + wire.IP6_DST + 12, pkt + wire.ETH_DST + 2, 4)
    write_neighbourly(ip, i64(wire.ND_SOLICITATION), i64(0), i64(wire.ND_SOURCE_MAC), get_mac(pkt + wire.ETH_SRC))


@operator(
    state=[("learned", "i8")], reads=("kind", "l3", "l4", "payload", "payload_len"), drops=("bad_mac", "malformed")
)  # fmt: skip
def nd_learn(pkt, meta, state, neighbours6, tcp):
    """Note the MAC addresses of IPv6 next hops from what they advertise and ask; their answers end here, all else goes on."""
    if meta.kind != ICMP6:
        return NEXT
    icmp = pkt + i64(meta.l4)
    kind = load8(icmp)
    if kind != wire.ND_SOLICITATION and kind != wire.ND_ADVERTISEMENT:
        return NEXT
    if not is_neighbourly(pkt, meta):
        state.malformed += 1
        return DROP
    answer = kind == wire.ND_ADVERTISEMENT
    row = _row_of(neighbours6, icmp + wire.ND_TARGET if answer else pkt + i64(meta.l3) + wire.IP6_SRC)
    told = option(pkt, meta, i64(wire.ND_TARGET_MAC if answer else wire.ND_SOURCE_MAC))
    if row < 0 or told == 0:
        return NEXT
    if load8(told) & wire.ETH_GROUP:
        state.bad_mac += 1
        return DROP
    neighbours6[row].mac = load32(told) | load16(told + 4) << 32
    state.learned += 1
    return NEXT if not answer or record_at(tcp, ENGINE).kernel_side else DROP


@kernel
def _row_of(neighbours6, octets):
    """Where the address at *octets* stands in the table, or -1."""
    for row in range(len(neighbours6)):
        if i64(neighbours6[row].high) == load64(octets) and i64(neighbours6[row].low) == load64(octets + 8):
            return i64(row)
    return i64(-1)
