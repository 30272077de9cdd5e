"""IPv4 and MAC addresses as ints in host order, and as text."""

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
    def mask(self) -> int:
        """The network mask."""
        return (0xFFFFFFFF << (32 - self.prefix)) & 0xFFFFFFFF

    def holds(self, ip: int) -> bool:
        """Whether *ip* is on this link."""
        return ip & self.mask == self.address & self.mask

    def is_host(self, ip: int) -> bool:
        """Whether *ip* can be a host's on this link: on it, and neither the network nor its broadcast address."""
        if not self.holds(ip):
            return False
        return self.prefix >= 31 or ip & ~self.mask & 0xFFFFFFFF not in (0, ~self.mask & 0xFFFFFFFF)

    def __str__(self) -> str:
        last = f"-{ip_text(self.addresses[-1])}" if self.count > 1 else ""
        return f"{ip_text(self.address)}{last}/{self.prefix}"


def parse_ip(text: str) -> int:
    """A dotted IPv4 address as an int. Raises ValueError."""
    return int(ipaddress.IPv4Address(text))


def ip_text(ip: int) -> str:
    """*ip* dotted."""
    return str(ipaddress.IPv4Address(ip))


def parse_mac(text: str) -> int:
    """`aa:bb:cc:dd:ee:ff`, or with dashes, as a 48-bit int whose top byte goes first on the wire. Raises ValueError."""
    if not _MAC.fullmatch(text):
        raise ValueError(f"'{text}' is not a MAC address")
    return int("".join(part.zfill(2) for part in re.split("[:-]", text)), 16)


def mac_text(mac: int) -> str:
    """*mac* with colons."""
    return mac.to_bytes(6, "big").hex(":")
