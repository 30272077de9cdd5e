"""Changes to a frame's headers that several operators make. The caller knows that the headers are there (`parse`)."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import be16, load8, load16, load32, load64, put_be16, put_be32, shr64, store16, store32, store64
from operators import wire
from tcp.checksum import fold


@kernel
def swap_macs(pkt):
    """Exchange the Ethernet addresses."""
    first, last = load64(pkt + wire.ETH_DST), load32(pkt + wire.ETH_DST + 8)
    store64(pkt + wire.ETH_DST, shr64(first, 48) | last << 16 | first << 48)
    store32(pkt + wire.ETH_DST + 8, first >> 16)


@kernel
def put_mac(address, mac):
    """Write *mac*, 48 bits with the first byte on the wire highest."""
    put_be16(address, mac >> 32)
    put_be32(address + 2, mac & 0xFFFFFFFF)


@kernel
def get_mac(address):
    """The 48-bit address there, the first byte on the wire highest."""
    return be16(address) << 32 | be16(address + 2) << 16 | be16(address + 4)


@kernel
def swap16(one, other):
    """Exchange two 16-bit words."""
    word = load16(one)
    store16(one, load16(other))
    store16(other, word)


@kernel
def swap32(one, other):
    """Exchange two 32-bit words."""
    word = load32(one)
    store32(one, load32(other))
    store32(other, word)


@kernel
def replace16(address, checksum, value):
    """Write the 16-bit word *value*, and at *checksum* the Internet checksum that follows from it (RFC 1624, equation 3)."""
    put_be16(checksum, ~fold((~be16(checksum) & 0xFFFF) + (~be16(address) & 0xFFFF) + value))
    put_be16(address, value)


@kernel
def set_ttl(ip, ttl):
    """Set the TTL of the IPv4 header at *ip*, and its checksum accordingly."""
    replace16(ip + wire.IP_TTL, ip + wire.IP_CHECKSUM, ttl << 8 | load8(ip + wire.IP_PROTOCOL))
