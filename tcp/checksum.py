"""The Internet checksum: RFC 1071.

Sums are of 16-bit words as a little-endian load finds them (the sum does not mind, RFC 1071 section 2 B), so a result is stored
with `store16`, not `put_be16`. A partial sum is any non-negative int64 that is congruent; `fold` makes it 16 bits.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import load8, load16, load32, load64, shr64

PROTOCOL = 6


@kernel
def ones_sum(address, length, start):
    """Add the *length* readable bytes at *address* to the partial sum *start*; an odd last byte is padded with zero.

    *start* below 2^48, *length* below 2^24. Any alignment.
    """
    total = start
    end = address + (length & ~7)
    while address < end:
        word = load64(address)
        total += (word & 0xFFFFFFFF) + shr64(word, 32)
        address += 8
    if length & 4:
        total += load32(address)
        address += 4
    if length & 2:
        total += load16(address)
        address += 2
    if length & 1:
        total += load8(address)
    return total


@kernel
def fold(total):
    """The partial sum *total* in 16 bits."""
    total = (total & 0xFFFFFFFF) + shr64(total, 32)
    total = (total & 0xFFFF) + shr64(total, 16)
    total = (total & 0xFFFF) + shr64(total, 16)
    return (total & 0xFFFF) + shr64(total, 16)


@kernel
def pseudo_sum(source_ip, destination_ip, length):
    """The partial sum of the IPv4 pseudo header; addresses as host-order ints, *length* of TCP header and payload in bytes."""
    total = fold(source_ip + destination_ip + PROTOCOL + length)
    return (total & 0xFF) << 8 | total >> 8


@kernel
def pseudo_sum_at(ip_header, length):
    """The same, with the addresses read from the IPv4 header at *ip_header*."""
    return load32(ip_header + 12) + load32(ip_header + 16) + ((PROTOCOL + length) >> 8) + (((PROTOCOL + length) & 0xFF) << 8)


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
