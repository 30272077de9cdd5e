"""Neighbour discovery (RFC 4861): solicitations are answered, next hops asked for, and nothing is believed that is broken."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from apps.addresses import ip_text, link_local
from tests.endpoint.rig import OUR_MAC, OURS6, ROUTER6, THEIR_MAC, THEIRS6, Rig, intact

LINK_LOCAL = ip_text(link_local(bytes.fromhex(OUR_MAC.replace(":", ""))))
GROUPS = {OURS6: ("33:33:ff:00:00:01", "ff02::1:ff00:1"), LINK_LOCAL: ("33:33:ff:00:00:01", "ff02::1:ff00:1")}
SOURCE_MAC = ICMPv6NDOptSrcLLAddr(lladdr=THEIR_MAC)
TARGET_MAC = ICMPv6NDOptDstLLAddr(lladdr=THEIR_MAC)
NEW = "02:00:00:00:00:77"
NEW_MAC = ICMPv6NDOptDstLLAddr(lladdr=NEW)
MOVED = IPv6(src=THEIRS6, dst="ff02::1", hlim=255)


@pytest.fixture
def rig() -> Rig:
    return Rig(neighbours=(), ip6=True)


def solicitation(target: str = OURS6, option: Packet | None = SOURCE_MAC, **fields: Any) -> Packet:
    packet = IPv6(**{"src": THEIRS6, "dst": "ff02::1:ff00:1", "hlim": 255, **fields}) / ICMPv6ND_NS(tgt=target)
    return packet / option if option is not None else packet


def advertisement(target: str = THEIRS6, option: Packet | None = TARGET_MAC, **fields: Any) -> Packet:
    packet = IPv6(**{"src": target, "dst": OURS6, "hlim": 255, **fields}) / ICMPv6ND_NA(tgt=target, S=1, O=1)
    return packet / option if option is not None else packet


def asked(rig: Rig) -> list[tuple[str, str]]:
    """For whom, and from where, was asked since the last look; nothing else was sent, and each question is whole."""
    found = []
    for frame in rig.take():
        assert intact(frame)
        assert len(frame) == 86
        assert (frame[IPv6].hlim, frame[ICMPv6NDOptSrcLLAddr].lladdr, frame.src) == (255, OUR_MAC, OUR_MAC)
        target = frame[ICMPv6ND_NS].tgt
        last = bytes(frame[ICMPv6ND_NS])[21:24]
        assert frame.dst == "33:33:ff:" + last.hex(":")
        assert frame[IPv6].dst == ip_text(0xFF02 << 112 | 0x1FF << 24 | int.from_bytes(last, "big"))
        found.append((target, frame[IPv6].src))
    return found


@pytest.mark.parametrize("target", [OURS6, LINK_LOCAL])
@pytest.mark.parametrize("option", [SOURCE_MAC, None], ids=["mac", "no mac"])
@pytest.mark.parametrize("to", ["group", "station"])
def test_a_solicitation_is_answered(rig: Rig, target: str, option: Packet | None, to: str) -> None:
    mac, group = GROUPS[target] if to == "group" else (OUR_MAC, target)
    rig.put(solicitation(target, option, dst=group), to=mac)
    [frame] = rig.take()
    assert intact(frame)
    assert (frame.src, frame.dst, len(frame)) == (OUR_MAC, THEIR_MAC, 86)
    assert (frame[IPv6].src, frame[IPv6].dst, frame[IPv6].hlim) == (target, THEIRS6, 255)
    answer = frame[ICMPv6ND_NA]
    assert (answer.tgt, answer.R, answer.S, answer.O) == (target, 0, 1, 1)
    assert frame[ICMPv6NDOptDstLLAddr].lladdr == OUR_MAC


def test_the_answer_goes_to_the_mac_that_is_told(rig: Rig) -> None:
    rig.put(solicitation(option=ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:77")))
    assert rig.take()[0].dst == "02:00:00:00:00:77"


def test_who_looks_whether_an_address_is_free_hears_that_it_is_not(rig: Rig) -> None:
    """RFC 4862 section 5.4.4: all nodes do."""
    rig.put(solicitation(option=None, src="::"), to="33:33:ff:00:00:01")
    [frame] = rig.take()
    assert intact(frame)
    assert (frame.dst, frame[IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert (frame[ICMPv6ND_NA].S, frame[ICMPv6ND_NA].O, frame[ICMPv6ND_NA].tgt) == (0, 1, OURS6)


def test_a_solicitation_for_others_is_not_answered(rig: Rig) -> None:
    rig.put(solicitation("2001:db8::1:1"), to="33:33:ff:01:00:01")
    assert rig.take() == []
    assert rig.host.counters == {"not_for_us": 1}


def spoilt(packet: Packet, at: int) -> Packet:
    data = bytearray(bytes(packet))
    data[at] ^= 1
    return Raw(bytes(data))


BROKEN = {
    "from afar": solicitation(hlim=254),
    "from nobody with a mac": solicitation(src="::"),
    "from a group": solicitation(src="ff02::2"),
    "from ourselves": solicitation(src="::1"),
    "mapped": solicitation(src="::ffff:10.0.0.2"),
    "embedded": solicitation(src="::10.0.0.2"),
    "checksum": spoilt(solicitation(), 60),
    "option of no length": solicitation(option=Raw(b"\x01\x00" + bytes(6))),
    "option too long": solicitation(option=Raw(b"\x01\x02" + bytes(6))),
    "piece of an option": solicitation(option=Raw(b"\x01\x01" + bytes(3))),
    "mac of a group": solicitation(option=ICMPv6NDOptSrcLLAddr(lladdr="33:33:00:00:00:01")),
    "target a group": solicitation("ff02::1"),
    "code": IPv6(src=THEIRS6, dst=OURS6, hlim=255) / ICMPv6ND_NS(code=1, tgt=OURS6) / SOURCE_MAC,
    "short": IPv6(src=THEIRS6, dst=OURS6, hlim=255, nh=58) / Raw(bytes(solicitation())[40:63]),
    "behind a header": IPv6(src=THEIRS6, dst=OURS6, hlim=255) / IPv6ExtHdrHopByHop() / ICMPv6ND_NS(tgt=OURS6) / SOURCE_MAC,
    "advertisement from afar": advertisement(hlim=64),
    "advertisement with the mac of a group": advertisement(option=ICMPv6NDOptDstLLAddr(lladdr="33:33:00:00:00:01")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_counted_and_believed_in_nothing(rig: Rig, name: str) -> None:
    """RFC 4861 sections 7.1.1 and 7.1.2."""
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    assert asked(rig) == [(THEIRS6, OURS6)]
    rig.host.frame(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC, type=0x86DD) / BROKEN[name]))
    assert rig.take() == []
    assert rig.host.counters == {"bad_nd": 1}


@pytest.mark.parametrize("source", [THEIRS6, "fe80::5"])
def test_a_next_hop_is_asked_for_and_the_syn_follows_the_answer(rig: Rig, source: str) -> None:
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    assert asked(rig) == [(THEIRS6, OURS6)]
    rig.put(advertisement(src=source))
    [frame] = rig.take()
    assert (frame.dst, frame[IPv6].dst, str(frame[TCP].flags)) == (THEIR_MAC, THEIRS6, "S")
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    assert rig.take()[0].dst == THEIR_MAC


def test_an_address_is_learned_from_a_question_too(rig: Rig) -> None:
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    rig.take()
    rig.put(solicitation())
    syn, answer = rig.take()
    assert (syn.dst, str(syn[TCP].flags)) == (THEIR_MAC, "S")
    assert answer[ICMPv6ND_NA].tgt == OURS6


@pytest.mark.parametrize(
    "packet",
    [advertisement("2001:db8::3"), advertisement(option=None), solicitation(option=None)],
    ids=["another", "none", "no mac"],
)
def test_nothing_is_learned_of_others_or_without_a_mac(rig: Rig, packet: Packet) -> None:
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    rig.take()
    rig.put(packet)
    assert not any(frame.haslayer(TCP) for frame in rig.take())


def test_nobody_answers(rig: Rig) -> None:
    connecting = rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    assert asked(rig) == [(THEIRS6, OURS6)]
    rig.advance(2900)
    assert asked(rig) == [(THEIRS6, OURS6)] * 2
    assert connecting.answer is None
    rig.advance(200)
    assert connecting.pair == (-1, errno.EHOSTUNREACH)


@pytest.mark.parametrize(
    ("packet", "mac"),
    [
        (MOVED / ICMPv6ND_NA(tgt=THEIRS6, S=0, O=1) / NEW_MAC, NEW),
        (MOVED / ICMPv6ND_NA(tgt=THEIRS6, S=0, O=0) / NEW_MAC, THEIR_MAC),
        (MOVED / ICMPv6ND_NA(tgt=THEIRS6, S=0, O=1), THEIR_MAC),
        (MOVED / ICMPv6ND_NA(tgt="2001:db8::3", S=0, O=1) / NEW_MAC, THEIR_MAC),
        (solicitation(option=ICMPv6NDOptSrcLLAddr(lladdr=NEW)), NEW),
        (solicitation("2001:db8::5", option=ICMPv6NDOptSrcLLAddr(lladdr=NEW)), THEIR_MAC),
    ],
    ids=["override", "no override", "no mac", "another", "asks us", "asks others"],
)
@pytest.mark.parametrize("given", [False, True])
def test_a_neighbour_moves(packet: Packet, mac: str, given: bool) -> None:
    """RFC 4861 sections 7.2.3 and 7.2.5. What --neighbour says stays."""
    rig = Rig(neighbours=(THEIRS6,) if given else (), ip6=True)
    rig.begin(f"CONNECT {rig.socket()} {THEIRS6} 80")
    rig.put(advertisement())
    rig.take()
    rig.put(packet, to="33:33:00:00:00:01")
    rig.take()
    rig.advance(1500)
    assert [frame.dst for frame in rig.take()] == [THEIR_MAC if given else mac]


@pytest.mark.parametrize(("gateway", "source"), [(ROUTER6, OURS6), ("fe80::99:1", LINK_LOCAL)])
def test_the_gateway_of_the_family_is_asked_for(gateway: str, source: str) -> None:
    rig = Rig(neighbours=(), gateway=gateway, ip6=True)
    rig.begin(f"CONNECT {rig.socket()} 2001:db8:9::1 80")
    assert asked(rig) == [(gateway, source)]
    far = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"CONNECT {far} 192.0.2.7 80") == (-1, errno.ENETUNREACH)


def test_a_passive_connection_asks_nobody(rig: Rig) -> None:
    rig.listening()
    rig.shakes_hands()
