"""Clients that are held: established, silent, and exact when they speak."""

from __future__ import annotations

from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from tcp.connection import ESTABLISHED
from tests.engine.equalities import assert_once_each
from tests.engine.host import CLIENT_IP, CLIENT_MAC, SERVER_IP, SERVER_MAC, Host, client, mac_word, server
from tests.engine.hostile import tcp_frame
from tests.engine.wire import ACK, FIN, PSH, SYN, Wire, segment

PORT = 45000


def test_all_are_established_before_the_first_one_speaks() -> None:
    near, far = client(wanted=50, max_open=50, hold_ms=5000), server()
    wire = Wire(near, far)
    wire.run()
    assert (near.engine.conns["state"] == ESTABLISHED).sum() == (far.engine.conns["state"] == ESTABLISHED).sum() == 50
    near.engine.look()
    assert near.engine.max_established["client"] == 50
    wire.advance(4990)
    wire.run()
    assert "SentPayload" not in near.counters("client")
    wire.advance(20)
    wire.run()
    assert_once_each(near.counters("client"), far.counters("server"), 50)


class Remote:
    """A client held for a second, whose peer is the test: SYN and SYN-ACK have been exchanged."""

    def __init__(self) -> None:
        self.host = Host(
            SERVER_IP,
            SERVER_MAC,
            targets=[(CLIENT_IP, PORT, mac_word(CLIENT_MAC))],
            client_ports=[50000],
            wanted=1,
            hold_ms=1000,
            limits={"delack_ms": 0},
        )
        (syn,) = map(segment, self.host.run())
        assert syn.flags == SYN
        self.seq, self.ack = 1000, (syn.seq + 1) % 2**32
        (ack,) = self.say(SYN | ACK)
        assert ack.flags == ACK
        self.seq += 1

    def say(self, flags: int, data: bytes = b"", back: int = 0) -> list:
        frame = tcp_frame(PORT, 50000, self.seq - back, self.ack, flags, data=data)
        return [segment(answer) for answer in self.host.run([frame])]


def test_what_the_peer_says_changes_nothing_of_when() -> None:
    remote = Remote()
    remote.host.advance(500)
    assert remote.say(ACK) == []
    assert [answer.flags for answer in remote.say(ACK, back=1)] == [ACK], "a keep-alive probe"
    assert [answer.size for answer in remote.say(ACK | PSH, b"220 hello")] == [0]
    remote.seq += 9
    remote.host.advance(490)
    assert remote.host.run() == []
    remote.host.advance(15)
    (first,) = map(segment, remote.host.run())
    assert (first.size, first.ack) == (16, remote.seq)


def test_a_peer_that_closes_is_answered_at_once() -> None:
    remote = Remote()
    (answer,) = remote.say(FIN | ACK)
    assert answer.flags & FIN
    remote.seq, remote.ack = remote.seq + 1, remote.ack + 1
    assert remote.say(ACK) == []
    assert remote.host.counters("client")["completed"] == 1
    remote.host.advance(2000)
    assert remote.host.run() == []


def test_our_fin_is_sent_again_in_its_own_time() -> None:
    """Nothing of having been held is left once the peer has closed."""
    remote = Remote()
    assert [answer.flags for answer in remote.say(FIN | ACK)] == [FIN | ACK]
    remote.host.advance(400)
    (again,) = map(Ether, remote.host.run())
    assert again[TCP].flags == "FA"


def test_a_held_connection_that_is_reset_is_over() -> None:
    remote = Remote()
    assert remote.say(4) == []
    assert remote.host.counters("client")["PassiveRst"] == 1
    remote.host.advance(2000)
    remote.host.run()
    assert "SentPayload" not in remote.host.counters("client")
