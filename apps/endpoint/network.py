"""What a host does below TCP: ARP, neighbour discovery, pings, the way to others; frames in, frames out."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Protocol

from apps.addresses import is_ip6
from apps.endpoint.discovery import Discovery
from apps.endpoint.fragments import Reassembly
from apps.endpoint.frames import Ethernet, arp, arp_frame, ethernet, framed
from apps.endpoint.icmp import IcmpError, echo_reply, icmp_error, is_ping
from apps.endpoint.neighbours import Neighbours
from apps.endpoint.packets import TTL, Ip, Place, ip_packet, ipv4, ipv6
from apps.endpoint.segments import Writer
from apps.endpoint.site import Site
from operators import wire


class Above(Protocol):
    """Who hears of what arrives. What they return is why it was dropped, or nothing."""

    def segment(self, ip: Ip, source_mac: int) -> str:
        """A TCP segment for one of our addresses."""

    def icmp_error(self, error: IcmpError) -> str:
        """An error about one of our segments."""

    def silent(self, hop: int) -> None:
        """Nobody answers for the next hop."""

    def moved(self, hop: int, before: int | None, mac: int) -> None:
        """The neighbour has the MAC address *mac*, and had *before* if that is known."""


class Network:
    """Between frames and *above*. `now` is in microseconds; `frames` wait to be sent, and packets `to_ourselves` to be heard."""

    def __init__(self, site: Site, above: Above, now: int) -> None:
        self.site = site
        self.now = now
        self.frames: deque[bytes] = deque()
        self.counters: Counter[str] = Counter()
        self.to_ourselves: deque[bytes] = deque()
        self._above = above
        self._neighbours = Neighbours(site.neighbours, self._ask, above.silent)
        self.fragments = Reassembly()
        self._discovery = Discovery(site.mac)
        self._writer = Writer()

    @property
    def deadline(self) -> int | None:
        """When `fire` is due next; None: never."""
        return self._neighbours.deadline

    def fire(self) -> None:
        """Do what is due now."""
        self._neighbours.fire(self.now)

    # What arrives.

    def take_in(self, frame: bytes) -> None:
        """Hear *frame*; what is dropped is counted."""
        self._count(self._taken_in(frame))

    def take_back(self, packet: bytes) -> None:
        """Hear *packet*, which we have sent to an address of our own."""
        ip = (ipv4 if packet[0] >> 4 == 4 else ipv6)(packet)
        assert ip is not None
        self._count(self._packet(ip, self.site.mac))

    def _count(self, reason: str) -> None:
        self.counters[reason] += 1
        del self.counters[""]

    def _taken_in(self, frame: bytes) -> str:
        """Why *frame* was dropped, or nothing."""
        if len(frame) < wire.ETH_HEADER:
            return "runt"
        ether = ethernet(frame)
        if ether.destination != self.site.mac and not ether.to_group:
            return "not_for_us"
        if ether.ethertype == wire.ETHERTYPE_ARP:
            return self._arp(ether)
        if ether.ethertype not in (wire.ETHERTYPE_IPV4, wire.ETHERTYPE_IPV6):
            return "not_for_us"
        ip = (ipv4 if ether.ethertype == wire.ETHERTYPE_IPV4 else ipv6)(ether.content)
        if ip is None:
            return "bad_ip"
        if self.site.is_ours(ip.source):
            return "own_source"
        if ether.ethertype == wire.ETHERTYPE_IPV6:
            if Discovery.is_meant(ip):
                return self._neighbourly(ip, ether)
            if not is_ip6(ip.destination):
                return "not_for_us"
        if not self.site.is_ours(ip.destination) or ether.to_group:
            return "not_for_us"
        if is_ip6(ip.source) != is_ip6(ip.destination) or not self.site.is_station(ip.source):
            return "bad_source"
        if ip.is_fragment:
            whole = self.fragments.put(frame, self.now)
            return "" if whole is None else self._taken_in(whole)
        return self._packet(ip, ether.source)

    def _packet(self, ip: Ip, source_mac: int) -> str:
        """A packet for one of our addresses, from somebody's."""
        if ip.protocol == wire.PROTO_TCP:
            return self._above.segment(ip, source_mac)
        if ip.protocol != (wire.PROTO_ICMP6 if is_ip6(ip.source) else wire.PROTO_ICMP):
            return "not_for_us"
        if is_ping(ip):
            if is_ip6(ip.source) and len(ip.payload) > wire.MTU - wire.IP6_HEADER:
                return "too_long"
            self.send(ip_packet(ip.destination, ip.source, ip.protocol, echo_reply(ip)), ip.source, source_mac)
            return ""
        error = icmp_error(ip)
        return "icmp_ignored" if error is None else self._above.icmp_error(error)

    def _arp(self, ether: Ethernet) -> str:
        """What neighbours say of themselves is noted, whoever is meant; requests for our addresses are answered (RFC 826)."""
        packet = arp(ether.content)
        if packet is None or packet.operation not in (wire.ARP_REQUEST, wire.ARP_REPLY):
            return "bad_arp"
        self._note(packet.sender_ip, packet.sender_mac, overrides=True)
        if not self.site.is_ours(packet.target_ip):
            return "not_for_us"
        if packet.operation == wire.ARP_REQUEST and packet.sender_ip != packet.target_ip:
            answer = arp_frame(wire.ARP_REPLY, self.site.mac, packet.target_ip, packet.sender_ip, packet.sender_mac)
            self.frames.append(answer)
        return ""

    def _neighbourly(self, ip: Ip, ether: Ethernet) -> str:
        """Solicitations for our addresses are answered; MAC addresses that they and advertisements tell are noted."""
        message = self._discovery.read(ether.content, ip)
        anonymous = message is not None and message.is_question and ip.source == 0
        if message is None or not (anonymous or (is_ip6(ip.source) and self.site.is_station(ip.source))):
            return "bad_nd"
        if message.is_question and not self.site.is_ours(message.target):
            return "not_for_us"
        if message.mac is not None:
            self._note(message.source if message.is_question else message.target, message.mac, message.overrides)
        if message.is_question:
            answer, mac = self._discovery.answer(message, ether.source)
            self.frames.append(framed(mac, self.site.mac, answer))
        return ""

    def _note(self, ip: int, mac: int, overrides: bool) -> None:
        """The neighbour *ip* has *mac*. Who has moved takes the connections along."""
        before = self._neighbours.known(ip)
        self._neighbours.learn(ip, mac, overrides)
        if overrides and ip not in self.site.neighbours:
            self._above.moved(ip, before, mac)

    # What is sent.

    def send_segment(self, out: Any, local: Place, peer: Place, mac: int | None, tos: int = 0, ttl: int = TTL) -> None:
        """Send the SEGMENT *out* to the station *mac*, or if that is None, by the route there is."""
        self.send(self._writer.packet(out, local, peer, tos, ttl), peer[0], mac)

    def send(self, packet: bytes, ip: int, mac: int | None) -> None:
        """The same for a whole packet to *ip*. What is for ourselves needs neither."""
        if self.site.is_ours(ip):
            self.to_ourselves.append(packet)
            return
        if mac is not None:
            self._transmit(packet, mac)
            return
        hop = self.site.next_hop(ip)
        if hop is None:
            self.counters["no_route"] += 1
        elif not self._neighbours.send(hop, lambda mac: self._transmit(packet, mac), self.now):
            self.counters["no_neighbour"] += 1

    def _transmit(self, packet: bytes, mac: int) -> None:
        self.frames.append(framed(mac, self.site.mac, packet))

    def _ask(self, ip: int) -> None:
        own = self.site.source_for(ip)
        if own is None:
            return
        if is_ip6(ip):
            question, mac = self._discovery.question(own, ip)
            self.frames.append(framed(mac, self.site.mac, question))
        else:
            self.frames.append(arp_frame(wire.ARP_REQUEST, self.site.mac, own, ip))
