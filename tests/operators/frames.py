"""Frames for the tests of operators: built with scapy, read from captures, invented by hypothesis."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet

from tests.operators.models import checksum

CAPTURES = Path(__file__).parent.parent / "data" / "frames"
ETHER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
IP4 = IP(src="10.1.2.3", dst="10.4.5.6")
IP6 = IPv6(src="fd00::1:2", dst="fd00::3:4")

BUILT: dict[str, Packet] = {
    "tcp": ETHER / IP4 / TCP(sport=1234, dport=80, seq=0xFFFFFFFE, ack=7, flags="PA", window=4321) / b"hello",
    "tcp options": ETHER / IP4 / TCP(sport=1, dport=2, flags="S", options=[("MSS", 1460), ("WScale", 7), ("NOP", None)]),
    "ip options": ETHER / IP(src="10.1.2.3", dst="10.4.5.6", options=[IPOption_NOP()] * 4) / UDP(sport=5, dport=6) / b"x",
    "udp": ETHER / IP4 / UDP(sport=53, dport=5353) / DNS(qd=DNSQR(qname="example.org")),
    "echo": ETHER / IP4 / ICMP(id=1, seq=2) / b"ping",
    "vlan": ETHER / Dot1Q(vlan=100, prio=5) / IP4 / TCP(sport=3, dport=4, flags="A"),
    "qinq": ETHER / Dot1AD(vlan=10) / Dot1Q(vlan=20) / IP4 / UDP(sport=7, dport=8),
    "arp": ETHER / ARP(pdst="10.4.5.6"),
    "tcp6": ETHER / IP6 / TCP(sport=1234, dport=80, seq=1, flags="SA") / b"six",
    "udp6 behind extensions": ETHER / IP6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2) / b"far",
    "tcp6 arrived": ETHER / IP6 / IPv6ExtHdrRouting(addresses=["fd00::9"], segleft=0) / TCP(sport=1, dport=2),
    "tcp6 under way": ETHER / IP6 / IPv6ExtHdrRouting(addresses=["fd00::9"], segleft=1) / TCP(sport=1, dport=2),
    "echo6": ETHER / IP6 / ICMPv6EchoRequest(data=b"ping"),
    "fragment": ETHER / IP(src="10.1.2.3", dst="10.4.5.6", flags="MF") / UDP(sport=1, dport=2) / bytes(8),
    "late fragment": ETHER / IP(src="10.1.2.3", dst="10.4.5.6", frag=3, proto=17) / bytes(8),
    "fragment6": ETHER / IP6 / IPv6ExtHdrFragment(nh=17) / UDP(sport=1, dport=2),
    "gre": ETHER / IP(src="10.1.2.3", dst="10.4.5.6", proto=47) / bytes(12),
    "icmp6 in ipv4": ETHER / IP(src="10.1.2.3", dst="10.4.5.6", proto=58) / bytes(12),
    "icmp in ipv6": ETHER / IPv6(src="fd00::1:2", dst="fd00::3:4", nh=1) / bytes(12),
    "spanning tree": Dot3(src="02:00:00:00:00:0a", dst="01:80:c2:00:00:00") / STP(),
}


def captured(name: str) -> Iterator[bytes]:
    """The frames of a classic Ethernet capture, as far as they were kept."""
    data = (CAPTURES / name).read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    assert struct.unpack(f"{order}I", data[20:24])[0] & 0xFFFF == 1, f"{name} is no Ethernet capture"
    offset = 24
    while offset < len(data):
        size = struct.unpack(f"{order}I", data[offset + 8 : offset + 12])[0]
        yield data[offset + 16 : offset + 16 + size]
        offset += 16 + size


def mended(frame: bytearray) -> bytes:
    """The frame with a right IPv4 header checksum, where an IPv4 header is, so that what lies behind it is looked at."""
    l3 = 14
    while frame[l3 - 2 : l3] in (b"\x81\x00", b"\x88\xa8") and len(frame) >= l3 + 4:
        l3 += 4
    if frame[l3 - 2 : l3] == b"\x08\x00" and len(frame) >= l3 + 20:
        header = frame[l3 : l3 + max(frame[l3] % 16 * 4, 20)]
        header[10:12] = b"\0\0"
        frame[l3 + 10 : l3 + 12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(frame)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good frame with some bytes of its headers changed, perhaps cut short or made longer, checksum mended or not."""
    frame = bytearray(bytes(draw(st.sampled_from(list(BUILT.values())))))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(12, min(len(frame), 80) - 1))
        frame[position] = draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 6, 17, 43, 44, 60, 0x45, 0x4F, 0x60, 0xFF])))
    if draw(st.booleans()):
        frame = frame[: draw(st.integers(0, len(frame)))]
    frame += draw(st.binary(max_size=20))
    return mended(frame) if draw(st.booleans()) and len(frame) > 14 else bytes(frame)
