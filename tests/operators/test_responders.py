"""arp_responder, icmp_echo, reply and macswap: what comes back, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.operators.conftest import Toolbox
from tests.operators.frames import BUILT, ETHER
from tests.operators.models import checksum

OURS, PEER, ALL = "02:00:00:00:00:0b", "02:00:00:00:00:0a", "ff:ff:ff:ff:ff:ff"
MAC, IP_OURS, MASK_24 = 0x02000000000B, 0x0A040506, 0xFFFFFF00
REQUEST = Ether(src=PEER, dst=ALL) / ARP(hwsrc=PEER, psrc="10.4.5.9", pdst="10.4.5.6")
PING = Ether(src=PEER, dst=OURS) / IP(src="10.4.5.9", dst="10.4.5.6", ttl=3) / ICMP(id=7, seq=8) / b"hello"


def rebuilt(packet: Packet) -> bytes:
    """The packet with every checksum computed anew."""
    packet = packet.copy()
    for layer in (IP, ICMP, TCP, UDP):
        if packet.haslayer(layer):
            del packet[layer].chksum
    return bytes(packet)


@pytest.mark.parametrize("tag", [None, 5])
def test_an_arp_request_for_our_address_is_answered_in_place(toolbox: Toolbox, tag: int | None) -> None:
    request = REQUEST if tag is None else Ether(src=PEER, dst=ALL) / Dot1Q(vlan=tag) / REQUEST[ARP]
    padding = bytes(18)
    outcome = toolbox.one("arp_responder", bytes(request) + padding, ip=IP_OURS, mac=MAC)
    answer = Ether(src=OURS, dst=PEER)
    if tag is not None:
        answer /= Dot1Q(vlan=tag)
    answer /= ARP(op=2, hwsrc=OURS, psrc="10.4.5.6", hwdst=PEER, pdst="10.4.5.9")
    assert (outcome.verdict, outcome.frame) == ("tx", bytes(answer) + padding)


@pytest.mark.parametrize(
    ("last", "verdict"), [(4, "slow"), (5, "slow"), (6, "tx"), (7, "tx"), (255, "tx"), (256, "tx"), (260, "tx"), (261, "slow")]
)
def test_addresses_in_a_row_are_answered_for(toolbox: Toolbox, last: int, verdict: str) -> None:
    """255 of them, across the end of a byte."""
    address = f"10.4.{5 + last // 256}.{last % 256}"
    request = Ether(src=PEER, dst=ALL) / ARP(hwsrc=PEER, psrc="10.4.5.1", pdst=address)
    outcome = toolbox.one("arp_responder", bytes(request), ip=IP_OURS, count=255, mac=MAC)
    assert outcome.verdict == verdict
    ping = Ether(src=PEER, dst=OURS) / IP(src="10.4.5.1", dst=address) / ICMP(id=7, seq=8) / b"hello"
    outcome = toolbox.one("icmp_echo", bytes(ping), ip=IP_OURS, mask=0xFFFFFFFF, count=255)
    assert outcome.verdict == verdict
    if verdict == "tx":
        assert Ether(outcome.frame)[IP].src == address


def test_a_whole_range_is_answered_for(toolbox: Toolbox) -> None:
    for address, verdict in (("10.4.5.6", "tx"), ("10.4.5.255", "tx"), ("10.4.6.6", "slow")):
        request = Ether(src=PEER, dst=ALL) / ARP(hwsrc=PEER, psrc="10.4.5.9", pdst=address)
        outcome = toolbox.one("arp_responder", bytes(request), ip=IP_OURS, mask=MASK_24, mac=MAC)
        assert outcome.verdict == verdict
        if verdict == "tx":
            assert Ether(outcome.frame)[ARP].psrc == address


@pytest.mark.parametrize(
    "changed",
    [
        {"op": 2}, {"pdst": "10.4.5.7"}, {"psrc": "10.4.5.6"}, {"hwsrc": OURS}, {"hwsrc": ALL}, {"hwtype": 6}, {"ptype": 0x86DD},
        {"hwlen": 8}, {"plen": 16},
    ],
    ids=str,
)  # fmt: skip
def test_other_arp_goes_on_as_it_came(toolbox: Toolbox, changed: dict[str, object]) -> None:
    frame = bytes(
        Ether(src=PEER, dst=ALL)
        / ARP(**{"hwsrc": PEER, "psrc": "10.4.5.9", "pdst": "10.4.5.6", "hwlen": 6, "plen": 4, **changed})
    )
    outcome = toolbox.one("arp_responder", frame, ip=IP_OURS, mac=MAC)
    assert (outcome.verdict, outcome.frame) == ("slow", frame)


@pytest.mark.parametrize("size", [0, 1, 5, 56, 1471])
def test_a_ping_is_answered(toolbox: Toolbox, size: int) -> None:
    data = bytes(range(256)) * 6
    ping = Ether(src=PEER, dst=OURS) / IP(src="10.4.5.9", dst="10.4.5.6", ttl=3, id=99) / ICMP(id=7, seq=8) / data[:size]
    answer = (
        Ether(src=OURS, dst=PEER) / IP(src="10.4.5.6", dst="10.4.5.9", ttl=64, id=99) / ICMP(type=0, id=7, seq=8) / data[:size]
    )
    outcome = toolbox.one("icmp_echo", bytes(ping), ip=IP_OURS, mask=0xFFFFFFFF)
    assert (outcome.verdict, outcome.frame) == ("tx", bytes(answer))


@pytest.mark.parametrize("size", [1473, 1474, 2006])
def test_an_answer_too_long_for_the_link_loses_its_end(toolbox: Toolbox, size: int) -> None:
    """RFC 1122 section 3.2.2.6."""
    data = bytes(range(256)) * 8
    ping = Ether(src=PEER, dst=OURS) / IP(src="10.4.5.9", dst="10.4.5.6", id=99) / ICMP(id=7, seq=8) / data[:size]
    answer = Ether(src=OURS, dst=PEER) / IP(src="10.4.5.6", dst="10.4.5.9", ttl=64, id=99) / ICMP(type=0, id=7, seq=8)
    outcome = toolbox.one("icmp_echo", bytes(ping), ip=IP_OURS, mask=0xFFFFFFFF)
    assert (outcome.verdict, outcome.frame) == ("tx", bytes(answer / data[:1472]))
    toolbox.run("icmp_echo", [], ip=IP_OURS, mask=0xFFFFFFFF)
    (spread,) = toolbox.bench.run([bytes(ping) + bytes(600)], segment=size + 42)
    assert (spread.verdict, spread.frame) == ("slow", bytes(ping) + bytes(600))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=40))
def test_answers_have_right_checksums(toolbox: Toolbox, ttl: int, ident: int, icmp_id: int, seq: int, data: bytes) -> None:
    ping = ETHER / IP(src="10.4.5.9", dst="10.4.5.6", ttl=ttl, id=ident) / ICMP(id=icmp_id, seq=seq) / Raw(data)
    frame = toolbox.one("icmp_echo", bytes(ping)).frame
    assert checksum(frame[14:34]) == 0
    assert checksum(frame[34:]) == 0
    assert frame[34:36] == b"\0\0"


@pytest.mark.parametrize(
    "other",
    [
        Ether(bytes(PING).replace(bytes([10, 4, 5, 6]), bytes([10, 4, 5, 7]))),
        Ether(src=PEER, dst=ALL) / PING[IP],
        ETHER / IP(src="224.0.0.1", dst="10.4.5.6") / ICMP(),
        ETHER / IP(src="10.4.5.9", dst="10.4.5.6") / ICMP(type=0),
        ETHER / IP(src="10.4.5.9", dst="10.4.5.6") / ICMP(type=3),
        ETHER / IP(src="10.4.5.9", dst="10.4.5.6", flags="MF") / ICMP() / bytes(8),
        ETHER / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(),
        ETHER / IPv6(src="fd00::1", dst="fd00::2", nh=1) / ICMP(),
        BUILT["tcp"],
    ],
    ids=["not for us", "broadcast", "from a group", "an answer", "unreachable", "fragment", "v6", "v4 in v6", "tcp"],
)
def test_what_is_no_ping_for_us_goes_on_as_it_came(toolbox: Toolbox, other: Packet) -> None:
    frame = rebuilt(other)
    outcome = toolbox.one("icmp_echo", frame, ip=IP_OURS, mask=0xFFFFFFFF)
    assert (outcome.verdict, outcome.frame) == ("slow", frame)


def test_a_ping_to_a_group_is_not_answered(toolbox: Toolbox) -> None:
    assert toolbox.one("icmp_echo", bytes(ETHER / IP(src="10.4.5.9", dst="239.1.1.1") / ICMP())).verdict == "slow"


def test_a_damaged_ping_is_dropped_and_counted(toolbox: Toolbox) -> None:
    frame = bytearray(bytes(PING))
    frame[-1] ^= 1
    before = toolbox.drops().get("icmp_echo.bad_checksum", 0)
    assert toolbox.one("icmp_echo", bytes(frame)).verdict == "drop"
    assert toolbox.drops()["icmp_echo.bad_checksum"] == before + 1


@pytest.mark.parametrize(
    "name", ["tcp", "udp", "vlan", "ip options", "tcp6", "udp6 behind extensions", "echo", "arp", "fragment"]
)
def test_reply_swaps_what_there_is_and_keeps_checksums_right(toolbox: Toolbox, name: str) -> None:
    packet = Ether(bytes(BUILT[name]))
    outcome = toolbox.one("reply", bytes(packet))
    for layer, one, other in (
        (Ether, "src", "dst"), (IP, "src", "dst"), (IPv6, "src", "dst"), (TCP, "sport", "dport"), (UDP, "sport", "dport"),
    ):  # fmt: skip
        if packet.haslayer(layer) and not (name == "fragment" and layer is UDP):
            head = packet[layer]
            mine, yours = getattr(head, one), getattr(head, other)
            head.setfieldval(one, yours)
            head.setfieldval(other, mine)
    assert outcome.verdict == "tx"
    assert outcome.frame == bytes(packet)
    if name != "fragment":
        assert rebuilt(Ether(outcome.frame)) == outcome.frame


@given(st.binary(min_size=14, max_size=300))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_macswap_swaps_two_addresses_and_nothing_else(toolbox: Toolbox, frame: bytes) -> None:
    frame = frame[:12] + b"\x99\x99" + frame[14:]
    outcome = toolbox.one("macswap", frame)
    assert (outcome.verdict, outcome.frame) == ("tx", frame[6:12] + frame[:6] + frame[12:])
