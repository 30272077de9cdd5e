"""What arrives in IP fragments is taken as if it had come whole."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.endpoint.rig import OUR_MAC, OUR_PORT, OURS, OURS6, THEIR_MAC, THEIR_PORT, THEIRS, THEIRS6, Rig, intact

DATA = random.Random(1).randbytes(1400)


@pytest.fixture(params=[False, True], ids=["IPv4", "IPv6"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(ip6=request.param)


def cut(packet: Packet, size: int = 600) -> list[Packet]:
    """In fragments; one IPv6 fragment that is everything, if it is not longer."""
    if packet.haslayer(IPv6):
        return fragment6(packet[IPv6], size)
    return fragment(packet, size)


def ping(rig: Rig, data: bytes = DATA) -> Packet:
    if rig.ip6:
        return IPv6(src=THEIRS6, dst=OURS6) / IPv6ExtHdrFragment(id=1) / ICMPv6EchoRequest(id=7, seq=8, data=data)
    return IP(src=THEIRS, dst=OURS, id=1) / ICMP(id=7, seq=8) / Raw(data)


def test_a_ping(rig: Rig) -> None:
    pieces = cut(ping(rig))
    for piece in reversed(pieces):
        assert rig.take() == []
        rig.put(piece)
    [answer] = rig.take()
    assert intact(answer)
    assert (answer[ICMPv6EchoReply].data if rig.ip6 else answer[ICMP].load) == DATA
    assert (rig.host.counters, rig.host.network.fragments.drops()) == ({}, {})


def test_a_ping_longer_than_the_link_takes(rig: Rig) -> None:
    for piece in cut(ping(rig, bytes(1900))):
        rig.put(piece)
    answers = rig.take()
    assert [(len(answer), intact(answer)) for answer in answers] == ([] if rig.ip6 else [(1514, True)])
    assert rig.host.counters == ({"too_long": 1} if rig.ip6 else {})


def test_a_connection(rig: Rig) -> None:
    fd = rig.listening()
    rig.shakes_hands()
    fd = rig.done(f"ACCEPT {fd}")
    tcp = TCP(sport=THEIR_PORT, dport=OUR_PORT, flags="PA", seq=(rig.irs + 1) % 2**32, ack=(rig.iss + 1) % 2**32)
    ip = rig.from_peer() / IPv6ExtHdrFragment(id=9) if rig.ip6 else rig.from_peer(id=9)
    for piece in cut(ip / tcp / Raw(DATA)):
        rig.put(piece)
    assert rig.done(f"READ {fd} 5000") == len(DATA)


def test_what_waits_is_counted_and_ends(rig: Rig) -> None:
    first, *others = cut(ping(rig))
    rig.put(first)
    assert rig.host.network.fragments.drops() == {"reassemble.unfinished": 1}
    rig.advance(60_001)
    for piece in others:
        rig.put(piece)
    assert rig.take() == []
    assert rig.host.network.fragments.drops() == {"reassemble.timed_out": 1, "reassemble.unfinished": len(others)}


def test_fragments_for_others_are_not_kept(rig: Rig) -> None:
    for piece in cut(ping(rig)):
        piece.dst = "2001:db8::3" if rig.ip6 else "10.0.0.3"
        if not rig.ip6:
            del piece.chksum
        rig.put(piece)
    assert rig.host.counters["not_for_us"] == len(cut(ping(rig)))
    assert rig.host.network.fragments.drops() == {}


@pytest.mark.parametrize("rig", [True], indirect=True)
def test_an_ip6_fragment_that_is_everything(rig: Rig) -> None:
    rig.listening()
    syn = TCP(sport=THEIR_PORT, dport=OUR_PORT, flags="S", seq=rig.irs)
    rig.put(IPv6(src=THEIRS6, dst=OURS6) / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=3) / syn)
    [answer] = rig.take()
    assert (intact(answer), answer[TCP].flags) == (True, "SA")


@pytest.mark.parametrize("rig", [True], indirect=True)
def test_neighbour_discovery_in_a_fragment_is_not_believed(rig: Rig) -> None:
    """RFC 6980."""
    rig.put(IPv6(src=THEIRS6, dst=OURS6, hlim=255) / IPv6ExtHdrFragment(id=3) / ICMPv6ND_NS(tgt=OURS6))
    assert rig.take() == []
    assert rig.host.network.fragments.drops() == {"reassemble.malformed": 1}


def test_nonsense_in_fragments(rig: Rig) -> None:
    """A mistake of ours would be an error."""
    dice = random.Random(5)
    for number in range(200):
        packet = rig.from_peer(**({} if rig.ip6 else {"id": number % 3}))
        inner = dice.choice((TCP(dport=OUR_PORT), UDP(), Raw(bytes(dice.randrange(40)))))
        if rig.ip6:
            packet /= IPv6ExtHdrFragment(id=number % 3, offset=dice.choice((0, 0, 1, 2, 8191)), m=dice.randrange(2))
        else:
            packet.frag, packet.flags = dice.choice((0, 1, 2, 8191)), dice.choice(("MF", "MF", 0))
        whole = bytes(packet / inner / Raw(dice.randbytes(dice.choice((0, 8, 9, 64)))))
        cut_off = dice.choice((len(whole), len(whole), dice.randrange(20, len(whole))))
        rig.host.frame(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC, type=0x86DD if rig.ip6 else 0x0800)) + whole[:cut_off])
    drops = rig.host.network.fragments.drops()
    assert {"reassemble.malformed", "reassemble.overlap"} <= drops.keys()
    assert sum(drops.values()) > 50
