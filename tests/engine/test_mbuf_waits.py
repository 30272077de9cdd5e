"""More to send than there are mbufs: what does not leave now leaves a moment later, and was never lost."""

from __future__ import annotations

import ctypes

import numpy as np
from scapy.layers.inet import TCP

from dpdk_io.memory import aligned
from operators.transfer_settings import Transfer
from pipeline.testing import alloc_bulk, free_bulk
from tests.engine.host import Host, server
from tests.engine.peer import Peer, read

MSS = 1460
WINDOW = 10
"""Segments of an initial window."""
FOR_FRAMES = 8
"""Mbufs for what arrives: too few for the loop to take any."""


def take_all_but(host: Host, left: int) -> np.ndarray:
    """The mbufs that are free, but for *left* spare ones."""
    host.run()
    core, pool = host.bench.core.record, host.bench.pool(0)
    spare = (ctypes.c_int64 * int(core.spare_count)).from_address(int(core.spare))[left:]
    core.spare_count = left
    free = int(host.bench._words[4]) - FOR_FRAMES
    words = aligned(free + len(spare), np.int64)
    assert alloc_bulk(pool, words.ctypes.data, free) == free
    words[free:] = spare
    return words


def give_back(host: Host, words: np.ndarray) -> None:
    """The loop can have them in the next turn."""
    free_bulk(host.bench.pool(0), words.ctypes.data, len(words))
    assert host.run() == []


def test_a_window_leaves_as_mbufs_come() -> None:
    host = server(serve=Transfer(WINDOW * MSS, 0, headed=False))
    peer = Peer(host)
    peer.send("S", options=[("MSS", MSS), ("SAckOK", b"")])
    taken = take_all_but(host, 3)
    first = peer.send("A")
    assert [answer[TCP].seq for answer in first] == [(peer.ack - k * MSS) % 2**32 for k in (4, 3, 2, 1)]
    assert host.run() == []
    host.advance(5)
    assert host.run() == []
    assert host.counters("server")["mbuf_waits"] == 1

    give_back(host, taken)
    rest = [read(frame) for frame in host.run()]
    assert [answer[TCP].seq for answer in rest] == [(peer.ack + k * MSS) % 2**32 for k in range(WINDOW - 4)]
    assert "Retransmissions" not in host.counters("server")
    assert host.counters("server")["BytesSent"] == WINDOW * MSS
    assert host.drops() == {}


def test_the_next_segment_of_the_peer_is_answered_sooner() -> None:
    host = server(serve=Transfer(WINDOW * MSS, 0, headed=False))
    peer = Peer(host)
    peer.send("S", options=[("MSS", MSS), ("SAckOK", b"")])
    taken = take_all_but(host, 3)
    peer.send("A")
    give_back(host, taken)
    assert len(peer.send("A")) == WINDOW - 4
    host.advance(5)
    assert host.run() == []
    assert host.counters("server")["mbuf_waits"] == 1
