"""Frames of many kinds, as they are met on real networks, and the pcap files they travel in."""

from __future__ import annotations

import struct
from pathlib import Path

OUR_MAC, THEIR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


def mixed_frames(jumbo: int = 9000) -> list[bytes]:
    """VLAN, IPv6, ARP, ICMP, multicast, one of *jumbo* bytes (0: none), and frames cut short in every header."""
    from scapy.layers.dns import DNS, DNSQR
    from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
    from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrFragment
    from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
    from scapy.packet import Raw

    ethernet = Ether(src=OUR_MAC, dst=THEIR_MAC)
    ip, ip6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2")
    packets = [
        ethernet / ip / TCP(sport=1234, dport=80, flags="S", options=[("MSS", 1460), ("WScale", 7)]),
        ethernet / ip / TCP(sport=1234, dport=80, flags="PA") / Raw(bytes(range(256)) * 5),
        ethernet / Dot1Q(vlan=42) / ip / UDP(sport=53, dport=5353) / DNS(qd=DNSQR(qname="example.net")),
        ethernet / Dot1AD(vlan=7) / Dot1Q(vlan=42) / ip / TCP(dport=443),
        ethernet / ip6 / TCP(dport=80, flags="SA"),
        ethernet / ip6 / IPv6ExtHdrFragment(m=1) / UDP() / Raw(b"x" * 99),
        Ether(src=OUR_MAC, dst="33:33:ff:00:00:02") / ip6 / ICMPv6ND_NS(tgt="fd00::2"),
        ethernet / ip6 / ICMPv6EchoRequest(data=b"ping"),
        Ether(src=OUR_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
        ethernet / ip / ICMP() / Raw(b"abcdefgh" * 8),
        ethernet / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_Router_Alert()]) / UDP() / Raw(b"options"),
        ethernet / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF", frag=3) / Raw(b"fragment" * 20),
        ethernet / Raw(b"\x88\xcc" + bytes(60)),
    ]
    frames = [bytes(packet) for packet in packets]
    if jumbo:
        frames.append(bytes(ethernet / ip / UDP() / Raw(b"j" * jumbo))[:jumbo])
    whole = frames[1]
    return frames + [whole[:size] for size in (14, 15, 33, 34, 40, 53, 54, 60)]


def swapped(frame: bytes) -> bytes:
    return frame[6:12] + frame[:6] + frame[12:]


def write_pcap(file: Path, frames: list[bytes]) -> Path:
    """A classic little-endian pcap of Ethernet frames, a microsecond apart (the format of libpcap's pcap-savefile(5))."""
    records = (struct.pack("<IIII", 0, index % 1_000_000, len(frame), len(frame)) + frame for index, frame in enumerate(frames))
    file.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))
    return file


def read_pcap(file: Path) -> list[bytes]:
    from scapy.utils import RawPcapReader

    with RawPcapReader(str(file)) as reader:
        return [frame for frame, _ in reader]
