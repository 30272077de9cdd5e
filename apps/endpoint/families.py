"""Addresses as sockets of the two domains are told them: numbers, dotted, with colons, IPv4 mapped into IPv6
(RFC 4291 section 2.5.5.2).

The host knows addresses as `apps.addresses` does; the one that stands for all of a family is ANY4 or ANY6.
"""

from __future__ import annotations

import errno
import ipaddress

from apps.addresses import endpoint_text, is_ip6
from apps.endpoint import linux as n

ANY4, ANY6 = 0, 1 << 128
"""`::` is beyond all addresses, as 0 is IPv4's."""
_MAPPED = 0xFFFF << 32

Given = int | ipaddress.IPv4Address | ipaddress.IPv6Address
"""An address in a request: a number belongs to the socket's family."""


def given(word: str) -> Given:
    """An address with dots or colons, or a number in host order. OSError EINVAL."""
    if ":" not in word and "." not in word:
        return n.number(word)
    try:
        return ipaddress.IPv4Address(word) if ":" not in word else ipaddress.IPv6Address(_without_zone(word))
    except ValueError:
        raise OSError(errno.EINVAL, "address") from None


def _without_zone(word: str) -> str:
    if "%" in word:
        raise ValueError("there is no link but the device's")
    return word


def taken(domain: int, address: Given) -> int:
    """The address as the host knows it. OSError for those that a socket of *domain* cannot have."""
    if domain == n.AF_INET and isinstance(address, ipaddress.IPv6Address):
        raise OSError(errno.EAFNOSUPPORT, "IPv6")
    if domain == n.AF_INET6 and isinstance(address, ipaddress.IPv4Address):
        raise OSError(errno.EINVAL, "IPv4 is ::ffff:a.b.c.d to an IPv6 socket")
    ip = int(address)
    if ip < 0 or ip >> (32 if domain == n.AF_INET else 128):
        raise OSError(errno.EINVAL, "address")
    if domain == n.AF_INET:
        return ip
    if ip >> 32 == _MAPPED >> 32:
        return ip ^ _MAPPED
    if ip and not ip >> 64:
        raise OSError(errno.EADDRNOTAVAIL, "no host's")
    return ip or ANY6


def told(domain: int, ip: int) -> int:
    """The address as a socket of *domain* hears it."""
    if ip == ANY6:
        return 0
    return ip if domain == n.AF_INET or is_ip6(ip) else _MAPPED | ip


def place_text(ip: int, port: int) -> str:
    """`IP:PORT`."""
    return f"[::]:{port}" if ip == ANY6 else endpoint_text(ip, port)


def reach(ip: int, v6only: bool) -> frozenset[int]:
    """The domains whose packets a socket at *ip* hears: at `::` those of both, unless it is told otherwise (RFC 3493
    section 5.3)."""
    if ip == ANY6 and not v6only:
        return frozenset((n.AF_INET, n.AF_INET6))
    return frozenset((domain_of(ip),))


def domain_of(ip: int) -> int:
    """The family of an address, AF_INET or AF_INET6."""
    return n.AF_INET6 if is_ip6(ip) else n.AF_INET
