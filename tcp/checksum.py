"""The Internet checksum: RFC 1071.

Sums are of 16-bit words as a little-endian load finds them (the sum does not mind, RFC 1071 section 2 B), so a result is stored
with `store16`, not `put_be16`. A partial sum is any 64-bit word, taken as unsigned, that is congruent; `fold` makes it 16 bits.
"""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import add64, add_around, i64, load8, load16, load32, load64, mul64, rotate32, shr64

PROTOCOL = 6
_QUOTIENT = 0x0001000100010001
"""(2^64 - 1) / 0xFFFF, which times 0xFFFF is -1 in 64 bits."""
_SHORTEST = 20
"""Bytes of an IPv4 and of a TCP header without options."""


@inlined
def ones_sum(address, length, start):
    """Add the *length* readable bytes at *address* to the partial sum *start*; an odd last byte is padded with 0."""
    total = start
    end = address + (length & ~7)
    while address < end:
        total = add_around(total, load64(address))
        address += 8
    if length & 4:
        total = add_around(total, load32(address))
        address += 4
    if length & 2:
        total = add_around(total, load16(address))
        address += 2
    if length & 1:
        total = add_around(total, load8(address))
    return total


@inlined
def header_sum(address, length, start):
    """`ones_sum` for at least 20 bytes, the first of which every header has: without a loop when there are no more.

    The last word of more is loaded so that it ends with them, and what was summed before is shifted out of it.
    """
    if length == _SHORTEST:
        rest = load32(address + 16)
    else:
        last = address + length - 8
        word = address + 16
        while word < last:
            start = add_around(start, load64(word))
            word += 8
        rest = shr64(load64(last), -8 * length & 63)
    return add_around(add_around(add_around(rest, start), load64(address)), load64(address + 8))


@inlined
def fold(total):
    """The partial sum *total* in 16 bits. A sum and the same sum with its halves exchanged give both halves' sum on top, carry
    included."""
    total = shr64(add64(total, mul64(total, 1 << 32) | shr64(total, 32)), 32)
    return ((total + rotate32(total, i64(16))) >> 16) & 0xFFFF


@inlined
def swapped(total):
    """A partial sum below 2^55 over big-endian words as one over little-endian ones, or the reverse.

    Times 2^8 the bytes of every word change places, because 2^16 is 1 in one's complement (RFC 1071 section 2 B).
    """
    return total << 8


@kernel
def pseudo_sum(source_ip, destination_ip, length):
    """The partial sum of the IPv4 pseudo header; addresses as host-order ints, *length* of TCP header and payload in bytes."""
    return swapped(source_ip + destination_ip + PROTOCOL + length)


@inlined
def pseudo_sum6_at(ip_header, rest):
    """The same over IPv6: the addresses from the IPv6 header at *ip_header*, and *rest* for what else there is (RFC 8200 section
    8.1)."""
    return ones_sum(ip_header + 8, i64(32), rest)


@kernel
def tcp_checksum(address, length, pseudo):
    """The checksum of the *length* bytes of TCP header and payload at *address*, whose checksum field is zero, for `store16`.

    Over a received segment, checksum field and all, it is 0 if and only if the segment is intact.
    """
    return fold(ones_sum(address, length, pseudo)) ^ 0xFFFF


@kernel
def ip_checksum(address, length):
    """The checksum of the IPv4 header of *length* bytes at *address*, for `store16`; 0 over an intact one."""
    return fold(ones_sum(address, length, 0)) ^ 0xFFFF


@inlined
def _is_whole(next_to_it):
    """Is the sum over data and checksum, not 0, a multiple of 0xFFFF, which is one's complement for zero? Given is one more.

    The product is _QUOTIENT less the quotient if it is one, and beyond _QUOTIENT if not.
    """
    return 0 <= mul64(next_to_it, _QUOTIENT) <= _QUOTIENT


@inlined
def tcp_intact(ip_header, address, length):
    """Does the checksum of the received segment of *length* bytes, at least 20, at *address* fit, over IPv4?"""
    rest = swapped(PROTOCOL + length) + 1
    return _is_whole(header_sum(address, length, add_around(load64(ip_header + 12), rest)))


@inlined
def tcp6_intact(ip_header, address, length):
    """The same over IPv6."""
    rest = swapped(PROTOCOL + length) + 1
    return _is_whole(header_sum(address, length, pseudo_sum6_at(ip_header, rest)))


@inlined
def ip_intact(address, length):
    """Does the checksum of the received IPv4 header of *length* bytes, at least 20, not all of them 0, at *address* fit?"""
    return _is_whole(header_sum(address, length, 1))
