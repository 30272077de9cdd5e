"""How connections end: who counts as the one that closed, in whatever order the FINs leave, come and are repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.result import CAUSES
from tests.engine.host import server
from tests.engine.peer import Peer, told

LIMITS = {"fin_wait_2_ms": 500}
FINS = ("SentFin", "SentFinPssv", "RecvFin", "RecvFinPssv", "RecvAck4Fin", "SentAck4Fin")
ACTIVE, PASSIVE = "SentFin RecvFinPssv RecvAck4Fin SentAck4Fin", "RecvFin SentFinPssv RecvAck4Fin SentAck4Fin"


def sends(peer: Peer, flags: str, *answers: str, data: bytes = b"", **fields: int) -> None:
    """The peer's segment gets *answers*, flags of segments."""
    assert [told(answer)[0] for answer in peer.send(flags, data, **fields)] == [*answers]


def repeats(peer: Peer, *answers: str, **fields: int) -> None:
    """The same for the peer's FIN, which was there before."""
    frame = peer.segment("FA", seq=(peer.seq - 1) % 2**32, **fields)
    assert [told(answer)[0] for answer in peer.take([frame])] == [*answers]


def has_repeated(peer: Peer, flags: str) -> None:
    """The server does what it does when nothing was heard."""
    peer.host.advance(3000)
    assert [told(answer)[0] for answer in peer.take([])] == [flags]
    assert peer.host.counters("server")["Retransmissions"] == 1


def server_closes(peer: Peer) -> None:
    sends(peer, "PA", "FPA", data=b"hello")


def both_close(peer: Peer) -> None:
    """The FINs pass each other."""
    server_closes(peer)
    sends(peer, "FA", "A", ack=peer.ack - 1)


def active(peer: Peer) -> None:
    server_closes(peer)
    sends(peer, "A")
    sends(peer, "FA", "A")


def active_and_both_fins_repeated(peer: Peer) -> None:
    server_closes(peer)
    has_repeated(peer, "FPA")
    sends(peer, "FA", "A")
    repeats(peer, "A")


def simultaneous(peer: Peer) -> None:
    both_close(peer)
    sends(peer, "A")


def simultaneous_and_ours_repeated(peer: Peer) -> None:
    both_close(peer)
    has_repeated(peer, "FA")
    sends(peer, "A")


def simultaneous_and_theirs_repeated(peer: Peer) -> None:
    both_close(peer)
    repeats(peer, "A", ack=peer.ack - 1)
    sends(peer, "A")


def simultaneous_and_reset(peer: Peer) -> None:
    both_close(peer)
    sends(peer, "RA")


def passive(peer: Peer) -> None:
    sends(peer, "FA", "FA")
    sends(peer, "A")


def passive_and_both_fins_repeated(peer: Peer) -> None:
    sends(peer, "FA", "FA")
    has_repeated(peer, "FA")
    repeats(peer, "A", ack=peer.ack - 1)
    sends(peer, "A")


def passive_and_reset(peer: Peer) -> None:
    sends(peer, "FA", "FA")
    sends(peer, "RA")


def passive_because_the_window_was_shut(peer: Peer) -> None:
    """The server has closed, but its FIN has not left."""
    sends(peer, "PA", "A", data=b"hello", window=0)
    sends(peer, "FA", "FPA")
    sends(peer, "A")


def passive_because_the_window_was_full(peer: Peer) -> None:
    sends(peer, "PA", "PA", data=b"hello", window=5)
    sends(peer, "FA", "FA")
    sends(peer, "A")


def half_closed_for_too_long(peer: Peer) -> None:
    server_closes(peer)
    sends(peer, "A")
    peer.host.advance(510)
    assert peer.take([]) == []


def reset_when_half_closed(peer: Peer) -> None:
    server_closes(peer)
    sends(peer, "A")
    sends(peer, "RA")


@pytest.mark.parametrize(
    ("course", "cause", "fins"),
    [
        (active, "ActiveClose", ACTIVE),
        (active_and_both_fins_repeated, "ActiveClose", ACTIVE),
        (simultaneous, "ActiveClose", ACTIVE),
        (simultaneous_and_ours_repeated, "ActiveClose", ACTIVE),
        (simultaneous_and_theirs_repeated, "ActiveClose", ACTIVE),
        (simultaneous_and_reset, "ActiveClose", "SentFin RecvFinPssv SentAck4Fin"),
        (passive, "PassiveClose", PASSIVE),
        (passive_and_both_fins_repeated, "PassiveClose", PASSIVE),
        (passive_and_reset, "PassiveClose", "RecvFin SentFinPssv SentAck4Fin"),
        (passive_because_the_window_was_shut, "PassiveClose", PASSIVE),
        (passive_because_the_window_was_full, "PassiveClose", PASSIVE),
        (half_closed_for_too_long, "Timeout", "SentFin RecvAck4Fin"),
        (reset_when_half_closed, "PassiveRst", "SentFin RecvAck4Fin"),
    ],
)
def test_who_closed_is_counted_and_on_record(course: Callable[[Peer], None], cause: str, fins: str) -> None:
    host = server(records=4, limits=LIMITS)
    peer = Peer(host)
    peer.connect()
    course(peer)
    counters = host.engine.counters("server")
    assert {name: counters[name] for name in CAUSES} == {name: int(name == cause) for name in CAUSES}
    assert {name: counters[name] for name in FINS} == {name: int(name in fins.split()) for name in FINS}
    completed = int(cause.endswith("Close"))
    assert (counters["completed"], counters["failed"], counters["open"]) == (completed, 1 - completed, 0)
    (record,) = host.engine.take_records()
    assert CAUSES[record["cause"]] == cause
    host.assert_all_mbufs_free()
