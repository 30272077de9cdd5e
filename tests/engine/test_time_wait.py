"""TIME_WAIT at the server, which closes first: how it ends, and what may come meanwhile."""

from __future__ import annotations

import pytest

from tests.engine.host import server
from tests.engine.peer import Peer, told


def closed(host_peer: Peer) -> None:
    """A whole connection that leaves the server in TIME_WAIT."""
    host_peer.connect()
    host_peer.send("PA", b"x")
    host_peer.finish()


def test_a_syn_begins_anew_what_is_in_time_wait() -> None:
    """RFC 9293 section 3.10.7.4, a higher sequence number than was used before."""
    host = server()
    first = Peer(host)
    closed(first)
    second = Peer(host, iss=(first.seq + 1) % 2**32)
    closed(second)
    assert host.counters("server")["completed"] == 2
    old = Peer(host, iss=(second.seq - 100) % 2**32)
    assert [told(a)[:1] for a in old.send("S")] == [("A",)]
    assert host.counters("server")["attempted"] == 2
    host.advance(61_000)
    host.run()
    closed(Peer(host, iss=5))


def test_time_wait_ends_by_itself() -> None:
    host = server(limits={"time_wait_ms": 500})
    peer = Peer(host)
    closed(peer)
    host.advance(490)
    host.run()
    assert [told(a)[0] for a in peer.take([peer.segment("FA", seq=(peer.seq - 1) % 2**32)])] == ["A"]
    host.advance(490)
    host.run()
    assert [told(a)[0] for a in peer.take([peer.segment("FA", seq=(peer.seq - 1) % 2**32)])] == ["A"]
    host.advance(510)
    host.run()
    assert [told(a)[0] for a in peer.take([peer.segment("FA", seq=(peer.seq - 1) % 2**32)])] == ["R"]


@pytest.mark.conformance("lwip:new_max_num_remove_TIME_WAIT")
def test_the_oldest_time_wait_makes_room_counted() -> None:
    host = server(time_waits=3)
    peers = [Peer(host, 40000 + k) for k in range(5)]
    for peer in peers:
        closed(peer)
    assert host.counters("server")["time_wait_evicted"] == 2
    answers = [told(peer.take([peer.segment("FA", seq=(peer.seq - 1) % 2**32)])[0])[0] for peer in peers]
    assert answers == ["R", "R", "A", "A", "A"]


def test_no_time_wait_when_none_is_wanted() -> None:
    host = server(time_waits=0, connections=4)
    for k in range(10):
        closed(Peer(host, 40000 + k))
    assert host.counters("server")["completed"] == 10
    assert host.drops() == {}
