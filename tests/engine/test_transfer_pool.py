"""A server that is told nothing has TRANSFERs for some of its connections: they are handed out, run out, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from dpdk_io.jit import JIT
from operators.engine import APP_TRANSFER
from operators.transfer_header import HEADER_LEN
from operators.transfer_settings import Transfer
from tests.engine.host import Host, client, server
from tests.engine.peer import Peer
from tests.engine.test_transfer_header import NUMBER, header, talk
from tests.engine.wire import Wire
from tests.operators.test_pattern import model

TRANSFER_BYTES = 40


def transfers_free(host: Host) -> int:
    (block,) = [kept for kept in host.engine._kept if getattr(kept, "address", 0) == int(host.engine.record.transfer_pool)]
    return int(block.record.free)


def begun(host: Host, port: int, send: int = 100, receive: int = 10, **fields: Any) -> Peer:
    """A peer that has said what it wants, and nothing else yet."""
    peer = Peer(host, port)
    peer.connect()
    peer.send("PA", header(send, receive, **fields))
    return peer


def carry_out(peer: Peer, send: int = 100, receive: int = 10) -> None:
    """All of it, up to the server's FIN."""
    talk(peer, model(NUMBER, 0, send))
    assert (peer.received, peer.fin) == (model(~NUMBER, 0, receive), True)


def close_first(peer: Peer) -> None:
    carry_out(peer)
    peer.finish()


def close_second(peer: Peer) -> None:
    peer.send("FPA", model(NUMBER, 0, 100))
    for _ in range(3):
        peer.send("A")


def leave(peer: Peer) -> None:
    peer.send("FA")
    peer.send("A")


def reset(peer: Peer) -> None:
    peer.send("R")


def be_silent(peer: Peer) -> None:
    peer.host.advance(2000)
    peer.host.run()


def acknowledge_nothing(peer: Peer) -> None:
    peer.send("PA", model(NUMBER, 0, 100))
    for _ in range(9):
        peer.host.advance(900)
        peer.host.run()


def say_too_much(peer: Peer) -> None:
    for _ in range(3):
        peer.send("PA", b"x" * 150)
    peer.host.advance(10)
    peer.host.run()


def begin_again(peer: Peer) -> None:
    """A SYN for what is in TIME_WAIT."""
    close_first(peer)
    peer.seq = (peer.seq + 100_000) % 2**32
    peer.fin = False
    peer.connect()


ENDINGS: dict[Callable[[Peer], None], tuple[dict[str, Any], dict[str, Any], str]] = {
    close_first: ({}, {}, "ActiveClose"),
    close_second: ({}, {}, "PassiveClose"),
    leave: ({}, {}, "PassiveClose"),
    reset: ({}, {}, "PassiveRst"),
    be_silent: ({"limits": {"idle_ms": 1000}}, {}, "Timeout"),
    acknowledge_nothing: ({"limits": {"rto_min": 50, "rto_max": 400, "retries": 3}}, {}, "Timeout"),
    say_too_much: ({"read_rate": 1_000_000, "fin_by_server": 9}, {"send": 100, "receive": 0, "flags": 0}, "ActiveRst"),
    begin_again: ({}, {}, "ActiveClose"),
}
"""With the server's settings, what the header says, and the cause for which the connection is released."""


@pytest.mark.parametrize("time_waits", [0, 8])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_each_ending_gives_it_back(ending: Callable[[Peer], None], time_waits: int) -> None:
    """Once, and the next connection begins with a clean one."""
    own, asked, cause = ENDINGS[ending]
    host = server(transfer_pool=2, time_waits=time_waits, **own)
    other = begun(host, 40001) if ending is not be_silent else None
    taken = transfers_free(host)
    peer = begun(host, 40000, **asked)
    assert transfers_free(host) == taken - 1
    ending(peer)
    assert transfers_free(host) == taken
    assert host.counters("server")[cause] == 1
    close_first(begun(host, 40002))
    if other is not None:
        close_first(other)
    assert transfers_free(host) == 2
    counters = host.counters("server")
    assert not {"no_transfer", "Mismatches"} & set(counters)
    host.assert_all_mbufs_free()


def test_a_header_that_is_none_gives_it_back() -> None:
    host = server(transfer_pool=1)
    peer = Peer(host)
    peer.connect()
    talk(peer, b"\xd4")
    assert transfers_free(host) == 0
    talk(peer, b"\xff" * HEADER_LEN)
    assert peer.fin
    peer.finish()
    assert transfers_free(host) == 1
    assert host.counters("server")["Mismatches"] == 1


