"""parse as one would write it without a care for speed: bytes in, what is wrong or the metadata out."""

from __future__ import annotations

import struct
from typing import Any

from operators import parse as p

FIELDS = [
    "kind", "l4_proto", "tcp_flags", "ip_version", "ethertype", "vlan", "l3", "l4", "payload", "sport", "dport", "wnd", "src",
    "dst", "seq", "ack", "payload_len",
]  # fmt: skip


class Malformed(Exception):
    """The name of the counter that parse counts the frame under."""


def check(condition: bool, reason: str) -> None:
    if not condition:
        raise Malformed(reason)


def checksum(data: bytes) -> int:
    """The Internet checksum by the book (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[k : k + 2], "big") for k in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def parse_frame(frame: bytes, readable: int | None = None) -> dict[str, Any]:
    """The metadata of *frame*, of which the first *readable* bytes lie in the first segment; raises Malformed."""
    head = frame[:readable]
    meta = dict.fromkeys(FIELDS, 0)
    check(len(head) >= 14, "runt")
    l3, ethertype = 14, int.from_bytes(head[12:14], "big")
    for _ in range(4):
        if ethertype not in (0x8100, 0x88A8):
            break
        check(len(head) >= l3 + 4, "runt")
        tag, ethertype = struct.unpack("!HH", head[l3 : l3 + 4])
        meta["vlan"] = tag % 4096
        l3 += 4
    meta |= {"l3": l3, "ethertype": ethertype}
    if ethertype == 0x0800:
        parse_ipv4(frame, head, l3, meta)
    elif ethertype == 0x86DD:
        parse_ipv6(frame, head, l3, meta)
    elif ethertype == 0x0806:
        check(len(head) >= l3 + 28, "bad_arp")
        meta["kind"] = p.ARP
    return meta


def parse_ipv4(frame: bytes, head: bytes, l3: int, meta: dict[str, Any]) -> None:
    check(len(head) >= l3 + 20, "bad_ip")
    first, _, total, _, fragment, _, proto, _, src, dst = struct.unpack("!BBHHHBBHII", head[l3 : l3 + 20])
    size = first % 16 * 4
    check(first // 16 == 4 and size >= 20 and size <= total, "bad_ip")
    check(len(head) >= l3 + size and len(frame) >= l3 + total, "bad_ip")
    check(checksum(head[l3 : l3 + size]) == 0, "ip_checksum")
    meta |= {"ip_version": 4, "l4_proto": proto, "src": src, "dst": dst, "l4": l3 + size}
    if fragment & 0x2000 or fragment & 0x1FFF:
        meta["kind"] = p.FRAGMENT
    else:
        parse_transport(head, l3 + size, l3 + total, meta)


def parse_ipv6(frame: bytes, head: bytes, l3: int, meta: dict[str, Any]) -> None:
    check(len(head) >= l3 + 40, "bad_ip")
    end = l3 + 40 + int.from_bytes(head[l3 + 4 : l3 + 6], "big")
    check(head[l3] // 16 == 6 and len(frame) >= end, "bad_ip")
    proto, l4, headers = head[l3 + 6], l3 + 40, 0
    while proto in (0, 43, 60):
        headers += 1
        check(headers <= 8 and min(end, len(head)) >= l4 + 8, "bad_ip")
        if proto == 43 and head[l4 + 3]:
            meta["kind"] = p.IP6_OTHER
            break
        proto, size = head[l4], head[l4 + 1] * 8 + 8
        l4 += size
        check(end >= l4, "bad_ip")
    src, dst = int.from_bytes(head[l3 + 20 : l3 + 24], "big"), int.from_bytes(head[l3 + 36 : l3 + 40], "big")
    meta |= {"ip_version": 6, "l4_proto": proto, "src": src, "dst": dst, "l4": l4}
    if proto == 44:
        meta["kind"] = p.FRAGMENT
    elif proto != 43:
        parse_transport(head, l4, end, meta)


def parse_transport(head: bytes, l4: int, end: int, meta: dict[str, Any]) -> None:
    four = meta["ip_version"] == 4
    if len(head) < end:
        meta["kind"] = p.SEGMENTED
        return
    data = head[l4:end]
    match meta["l4_proto"]:
        case 6:
            check(len(data) >= 20, "bad_tcp")
            size = data[12] // 16 * 4
            check(20 <= size <= len(data), "bad_tcp")
            sport, dport, seq, ack, _, flags, wnd = struct.unpack("!HHIIBBH", data[:16])
            meta |= {"kind": p.TCP if four else p.TCP6, "sport": sport, "dport": dport, "seq": seq, "ack": ack}
            meta |= {"tcp_flags": flags, "wnd": wnd, "payload": l4 + size, "payload_len": len(data) - size}
        case 17:
            check(len(data) >= 8, "bad_udp")
            sport, dport, size = struct.unpack("!HHH", data[:6])
            check(8 <= size <= len(data), "bad_udp")
            meta |= {
                "kind": p.UDP if four else p.UDP6,
                "sport": sport,
                "dport": dport,
                "payload": l4 + 8,
                "payload_len": size - 8,
            }
        case proto if proto == (1 if four else 58):
            check(len(data) >= 8, "bad_icmp")
            meta |= {"kind": p.ICMP if four else p.ICMP6, "payload": l4 + 8, "payload_len": len(data) - 8}
        case _:
            meta["kind"] = p.IP_OTHER if four else p.IP6_OTHER


def expected(frame: bytes, readable: int | None = None) -> dict[str, Any] | str:
    """The metadata, or the reason why there is none."""
    try:
        return parse_frame(frame, readable)
    except Malformed as reason:
        return str(reason)
