"""IP and MAC addresses as ints in host order, and as text.

An IPv6 address is known by its size: none of those below 2^64 is a host's, and IPv4's end at 2^32.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_MAC = re.compile(r"[0-9a-fA-F]{1,2}([:-][0-9a-fA-F]{1,2}){5}")


@dataclass(frozen=True)
class Interface:
    """Addresses of ours, one or several in a row, and the length of their network's prefix."""

    address: int
    """The first."""
    prefix: int
    count: int = 1

    @property
    def addresses(self) -> range:
        """All of them."""
        return range(self.address, self.address + self.count)

    @property
    def bits(self) -> int:
        """Of an address: 32 or 128."""
        return 128 if is_ip6(self.address) else 32

    @property
    def mask(self) -> int:
        """The network mask."""
        return ((1 << self.prefix) - 1) << (self.bits - self.prefix)

    def holds(self, ip: int) -> bool:
        """Whether *ip* is on this link."""
        return is_ip6(ip) == is_ip6(self.address) and ip & self.mask == self.address & self.mask

    def is_host(self, ip: int) -> bool:
        """Whether *ip* can be a host's on this link: on it, and not the network's own, which IPv6 gives to its routers, nor its
        broadcast address, which IPv6 has not."""
        if not self.holds(ip):
            return False
        host, last = ip & ((1 << self.bits - self.prefix) - 1), (1 << self.bits - self.prefix) - 1
        return last <= 1 or (host != 0 and (self.bits == 128 or host != last))

    def __str__(self) -> str:
        last = f"-{ip_text(self.addresses[-1])}" if self.count > 1 else ""
        return f"{ip_text(self.address)}{last}/{self.prefix}"


def parse_ip(text: str) -> int:
    """An IPv4 or IPv6 address as an int. Raises ValueError."""
    return int(ipaddress.ip_address(text))


def is_ip6(ip: int) -> bool:
    """Whether *ip* is an IPv6 address."""
    return ip >> 32 != 0


def ip_text(ip: int) -> str:
    """*ip* dotted, or with colons."""
    return str(ipaddress.IPv6Address(ip) if is_ip6(ip) else ipaddress.IPv4Address(ip))


def endpoint_text(ip: int, port: int) -> str:
    """`IP:PORT`, with brackets about an IPv6 address (RFC 5952 section 6)."""
    return f"[{ip_text(ip)}]:{port}" if is_ip6(ip) else f"{ip_text(ip)}:{port}"


def octets_text(octets: bytes) -> str:
    """16 bytes of an IPv6 address as text; of an IPv4 address mapped into IPv6, dotted."""
    address = ipaddress.IPv6Address(octets)
    return str(address.ipv4_mapped or address)


def is_link_local(ip: int) -> bool:
    """Whether *ip* is an IPv6 address that is on every link (RFC 4291 section 2.5.6)."""
    return ip >> 118 == 0xFE80 >> 6


def link_local(mac: bytes) -> int:
    """The IPv6 address that every station has by its MAC (RFC 4291 appendix A)."""
    return 0xFE80 << 112 | int.from_bytes(bytes([mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]]), "big")


def parse_mac(text: str) -> int:
    """`aa:bb:cc:dd:ee:ff`, or with dashes, as a 48-bit int whose top byte goes first on the wire. Raises ValueError."""
    if not _MAC.fullmatch(text):
        raise ValueError(f"'{text}' is not a MAC address")
    return int("".join(part.zfill(2) for part in re.split("[:-]", text)), 16)


def mac_text(mac: int) -> str:
    """*mac* with colons."""
    return mac.to_bytes(6, "big").hex(":")
