"""A server and a client of transfers made by hand: the header as it is documented, in any pieces; and what is none."""

from __future__ import annotations

import struct

import pytest

from operators.transfer_header import HEADER_LEN
from operators.transfer_settings import Transfer
from tests.engine.host import LISTEN, Host, client, server
from tests.engine.peer import Peer
from tests.engine.wire import SYN, Wire, segment
from tests.operators.test_pattern import model

NUMBER = 7 << 32 | 0x12345678


def header(send: int, receive: int, rounds: int = 1, *, version: int = 1, flags: int = 1, magic: int = 0xD4454150) -> bytes:
    """As docs/tcp.md describes it."""
    return struct.pack("!IBBHQQQII", magic, version, flags, 0, NUMBER, send, receive, rounds, 0)


def talk(peer: Peer, *pieces: bytes) -> None:
    """Say each piece in a segment of its own, and acknowledge all that comes back, until nothing does."""
    for piece in pieces:
        answers = peer.send("PA", piece)
        while any(len(answer["TCP"].payload) or "F" in answer["TCP"].flags for answer in answers):
            if peer.fin:
                return
            answers = peer.send("A")


@pytest.mark.parametrize("size", [1, 3, 4, 39, 40, 41, 1000])
def test_the_header_may_come_in_any_pieces(size: int) -> None:
    whole = header(700, 5000, 2) + model(NUMBER, 0, 1400)
    host = server()
    peer = Peer(host)
    peer.connect()
    begun = -(-HEADER_LEN // size) * size
    talk(peer, *(whole[k : k + size] for k in range(0, begun, size)), whole[begun : begun + 1000], whole[begun + 1000 :])
    assert peer.received == model(~NUMBER, 0, 10_000)
    assert peer.fin
    peer.finish()
    counters = host.counters("server")
    assert (counters["completed"], counters["BytesReceived"]) == (1, 1440)
    assert not {"Mismatches", "unexpected"} & set(counters)


def test_content_other_than_the_pattern_is_verified_only_where_it_is_to_be_the_pattern() -> None:
    for flags, mismatches in ((1, 2), (0, 0)):
        host = server()
        peer = Peer(host)
        peer.connect()
        talk(peer, header(100, 5, flags=flags), b"x" * 50, b"y" * 50)
        assert peer.received == model(~NUMBER, 0, 5)
        peer.finish()
        counters = host.counters("server")
        assert counters.get("Mismatches", 0) == mismatches
        assert counters.get("unexpected", 0) == (mismatches > 0)


@pytest.mark.parametrize(
    "bad",
    [
        header(1, 1, version=2),
        header(1, 1, magic=0xD4454151),
        header(1, 1, 0),
        header(0, 1, 2),
        header(2**63, 1),
        header(1, 2**41),
        header(1, 1, 2**23),
        b"\xd4" * 40,
        b"\xd4\x45\x41\x50\x01\x00\x00\x00" + b"\xff" * 32,
    ],
)
def test_what_is_no_header_of_this_version_is_counted_and_closed(bad: bytes) -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    talk(peer, bad[:3], bad[3:])
    assert (peer.received, peer.fin) == (b"", True)
    peer.finish()
    counters = host.counters("server")
    assert (counters["Mismatches"], counters["unexpected"], counters["completed"]) == (1, 1, 1)


def test_what_only_begins_with_the_same_byte_is_echoed() -> None:
    host = server(payload=100)
    peer = Peer(host)
    peer.connect()
    talk(peer, b"\xd4" * 50)
    assert peer.received == b"\xd4" * 50
    assert "Mismatches" not in host.counters("server")


def test_a_client_that_leaves_early_is_told_apart() -> None:
    """It closes after half of what it had announced: what it is owed is nothing, and the server's side was not as expected."""
    host = server()
    peer = Peer(host)
    peer.connect()
    talk(peer, header(100, 100), model(NUMBER, 0, 50))
    peer.send("FA")
    assert peer.fin
    assert peer.received == b""
    peer.send("A")
    counters = host.counters("server")
    assert (counters["unexpected"], counters["completed"], counters["PassiveClose"]) == (1, 1, 1)
    assert "Mismatches" not in counters


def test_rounds_that_were_asked_for_are_answered_after_a_half_close() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    peer.send("PA", header(10, 4000, 2) + model(NUMBER, 0, 20)[:10])
    peer.send("FPA", model(NUMBER, 10, 10))
    for _ in range(20):
        if peer.fin:
            break
        peer.send("A")
    assert peer.received == model(~NUMBER, 0, 8000)
    counters = host.counters("server")
    assert "unexpected" not in counters


def said_by(host: Host, far: Host) -> bytes:
    """The client's stream."""
    got = bytearray()

    class Note:
        def see(self, frame: bytes) -> None:
            seg = segment(frame)
            if seg.ports[1] == LISTEN and seg.size and not seg.flags & SYN:
                got.extend(frame[54 : 54 + seg.size])

    Wire(host, far, witness=Note()).run()
    return bytes(got)


def test_what_a_client_says_is_as_documented() -> None:
    whole = said_by(client(transfer=Transfer(3000, 10, 2), core=5), server())
    number = 5 << 32 | 1
    assert whole[:8] == header(3000, 10, 2)[:8]
    assert whole[8:16] == number.to_bytes(8, "big")
    assert whole[16:40] == header(3000, 10, 2)[16:]
    assert whole[40:] == model(number, 0, 6000)


def test_foreign_servers_get_the_content_and_nothing_else() -> None:
    whole = said_by(client(transfer=Transfer(3000, 0, headed=False)), server(serve=Transfer(0, 3000, headed=False)))
    assert whole == model(1, 0, 3000)


def test_a_server_that_never_stops_is_left_with_an_rst() -> None:
    """Like chargen: the client has what it wants, and completes by its own reset."""
    near = client(transfer=Transfer(0, 5000, headed=False), expect=b"y" * 1000)
    far = server(serve=Transfer(2_000_000, 0, headed=False), template=None)
    wire = Wire(near, far)
    wire.advance(5)
    wire.run()
    counters = near.counters("client")
    assert (counters["completed"], counters["ActiveRst"], counters["SentRst"]) == (1, 1, 1)
    assert counters["unexpected"] == 1
    assert 5000 < counters["BytesReceived"] < 100_000
    assert far.counters("server")["PassiveRst"] == 1
    assert near.engine.open == far.engine.open == 0
