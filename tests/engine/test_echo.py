"""What a server sends back: messages of our own clients out of nothing, anything else out of a ring of a bounded pool."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from dpdk_io.jit import JIT
from tests.engine.equalities import assert_once_each
from tests.engine.host import Host, client, server
from tests.engine.peer import Peer, told
from tests.engine.wire import Wire

FOREVER = 1_000_000


def rings_free(host: Host) -> int:
    (block,) = [kept for kept in host.engine._kept if getattr(kept, "address", 0) == int(host.engine.record.echo_rings)]
    return int(block.record.free)


def own(period: int, count: int, name: bytes = b"TEAP\xfe\xff\xff\xff\x01\x00\x00\x0a\x40\x9c\x07\x00") -> bytes:
    """*count* messages of one of our clients."""
    return (name[:period] + bytes(k & 0xFF for k in range(len(name), period))) * count


@pytest.mark.parametrize("payload", [1, 3, 7, 12, 16, 17, 100, 1460, 5000, 20000])
def test_our_own_clients_need_no_ring(payload: int) -> None:
    near, far = client(payload=payload, wanted=40, max_open=20, expect_echo=True), server(payload=payload, echo_rings=1)
    Wire(near, far).run()
    assert rings_free(far) == 1
    assert_once_each(near.counters("client"), far.counters("server"), 40)
    assert near.counters("client")["expected"] == 40
    assert near.counters("client")["BytesReceived"] == 40 * payload


def test_a_request_of_the_users_needs_no_ring_either() -> None:
    request = b"a question, " * 300
    near, far = client(request=request, wanted=5, fin_by_client=2), server(request=request, echo_rings=1, fin_by_server=9)
    Wire(near, far).run()
    assert rings_free(far) == 1
    assert near.counters("client")["BytesReceived"] == 5 * len(request)


@settings(max_examples=60 if JIT else 15, deadline=None)
@given(
    st.sampled_from([5, 16, 40]),
    st.integers(0, 6),
    st.binary(max_size=60).filter(lambda data: data[:1] != b"\xd4"),  # begins like the header of a transfer
    st.lists(st.integers(1, 30), max_size=40),
    st.sets(st.integers(0, 20)),
)
def test_any_stream_comes_back(period: int, count: int, foreign: bytes, cuts: list[int], unread: set[int]) -> None:
    """Messages of ours and then anything else, in any pieces, some of them acknowledged late, and sent again in between."""
    host = server(payload=period, fin_by_server=FOREVER)
    peer = Peer(host)
    peer.connect()
    data = own(period, count) + foreign
    at = piece = 0
    while at < len(data):
        size = cuts[piece] if piece < len(cuts) else 1400
        ack = peer.ack
        peer.send("A", data[at : at + size], ack=ack)
        if piece in unread:
            host.advance(3000)
            again = b"".join(told(answer)[3] for answer in peer.take([]) + peer.take(host.run()))
            assert again == b"" or again in peer.received
        at, piece = at + size, piece + 1
    for _ in range(40):
        peer.take([peer.segment("A")])
    assert peer.received == data


def test_bytes_under_way_move_into_the_ring() -> None:
    """What was made of nothing, and is not acknowledged, must be there to be sent again when the stream stops being ours."""
    host = server(payload=16, fin_by_server=FOREVER)
    peer = Peer(host)
    peer.connect()
    start = peer.ack
    peer.send("PA", own(16, 3), ack=start)
    peer.send("PA", b"and now for something", ack=start)
    assert rings_free(host) == min(host.engine.settings.echo_rings, 1024) - 1
    host.advance(1500)
    answers = [told(answer) for answer in peer.take([]) + [*map(_read, host.run())]]
    assert answers[0][1] == start
    assert (own(16, 3) + b"and now for something").startswith(answers[0][3])
    for _ in range(4):
        peer.take([peer.segment("A")])
    assert peer.received == own(16, 3) + b"and now for something"


def _read(frame: bytes):
    from tests.engine.peer import read

    return read(frame)


def test_without_a_ring_left_a_connection_is_reset_and_counted() -> None:
    host = server(echo_rings=2, fin_by_server=2)
    peers = [Peer(host, 40000 + k) for k in range(4)]
    for peer in peers:
        peer.connect()
    for peer in peers[:2]:
        peer.send("PA", b"foreign")
        assert peer.received == b"foreign"
    (answer,) = peers[2].send("PA", b"foreign")
    assert (answer[TCP].flags, answer[TCP].seq) == ("R", peers[2].ack)
    counters = host.counters("server")
    assert (counters["no_echo_ring"], counters["ActiveRst"], counters["failed"], counters["SentRst"]) == (1, 1, 1, 1)
    peers[3].send("PA", own(16, 1))
    assert peers[3].received == own(16, 1)
    peers[0].send("PA", b" bytes")
    peers[0].finish()
    assert rings_free(host) == 1, "TIME_WAIT needs none"
    late = Peer(host, 50000)
    late.connect()
    late.send("PA", b"welcome")
    assert late.received == b"welcome"
    for peer in (peers[1], late):
        peer.send("R")
    assert rings_free(host) == 2
    host.assert_all_mbufs_free()
