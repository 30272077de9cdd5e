"""Where a host stands: its addresses, who is on its link, and the way to everybody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from apps.addresses import Interface, is_ip6, is_link_local, link_local
from operators import wire

_LINK_LOCAL_PREFIX = 64


@dataclass(frozen=True)
class Site:
    """What the host is told of its place, and what follows from it."""

    interfaces: tuple[Interface, ...]
    mac: int
    gateways: tuple[int, ...] = ()
    """At most one of each family."""
    neighbours: dict[int, int] = field(default_factory=dict)
    """MAC addresses by IP that are not asked for, on the link or not."""
    isn_keys: tuple[int, int] = (0, 0)
    isn_clock: int = 0
    """Microseconds by which the clock of sequence numbers is ahead of the host's."""

    @cached_property
    def links(self) -> tuple[Interface, ...]:
        """The interfaces, and beside IPv6 ones that of the link-local address which the MAC makes."""
        if not any(is_ip6(interface.address) for interface in self.interfaces):
            return self.interfaces
        return (*self.interfaces, Interface(link_local(self.mac.to_bytes(6, "big")), _LINK_LOCAL_PREFIX))

    @cached_property
    def addresses(self) -> tuple[int, ...]:
        """All that are ours, in the order of the interfaces."""
        return tuple(ip for link in self.links for ip in link.addresses)

    @cached_property
    def _ours(self) -> frozenset[int]:
        return frozenset(self.addresses)

    def is_ours(self, ip: int) -> bool:
        """Whether *ip* is an address of ours."""
        return ip in self._ours

    def is_station(self, ip: int) -> bool:
        """Whether *ip* can be the address of somebody who sends (MUST-63; RFC 4291 sections 2.5.2, 2.5.3, 2.5.5 and 2.7)."""
        if is_ip6(ip) and (ip >> 64 == 0 or ip >> 120 == 0xFF):
            return False
        if not is_ip6(ip) and (ip >> 24 in (0, 127) or ip >= wire.FIRST_GROUP):
            return False
        return all(link.is_host(ip) for link in self.links if link.holds(ip))

    def next_hop(self, ip: int) -> int | None:
        """Whose MAC address packets to *ip* go to; None: there is no way."""
        if ip in self.neighbours or any(link.holds(ip) for link in self.links):
            return ip
        return next((gateway for gateway in self.gateways if is_ip6(gateway) == is_ip6(ip)), None)

    def source_for(self, ip: int) -> int | None:
        """The address of ours to send to *ip* from, on the next hop's link if one is; None: we have none of its family.
        A router's link-local address tells nothing of where we are known."""
        family = [link for link in self.links if is_ip6(link.address) == is_ip6(ip)]
        hop = self.next_hop(ip)
        scope = is_link_local(ip)
        near = [link for link in family if hop is not None and link.holds(hop) and is_link_local(link.address) == scope]
        return next((link.address for link in near or family), None)
