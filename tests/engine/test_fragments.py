"""Segments and pings that arrive in IP fragments: an engine takes them as it takes others, and counts every one."""

from __future__ import annotations

import random

from scapy.layers.inet import IP, TCP, fragment
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether

from apps.beside import beside_tcp
from tests.engine.host import LISTEN, Host, server
from tests.engine.peer import Peer
from tests.engine.test_ip6 import CLIENT6, ETHER, FROM_CLIENT, SERVER6, checked, server6, syn


def in_fragments(rng: random.Random, frame: bytes, size: int) -> list[bytes]:
    """An IPv4 packet in fragments of *size* bytes, in any order."""
    packet = Ether(frame)
    packet[IP].flags = 0
    packet[IP].id = rng.randrange(65536)
    del packet[IP].chksum
    frames = [bytes(Ether(src=packet.src, dst=packet.dst) / piece) for piece in fragment(packet[IP], size)]
    return rng.sample(frames, len(frames))


def beside(host: Host) -> int:
    return beside_tcp(host.bench.core)["reassemble"]


def test_connections_in_fragments() -> None:
    rng = random.Random(4)
    host = server()
    for port in range(40000, 40005):
        peer = Peer(host, port)
        peer.connect()
        data = rng.randbytes(1200)
        frame = peer.segment("PA", data)
        peer.seq = (peer.seq + len(data)) % 2**32
        peer.take(in_fragments(rng, frame, 400))
        assert peer.received == data
        peer.finish()
    assert host.counters("server")["RecvPayload"] == 5
    assert (host.drops(), beside(host)) == ({}, 5 * 3)
    host.assert_all_mbufs_free()


def test_a_segment_of_which_not_all_has_come() -> None:
    """It holds no mbuf, and the connection goes on with a retransmission."""
    rng = random.Random(5)
    host = server()
    peer = Peer(host)
    peer.connect()
    frame = peer.segment("PA", b"whole" * 200)
    assert peer.take(in_fragments(rng, frame, 400)[:2]) == []
    assert host.drops() == {"reassemble.unfinished": 2}
    host.assert_all_mbufs_free()
    peer.send("PA", b"whole" * 200)
    assert peer.received == b"whole" * 200


def test_fragments_of_ip6() -> None:
    """A SYN in a fragment that is all of it, and a ping."""
    host = server6()
    alone = Ether(syn())
    tcp = bytes(alone[IPv6].payload)
    (answer,) = host.run([bytes(FROM_CLIENT / IPv6ExtHdrFragment(nh=6, id=7) / tcp)])
    assert checked(answer)[TCP].flags == "SA"
    data = random.Random(6).randbytes(1400)
    ping = ETHER / IPv6(src=CLIENT6, dst=SERVER6) / IPv6ExtHdrFragment(id=8) / ICMPv6EchoRequest(id=1, seq=2, data=data)
    (answer,) = host.run([bytes(piece) for piece in reversed(fragment6(ping, 600))])
    assert checked(answer)[ICMPv6EchoReply].data == data
    assert (host.drops(), beside(host)) == ({}, 2)


def test_fragments_in_a_burst() -> None:
    """Whole ones among them: no metadata of another packet is left."""
    rng = random.Random(7)
    host = server()
    peers = [Peer(host, 40000 + k) for k in range(4)]
    for peer in peers:
        peer.connect()
    frames = [piece for peer in peers for piece in in_fragments(rng, peer.segment("PA", bytes(1000)), 504)]
    frames += [peer.segment("PA", bytes(1000)) for peer in peers]
    answers = [Ether(answer)[TCP] for answer in host.run(rng.sample(frames, len(frames)), burst=32)]
    heard = {(answer.sport, answer.dport, answer.ack) for answer in answers if answer.payload}
    assert heard == {(LISTEN, peer.port, (peer.seq + 1000) % 2**32) for peer in peers}
    assert (host.drops(), beside(host)) == ({}, 4 * 2)
