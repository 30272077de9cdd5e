"""A flood of SYNs: what is half open is bounded, cookies serve the others, and who is connected does not notice."""

from __future__ import annotations

import random

import pytest
from scapy.layers.inet import TCP

from tests.engine.host import LISTEN, Host, server
from tests.engine.hostile import tcp_frame
from tests.engine.peer import ISS, Peer, told

BACKLOG = 8


def flood(rng: random.Random, n: int) -> list[bytes]:
    return [tcp_frame(rng.randrange(1, 30000), LISTEN, rng.randrange(2**32), 0, 2) for _ in range(n)]


def flooded(**settings: int) -> Host:
    """A server that has as many connections half open as it keeps."""
    host = server(**{"connections": 64, "syn_backlog": BACKLOG, "fin_by_server": 1000, **settings})
    assert len(host.run(flood(random.Random(1), 200))) == 200
    assert int(host.engine.record.half_open) == BACKLOG
    return host


@pytest.mark.conformance("packetimpact:TCPSynCookie", "rfc9293:MUST-41")
def test_established_connections_go_on_and_the_table_does_not_fill() -> None:
    rng = random.Random(5)
    host = server(connections=64, syn_backlog=BACKLOG, fin_by_server=1000)
    victims = [Peer(host, 40000 + k) for k in range(5)]
    for victim in victims:
        victim.connect()
    for turn in range(20):
        frames = flood(rng, 100)
        assert len(host.run(frames)) == len(frames), "each SYN is answered"
        assert int(host.engine.record.half_open) == BACKLOG
        for victim in victims:
            victim.send("PA", b"%3d" % turn)
    assert all(victim.received == b"".join(b"%3d" % turn for turn in range(20)) for victim in victims)
    counters = host.counters("server")
    assert counters["open"] == counters["max_open"] == 5 + BACKLOG
    again = counters.get("Retransmissions", 0)
    assert counters["RecvSyn"] + counters["syn_cookies_sent"] + again == 5 + 2000
    assert host.drops() == {}


@pytest.mark.conformance("packetimpact:TCPSynCookie")
def test_a_peer_that_means_it_gets_through() -> None:
    host = flooded()
    before = host.counters("server")
    peer = Peer(host, 41000)
    answer = peer.connect(options=[("MSS", 1400), ("WScale", 7)], window=5000)
    assert (answer[TCP].ack, answer[TCP].options, answer[TCP].window) == (ISS + 1, [("MSS", 1460)], 2047)
    peer.send("PA", b"hello")
    assert peer.received == b"hello"
    counters = host.counters("server")
    assert counters["syn_cookies_accepted"] == 1
    grown = {name: counters[name] - before.get(name, 0) for name in ("RecvSyn", "SentSynAck", "RecvSynAck2", "established")}
    assert grown == {"RecvSyn": 1, "SentSynAck": 1, "RecvSynAck2": 1, "established": 1}
    peer.send("FA")
    assert peer.fin
    peer.send("A")
    assert host.counters("server")["completed"] == 1
    assert int(host.engine.record.half_open) == BACKLOG
    host.assert_all_mbufs_free()


def test_the_first_data_serves_as_well_as_the_ack_that_was_lost() -> None:
    host = flooded()
    peer = Peer(host, 41000)
    assert [told(answer)[0] for answer in peer.send("S")] == ["SA"]
    peer.send("PA", b"hello")
    assert peer.received == b"hello"


def test_a_cookie_keeps_the_peers_mss() -> None:
    host = flooded(payload=2000)
    peer = Peer(host, 41000)
    peer.connect(options=[("MSS", 536)])
    sizes = [len(told(answer)[3]) for answer in peer.send("PA", b"x" * 1400)]
    assert max(sizes) == 536


def test_no_cookie_is_believed_that_is_forged_for_another_or_old() -> None:
    host = flooded()
    peer = Peer(host, 41000)
    peer.send("S")
    right = peer.segment("A")
    other = Peer(host, 41001)
    other.seq, other.ack = peer.seq, peer.ack
    for wrong in (
        peer.segment("A", ack=(peer.ack + 1) % 2**32),
        peer.segment("A", ack=(peer.ack + 2**24) % 2**32),
        peer.segment("A", seq=(peer.seq + 1) % 2**32),
        other.segment("A"),
    ):
        (answer,) = host.run([wrong])
        assert TCP(answer[34:]).flags == "R"
    host.advance(140_000)
    host.run()
    (answer,) = host.run([right])
    assert TCP(answer[34:]).flags == "R"
    assert host.counters("server").get("syn_cookies_accepted", 0) == 0


def test_a_cookie_holds_for_a_minute() -> None:
    host = flooded()
    peer = Peer(host, 41000)
    peer.send("S")
    host.advance(66_000)
    host.run()
    peer.send("A")
    assert host.counters("server")["syn_cookies_accepted"] == 1


def test_a_cookie_finds_no_room_in_a_full_table() -> None:
    host = flooded(connections=BACKLOG)
    peer = Peer(host, 41000)
    peer.send("S")
    assert peer.send("A") == []
    assert host.drops() == {"tcp_state.table_full": 1}


def test_after_the_flood_everything_is_as_before() -> None:
    host = flooded(limits={"syn_retries": 2})
    for _ in range(20):
        host.advance(3000)
        host.run()
    assert int(host.engine.record.half_open) == 0
    assert host.counters("server")["failed"] == host.counters("server")["Timeout"] == BACKLOG
    sent = host.counters("server")["syn_cookies_sent"]
    Peer(host, 41000).connect()
    assert host.counters("server")["syn_cookies_sent"] == sent
    host.advance(200_000)
    (answer,) = map(told, Peer(host, 41002).send("A"))
    assert answer[0] == "R"


def test_resets_and_completed_handshakes_leave_the_queue() -> None:
    host = server(syn_backlog=2)
    one, two, three = (Peer(host, 40000 + k) for k in range(3))
    one.send("S")
    two.send("S")
    assert int(host.engine.record.half_open) == 2
    one.send("A")
    assert int(host.engine.record.half_open) == 1
    two.send("R")
    assert int(host.engine.record.half_open) == 0
    three.connect()
    one.send("R")
    three.send("R")
    assert int(host.engine.record.half_open) == 0
    assert host.counters("server").get("syn_cookies_sent", 0) == 0
