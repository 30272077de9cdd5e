"""One ACK for all that waits: a burst, and full bursts that follow each other; and what is not kept waiting."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from operators.transfer_settings import Transfer
from tests.engine.host import Host, server
from tests.engine.peer import Peer, read

MSS = 1460
SACK = [("MSS", MSS), ("SAckOK", b"")]
FULL = 32
"""What the port brings at a time."""


def reader() -> Host:
    """A server that takes what comes and says nothing."""
    return server(serve=Transfer(0, 1 << 30, headed=False), window=1 << 20)


def connected(host: Host, port: int = 40000, options: list[tuple[str, object]] = SACK) -> Peer:
    """A peer whose first segment has come, and waits for its ACK."""
    peer = Peer(host, port)
    peer.send("S", options=options)
    peer.send("A")
    assert peer.send("A", bytes(MSS)) == []
    return peer


def texts(peer: Peer, count: int) -> list[bytes]:
    """The next *count* segments."""
    frames = [peer.segment("A", bytes(MSS), seq=(peer.seq + k * MSS) % 2**32) for k in range(count)]
    peer.seq = (peer.seq + count * MSS) % 2**32
    return frames


def answers(host: Host, frames: list[bytes]) -> list[Packet]:
    """What is sent when *frames* come in one burst."""
    return [read(answer) for answer in host.run(frames, burst=len(frames))]


def blocks(answer: Packet) -> list[int]:
    """The sequence numbers that a SACK option names."""
    return [edge for name, value in answer[TCP].options if name == "SAck" for edge in value]


@pytest.mark.conformance("rfc9293:MUST-58", "rfc9293:MUST-59")
@pytest.mark.parametrize("count", [2, 3, FULL - 1])
def test_a_burst_of_text_has_one_ack(count: int) -> None:
    host = reader()
    peer = connected(host)
    (answer,) = answers(host, texts(peer, count))
    assert (answer[TCP].flags, answer[TCP].ack, blocks(answer)) == ("A", peer.seq, [])


def test_each_connection_of_a_burst_has_its_own() -> None:
    host = reader()
    one, other = connected(host), connected(host, 40001)
    said = answers(host, [*texts(one, 3), *texts(other, 4), *texts(one, 2)])
    assert [(answer[TCP].dport, answer[TCP].ack) for answer in said[1:]] == [(40001, other.seq), (40000, one.seq)]
    assert (said[0][TCP].dport, said[0][TCP].ack) == (40000, (one.seq - 2 * MSS) % 2**32)


def test_what_is_early_within_a_burst_is_early_no_more_at_its_end() -> None:
    host = reader()
    peer = connected(host)
    first, second, third, fourth = texts(peer, 4)
    (answer,) = answers(host, [second, fourth, third, first])
    assert (answer[TCP].ack, blocks(answer)) == (peer.seq, [])


def test_what_is_missing_at_the_end_of_a_burst_is_asked_for() -> None:
    host = reader()
    peer = connected(host)
    first, _, third, fourth = texts(peer, 4)
    (answer,) = answers(host, [first, third, fourth])
    gap = (peer.seq - 3 * MSS) % 2**32
    assert (answer[TCP].ack, blocks(answer)) == (gap, [(gap + MSS) % 2**32, peer.seq])


def test_a_peer_that_counts_duplicate_acks_has_each_of_them() -> None:
    host = reader()
    peer = connected(host, options=[("MSS", MSS)])
    _, *later = texts(peer, 4)
    assert [answer[TCP].ack for answer in answers(host, later)] == [(peer.seq - 4 * MSS) % 2**32] * 3


def test_what_came_twice_is_told_each_time() -> None:
    host = reader()
    peer = connected(host)
    first, second = texts(peer, 2)
    said = answers(host, [first, first, second, second])
    start = (peer.seq - 2 * MSS) % 2**32
    middle = (start + MSS) % 2**32
    assert [found for answer in said if (found := blocks(answer))] == [[start, middle], [middle, peer.seq]]


def test_full_bursts_wait_for_each_other_but_not_for_ever() -> None:
    host = reader()
    peer = connected(host)
    said = [answers(host, texts(peer, FULL)) for _ in range(12)]
    assert [len(each) for each in said] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert host.run() == []
    (last,) = map(read, host.run())
    assert last[TCP].ack == peer.seq
    assert host.run() == []


def test_only_one_connection_waits_for_the_port() -> None:
    host = reader()
    one, other = connected(host), connected(host, 40001)
    assert answers(host, texts(one, FULL)) == []
    assert [answer[TCP].dport for answer in answers(host, texts(other, FULL))] == [40001]
    assert host.run() == []
    assert [read(answer)[TCP].dport for answer in host.run()] == [40000]


def test_who_has_more_to_say_does_not_wait_for_the_port() -> None:
    host = server(serve=Transfer(100, FULL * MSS, 2, headed=False), window=1 << 20)
    peer = connected(host)
    said = answers(host, texts(peer, FULL))
    assert [len(answer[TCP].payload) for answer in said] == [100]