def test_with_none_left_a_connection_is_reset_and_counted() -> None:
    host = server(transfer_pool=2, fin_by_server=2)
    held = [begun(host, 40000 + k) for k in range(2)]
    late = Peer(host, 40002)
    late.connect()
    (answer,) = late.send("PA", header(100, 10) + model(NUMBER, 0, 10))
    assert (answer[TCP].flags, answer[TCP].seq) == ("R", late.ack)
    counters = host.counters("server")
    assert (counters["no_transfer"], counters["ActiveRst"], counters["failed"], counters["SentRst"]) == (1, 1, 1, 1)
    assert host.engine.open == 2
    echoed = Peer(host, 40003)
    echoed.connect()
    echoed.send("PA", b"needs none")
    assert echoed.received == b"needs none"
    for peer in held:
        close_first(peer)
    close_first(begun(host, 40002))
    assert transfers_free(host) == 2
    host.assert_all_mbufs_free()


@pytest.mark.parametrize("flags", ["FPA", "PA"])
def test_with_none_left_not_even_a_fin_is_heard(flags: str) -> None:
    host = server(transfer_pool=1)
    held = begun(host, 40000)
    late = Peer(host, 40001)
    late.connect()
    (answer,) = late.send(flags, b"\xd4")
    assert answer[TCP].flags == "R"
    assert host.engine.open == 1
    close_first(held)
    assert transfers_free(host) == 1
    host.assert_all_mbufs_free()


def test_what_still_comes_in_time_wait_disturbs_no_other() -> None:
    """The FIN again, when the TRANSFER is another connection's."""
    host = server(transfer_pool=1)
    peer = begun(host, 40000)
    close_first(peer)
    other = begun(host, 40001, send=200, receive=3000)
    other.send("PA", model(NUMBER, 0, 150))
    (again,) = peer.take([peer.segment("FA", seq=(peer.seq - 1) % 2**32)])
    assert (again[TCP].flags, again[TCP].ack) == ("A", peer.seq)
    talk(other, model(NUMBER, 150, 50))
    assert (other.received, other.fin) == (model(~NUMBER, 0, 3000), True)
    other.finish()
    assert transfers_free(host) == 1
    assert not {"Mismatches", "unexpected"} & set(host.counters("server"))


def test_clients_that_do_not_ask_for_too_much_notice_nothing() -> None:
    near, far = client(wanted=30, max_open=3, transfer=Transfer(3000, 5000, 2)), server(transfer_pool=3)
    wire = Wire(near, far)
    for _ in range(200):
        wire.run()
        wire.advance(50)
    assert near.counters("client")["expected"] == near.counters("client")["completed"] == 30
    assert transfers_free(far) == 3
    assert near.engine.record.transfer_pool == 0, "each of its connections is one"
    assert near.engine.sizes["transfers"] == TRANSFER_BYTES * near.engine.settings.connections


@pytest.mark.parametrize("own", [{"serve": Transfer(5, 5, headed=False), "transfer_pool": 1}, {}, {"transfer_pool": 1 << 20}])
def test_where_each_connection_can_be_one_there_is_no_pool(own: dict[str, Any]) -> None:
    host = server(**own)
    assert host.engine.record.transfer_pool == 0
    assert host.engine.sizes["transfers"] == TRANSFER_BYTES * host.engine.settings.connections


@settings(max_examples=40 if JIT else 10, deadline=None)
@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 4), st.sampled_from([close_first, leave, reset])), max_size=25))
def test_any_coming_and_going(size: int, steps: list[tuple[int, Callable[[Peer], None]]]) -> None:
    """Five peers in turns begin a transfer, or end theirs somehow; what is free is what the open ones have not."""
    host = server(transfer_pool=size)
    open_: dict[int, Peer] = {}
    refused = 0
    for turn, (k, ending) in enumerate(steps):
        if k in open_:
            ending(open_.pop(k))
        elif len(open_) < size:
            open_[k] = begun(host, 41000 + turn)
        else:
            refused += 1
            begun(host, 41000 + turn)
        assert transfers_free(host) == size - len(open_)
        assert len({int(app["transfer"]) for app in _apps(host)}) == len(open_)
    for peer in open_.values():
        close_first(peer)
    counters = host.counters("server")
    assert counters.get("no_transfer", 0) == counters.get("ActiveRst", 0) == refused
    assert "Mismatches" not in counters
    assert transfers_free(host) == size


def _apps(host: Host) -> Any:
    """The application sides of connections that are transfers."""
    apps = host.engine.apps
    used = host.engine.conns["state"] != 0
    return apps[used & (apps["app_bits"] & APP_TRANSFER != 0)]
