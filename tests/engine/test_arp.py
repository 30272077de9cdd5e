"""Next hops: asked for by ARP, learned from what they say, and nobody else's business."""

from __future__ import annotations

import pytest
from scapy.layers.l2 import ARP, Ether

from tests.engine.host import CLIENT_IP, CLIENT_MAC, LISTEN, SERVER_IP, SERVER_MAC, Host, client
from tests.engine.peer import dotted, mac_text

BROADCAST = "ff:ff:ff:ff:ff:ff"


def asking() -> Host:
    """A host with a next hop whose address is all it knows."""
    return Host(CLIENT_IP, CLIENT_MAC, asked=[SERVER_IP])


def said(operation: str, ip: int, mac: bytes = SERVER_MAC, to: bytes = CLIENT_MAC) -> bytes:
    """What a station with *ip* and *mac* says to us."""
    arp = ARP(op=operation, hwsrc=mac_text(mac), psrc=dotted(ip), hwdst=mac_text(to), pdst=dotted(CLIENT_IP))
    return bytes(Ether(src=mac_text(mac), dst=mac_text(to)) / arp)


def test_the_question() -> None:
    host = asking()
    (frame,) = host.run()
    packet = Ether(frame)
    assert (packet.src, packet.dst, len(frame)) == (mac_text(CLIENT_MAC), BROADCAST, 60)
    arp = packet[ARP]
    assert (arp.op, arp.hwtype, arp.ptype, arp.hwlen, arp.plen) == (1, 1, 0x0800, 6, 4)
    assert (arp.hwsrc, arp.psrc) == (mac_text(CLIENT_MAC), dotted(CLIENT_IP))
    assert (arp.hwdst, arp.pdst) == ("00:00:00:00:00:00", dotted(SERVER_IP))
    assert host.neighbours.unknown() == [SERVER_IP]


def test_it_is_asked_four_times_a_second_until_it_is_answered() -> None:
    host = asking()
    assert [len(host.run()) for _ in range(3)] == [1, 0, 0]
    host.advance(240)
    assert host.run() == []
    host.advance(11)
    assert len(host.run()) == 1
    host.run([said("is-at", SERVER_IP)])
    assert host.neighbours.unknown() == []
    host.advance(1000)
    assert host.run() == []
    assert host.state("arp_ask").asked == 2


@pytest.mark.parametrize("operation", ["is-at", "who-has"])
def test_an_address_is_learned_from_answers_and_questions(operation: str) -> None:
    host = asking()
    host.run([said(operation, SERVER_IP)])
    assert int(host.neighbours.mac_word(SERVER_IP)[0]).to_bytes(6, "little") == SERVER_MAC


def test_nothing_is_learned_of_others() -> None:
    host = asking()
    host.run([said("is-at", SERVER_IP + 1), said("is-at", CLIENT_IP), said("is-at", SERVER_IP)[:30]])
    assert host.neighbours.unknown() == [SERVER_IP]


def test_a_client_sends_to_the_mac_it_has_learned() -> None:
    near = Host(CLIENT_IP, CLIENT_MAC, targets=[], wanted=0, asked=[SERVER_IP, SERVER_IP + 9])
    assert len(near.run()) == 2
    word = near.neighbours.mac_word(SERVER_IP + 9)
    user = client(targets=[(SERVER_IP + 9, LISTEN, word)])
    assert user.run() == []
    near.run([said("is-at", SERVER_IP + 9, b"\x02\0\0\0\0\x77")])
    (syn,) = user.run()
    assert syn[:6] == b"\x02\0\0\0\0\x77"
    assert near.neighbours.unknown() == [SERVER_IP]


def test_questions_for_our_address_are_answered() -> None:
    host = asking()
    answer = host.run([said("who-has", SERVER_IP)])[-1]
    arp = Ether(answer)[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc, arp.pdst) == (2, mac_text(CLIENT_MAC), dotted(CLIENT_IP), dotted(SERVER_IP))


def test_a_group_address_is_not_believed() -> None:
    """RFC 1812 section 3.3.2."""
    host = asking()
    host.run([said("is-at", SERVER_IP, b"\x03\0\0\0\0\x01")])
    assert host.neighbours.unknown() == [SERVER_IP]
    assert host.drops() == {"arp_learn.bad_mac": 1}
