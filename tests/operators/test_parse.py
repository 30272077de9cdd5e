"""parse against frames whose contents are known, against a slow model, and against scapy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from operators import parse as p
from tests.operators.conftest import Toolbox
from tests.operators.frames import BUILT, CAPTURES, captured, mended, spoilt
from tests.operators.models import FIELDS, expected

FAST = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def parsed(toolbox: Toolbox, frames: list[bytes], segment: int = 2048) -> list[dict[str, Any] | str]:
    """The metadata of each frame, or the counter it went to."""
    toolbox.state("choose").chosen = 0
    results: list[dict[str, Any] | str] = []
    for frame in frames:
        before = toolbox.drops()
        (outcome,) = toolbox.bench.run([frame], segment=segment)
        if outcome.verdict == "slow":
            assert outcome.frame == frame
            results.append({name: outcome.meta[name] for name in FIELDS})
        else:
            (reason,) = [name for name, count in toolbox.drops().items() if before.get(name) != count]
            assert outcome.verdict == "drop"
            results.append(reason.removeprefix("parse."))
    return results


KNOWN = {
    "tcp": {
        "kind": p.TCP,
        "sport": 1234,
        "dport": 80,
        "seq": 0xFFFFFFFE,
        "ack": 7,
        "tcp_flags": 0x18,
        "wnd": 4321,
        "payload_len": 5,
    },
    "tcp options": {"kind": p.TCP, "l4": 34, "payload": 34 + 28, "payload_len": 0, "tcp_flags": 2},
    "ip options": {"kind": p.UDP, "l4": 38, "sport": 5, "dport": 6, "payload": 46, "payload_len": 1},
    "udp": {"kind": p.UDP, "l4_proto": 17, "sport": 53, "dport": 5353, "src": 0x0A010203, "dst": 0x0A040506, "tcp_flags": 0},
    "echo": {"kind": p.ICMP, "payload": 42, "payload_len": 4, "sport": 0, "dport": 0},
    "vlan": {"kind": p.TCP, "vlan": 100, "l3": 18, "ethertype": 0x0800, "tcp_flags": 0x10},
    "qinq": {"kind": p.UDP, "vlan": 20, "l3": 22},
    "arp": {"kind": p.ARP, "ethertype": 0x0806, "ip_version": 0, "src": 0},
    "tcp6": {"kind": p.TCP6, "ip_version": 6, "src": 0x10002, "dst": 0x30004, "l4": 54, "payload_len": 3},
    "udp6 behind extensions": {"kind": p.UDP6, "l4": 70, "l4_proto": 17, "payload_len": 3},
    "tcp6 arrived": {"kind": p.TCP6, "l4_proto": 6, "l4": 78, "sport": 1, "dport": 2},
    "tcp6 under way": {"kind": p.IP6_OTHER, "l4_proto": 43, "l4": 54, "sport": 0},
    "echo6": {"kind": p.ICMP6, "payload_len": 4},
    "fragment": {"kind": p.FRAGMENT, "l4_proto": 17, "sport": 0},
    "late fragment": {"kind": p.FRAGMENT},
    "fragment6": {"kind": p.FRAGMENT, "ip_version": 6},
    "gre": {"kind": p.IP_OTHER, "l4_proto": 47},
    "icmp6 in ipv4": {"kind": p.IP_OTHER},
    "icmp in ipv6": {"kind": p.IP6_OTHER},
    "spanning tree": {"kind": p.OTHER},
}


@pytest.mark.parametrize("name", BUILT)
def test_headers_are_read(toolbox: Toolbox, name: str) -> None:
    (meta,) = parsed(toolbox, [bytes(BUILT[name])])
    assert isinstance(meta, dict)
    assert {field: meta[field] for field in KNOWN[name]} == KNOWN[name]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("tcp", {14: 0x44}, "bad_ip"),
        ("tcp", {14: 0x65}, "bad_ip"),
        ("tcp", {16: 0, 17: 0}, "bad_ip"),
        ("tcp", {16: 0xFF}, "bad_ip"),
        ("tcp", {24: 0}, "ip_checksum"),
        ("tcp", {46: 0x40}, "bad_tcp"),
        ("tcp", {46: 0xF0}, "bad_tcp"),
        ("udp", {38: 0, 39: 7}, "bad_udp"),
        ("udp", {38: 0xFF}, "bad_udp"),
        ("echo", {17: 27}, "bad_icmp"),
        ("tcp6", {14: 0x40}, "bad_ip"),
        ("tcp6", {18: 0xFF}, "bad_ip"),
        ("tcp6", {19: 10}, "bad_tcp"),
        ("udp6 behind extensions", {55: 200}, "bad_ip"),
    ],
)
def test_lies_are_dropped_by_name(toolbox: Toolbox, name: str, changes: dict[int, int], reason: str) -> None:
    frame = bytearray(bytes(BUILT[name]))
    for position, value in changes.items():
        frame[position] = value
    assert parsed(toolbox, [bytes(frame) if reason == "ip_checksum" else mended(frame)]) == [reason]


@pytest.mark.parametrize("name", BUILT)
def test_a_frame_cut_anywhere_is_dropped_or_has_all_it_says(toolbox: Toolbox, name: str) -> None:
    whole = bytes(BUILT[name])
    cut = [whole[:size] for size in range(len(whole) + 1)]
    assert parsed(toolbox, cut) == [expected(frame) for frame in cut]


def test_nothing_of_the_packet_before_is_left(toolbox: Toolbox) -> None:
    tcp, arp = bytes(BUILT["tcp"]), bytes(BUILT["arp"])
    assert parsed(toolbox, [tcp, arp])[1] == expected(arp)


def test_padding_belongs_to_nothing(toolbox: Toolbox) -> None:
    padded = bytes(BUILT["vlan"]) + bytes(range(20))
    (meta,) = parsed(toolbox, [padded])
    assert isinstance(meta, dict)
    assert meta["payload_len"] == 0


@pytest.mark.parametrize("tags", [1, 2, 4, 5, 400])
def test_vlan_tags_are_taken_off_up_to_four(toolbox: Toolbox, tags: int) -> None:
    frame = bytes(BUILT["udp"])
    stacked = frame[:12] + b"".join(b"\x81\x00" + tag.to_bytes(2, "big") for tag in range(1, tags + 1)) + frame[12:]
    (meta,) = parsed(toolbox, [stacked])
    assert meta == expected(stacked)
    assert isinstance(meta, dict)
    assert (meta["kind"], meta["vlan"]) == ((p.UDP, tags) if tags <= 4 else (p.OTHER, 4))


@pytest.mark.parametrize("headers", [1, 8, 9, 30])
def test_extension_headers_are_followed_up_to_eight(toolbox: Toolbox, headers: int) -> None:
    base = bytearray(bytes(BUILT["tcp6"]))
    extensions = b"".join(bytes([6 if k == headers else 60, 0]) + bytes(6) for k in range(1, headers + 1))
    base[18:20] = (len(base) - 54 + len(extensions)).to_bytes(2, "big")
    base[20] = 60
    (meta,) = parsed(toolbox, [bytes(base[:54]) + extensions + bytes(base[54:])])
    assert (meta["kind"] if isinstance(meta, dict) else meta) == (p.TCP6 if headers <= 8 else "bad_ip")


@pytest.mark.parametrize("capture", sorted(path.name for path in CAPTURES.glob("*.pcap")))
def test_captures_are_read_as_the_model_reads_them(toolbox: Toolbox, capture: str) -> None:
    frames = list(captured(capture))
    assert frames
    assert parsed(toolbox, frames) == [expected(frame) for frame in frames]


@pytest.mark.parametrize("capture", ["TcpPacketWithOptions", "VlanPackets", "ipv4-options", "IcmpPackets"])
def test_captures_are_read_as_scapy_reads_them(toolbox: Toolbox, capture: str) -> None:
    seen = 0
    for frame in captured(f"{capture}.pcap"):
        (meta,) = parsed(toolbox, [frame])
        packet = Ether(frame)
        if isinstance(meta, dict) and meta["kind"] in (p.TCP, p.UDP):
            transport = packet[TCP if meta["kind"] == p.TCP else UDP]
            assert (transport.sport, transport.dport) == (meta["sport"], meta["dport"])
            assert (packet[IP].src, packet[IP].dst) == (dotted(meta["src"]), dotted(meta["dst"]))
            seen += 1
        elif isinstance(meta, dict) and meta["ip_version"]:
            assert packet.haslayer(IP) or packet.haslayer(IPv6)
            seen += 1
    assert seen


def dotted(address: int) -> str:
    return ".".join(map(str, address.to_bytes(4, "big")))


@FAST
@given(st.lists(spoilt(), min_size=1, max_size=8))
def test_spoilt_frames_are_read_as_the_model_reads_them(toolbox: Toolbox, frames: list[bytes]) -> None:
    assert parsed(toolbox, frames) == [expected(frame) for frame in frames]


@FAST
@given(spoilt(), st.integers(14, 80))
def test_frames_in_segments_are_read_as_the_model_reads_them(toolbox: Toolbox, frame: bytes, segment: int) -> None:
    assert parsed(toolbox, [frame], segment) == [expected(frame, segment)]


def test_a_jumbo_frame_is_recognized_without_looking_behind_its_first_segment(toolbox: Toolbox) -> None:
    jumbo = bytes(Ether() / IP() / UDP(sport=1, dport=2) / bytes(8000))
    assert parsed(toolbox, [jumbo]) == [expected(jumbo, 2048)]
    assert expected(jumbo, 2048)["kind"] == p.SEGMENTED
