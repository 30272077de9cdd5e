"""What the operators for ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861) share."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64, load8, put_be16, put_be32, store16
from operators import wire
from operators.edit import put_mac
from tcp.checksum import fold, ones_sum, pseudo_sum6_at, swapped
from tcp.ip6 import is_host

ND_SIZE = wire.ND_OPTIONS + wire.ND_OPTION_SIZE
"""Bytes of a solicitation or advertisement with one MAC address."""


@kernel
def icmp6_checksum(ip, icmp, length):
    """The checksum of the *length* bytes at *icmp*, for `store16`; 0 over an intact message."""
    return fold(ones_sum(icmp, length, pseudo_sum6_at(ip, swapped(wire.PROTO_ICMP6 + length)))) ^ 0xFFFF


@kernel
def is_neighbourly(pkt, meta):
    """Is it a whole neighbour solicitation or advertisement, sent on this very link (RFC 4861 sections 7.1.1 and 7.1.2)?"""
    ip, icmp, length = pkt + i64(meta.l3), pkt + i64(meta.l4), wire.ICMP_HEADER + i64(meta.payload_len)
    if icmp != ip + wire.IP6_HEADER or length < wire.ND_OPTIONS or load8(ip + wire.IP6_HOP_LIMIT) != wire.ND_HOP_LIMIT:
        return False
    if load8(icmp + wire.ICMP_CODE) != 0 or not is_host(icmp + wire.ND_TARGET):
        return False
    return icmp6_checksum(ip, icmp, length) == 0 and option(pkt, meta, i64(0)) >= 0


@kernel
def option(pkt, meta, wanted):
    """Where the MAC address of the option *wanted* stands; 0: there is none, -1: the options are no options."""
    place = pkt + i64(meta.l4) + wire.ND_OPTIONS
    end = pkt + i64(meta.payload) + i64(meta.payload_len)
    found = i64(0)
    while place < end:
        if place + wire.ND_OPTION_SIZE > end:
            return i64(-1)
        size = load8(place + 1) * wire.ND_OPTION_SIZE
        if size == 0 or place + size > end:
            return i64(-1)
        if load8(place) == wanted:
            found = place + 2
        place += size
    return found


@kernel
def write_neighbourly(ip, kind, flags, own_option, mac):
    """Make a message of *kind* between the addresses at *ip* about the target that stands in it, with *mac* in an option."""
    icmp = ip + wire.IP6_HEADER
    put_be32(ip, i64(0x60000000))
    put_be32(ip + wire.IP6_PAYLOAD_LENGTH, ND_SIZE << 16 | wire.PROTO_ICMP6 << 8 | wire.ND_HOP_LIMIT)
    put_be32(icmp, kind << 24)
    put_be32(icmp + wire.ND_FLAGS, flags << 24)
    put_be16(icmp + wire.ND_OPTIONS, own_option << 8 | 1)
    put_mac(icmp + wire.ND_OPTIONS + 2, mac)
    store16(icmp + wire.ICMP_CHECKSUM, icmp6_checksum(ip, icmp, i64(ND_SIZE)))
