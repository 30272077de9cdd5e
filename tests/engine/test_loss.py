"""A wire that loses: every connection completes all the same, and nothing counts twice."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dpdk_io.jit import JIT
from operators.tcp_engine import http_response
from tests.engine.equalities import assert_once_each
from tests.engine.host import Host, client, server
from tests.engine.wire import Fate, Wire

LIMITS = {"rto_min": 50, "rto_initial": 100, "rto_max": 2000, "syn_retries": 40, "retries": 40}
STEP = 25
BODY = b"body" * (7500 if JIT else 1500)
PATIENCE = 4000
"""Steps of time until every retransmission must have been made."""


def after(
    fate: Fate, wanted: int = 1, max_open: int = 8, both: dict[str, Any] | None = None, **ours: Any
) -> tuple[Host, Host, Wire]:
    """Client, server and wire after *wanted* connections over a wire with *fate*."""
    both = {"limits": LIMITS, **(both or {})}
    near, far = client(wanted=wanted, max_open=max_open, **both, **ours), server(**both)
    wire = Wire(near, far, fate=fate)
    for _ in range(PATIENCE):
        wire.run()
        if near.engine.done and not near.engine.open and not far.engine.open:
            break
        wire.advance(STEP)
    assert_once_each(near.counters("client"), far.counters("server"), wanted, lossless=False)
    assert near.drops() == far.drops() == {}
    for host in (near, far):
        host.assert_all_mbufs_free()
    return near, far, wire


def repeated(*hosts: Host) -> int:
    """Retransmissions of both ends."""
    return sum(host.engine.counters(role)["Retransmissions"] for host in hosts for role in ("client", "server"))


@pytest.mark.parametrize("lost", range(7))
def test_any_one_of_the_seven_packets(lost: int) -> None:
    """The handshake's ACK is no loss at all: the data says the same. Where both ends wait for the other, both repeat."""
    near, far, wire = after(lambda number: number != lost)
    assert len(wire.lost) == 1
    assert repeated(near, far) in {1: (1, 2, 3), 2: (0,), 4: (1, 2), 5: (1, 2)}.get(lost, (1,))
    assert near.counters("client")["expected"] == 1


@pytest.mark.parametrize("first", range(7) if JIT else [1, 4])
def test_any_two_of_the_packets(first: int) -> None:
    for second in range(first + 1, 8):
        near, far, wire = after(lambda number, pair=(first, second): number not in pair)
        assert repeated(near, far) > 0 or len(wire.lost) == 1


@pytest.mark.parametrize(("by_client", "by_server"), [(1, 1000), (1, 1), (2, 3)][: None if JIT else 1])
@pytest.mark.parametrize("lost", range(8))
def test_whoever_closes(lost: int, by_client: int, by_server: int) -> None:
    after(lambda number: number != lost, both={"fin_by_client": by_client, "fin_by_server": by_server})


@pytest.mark.parametrize("lost", [3, 4, 5, 6, 9, 12])
def test_one_of_a_message_of_many_segments(lost: int) -> None:
    both = {"payload": 9000}
    near, far, _ = after(lambda number: number != lost, both=both, max_open=1, expect_echo=True)
    assert near.counters("client")["BytesReceived"] == far.counters("server")["BytesReceived"] == 9000
    assert near.counters("client")["expected"] == 1


@pytest.mark.parametrize("percent", [3, 30])
def test_many_connections_over_a_bad_wire(percent: int) -> None:
    rng = random.Random(percent)
    near, far, wire = after(lambda number: rng.random() * 100 >= percent, wanted=150 if JIT else 15, max_open=40)
    assert repeated(near, far) >= len(wire.lost) // 4


@pytest.mark.parametrize("size", [300, 5000])
def test_messages_over_a_bad_wire(size: int) -> None:
    """Twenty per cent are lost; the echo of what was said again is what was said."""
    rng = random.Random(size)
    both = {"payload": size, "fin_by_server": 3}
    near, _, _ = after(lambda number: rng.random() > 0.2, wanted=12, max_open=4, both=both, expect_echo=True)
    assert near.counters("client")["BytesReceived"] == 3 * 12 * size
    assert near.counters("client")["expected"] == 12


def test_a_response_over_a_bad_wire_is_whole() -> None:
    rng = random.Random(9)
    expected = http_response(BODY)[0]
    near = client(wanted=12, max_open=4, request=b"GET / HTTP/1.0\r\n\r\n", expect=expected, limits=LIMITS)
    far = server(response_kind="http", response=BODY, limits=LIMITS)
    wire = Wire(near, far, fate=lambda number: rng.random() > 0.1)
    for _ in range(PATIENCE):
        wire.run()
        if not near.engine.open and not far.engine.open:
            break
        wire.advance(STEP)
    assert near.counters("client")["expected"] == 12
    assert_once_each(near.counters("client"), far.counters("server"), 12, lossless=False)
