"""Transfers between two engines: sizes, rounds, thinking, slow readers, hooks; over good wires and bad ones."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import TCP

from dpdk_io.callback import Callback
from dpdk_io.jit import JIT, kernel
from dpdk_io.memory import load8, store8
from operators.transfer_header import HEADER_LEN
from operators.transfer_settings import Transfer
from tests.engine import host
from tests.engine.equalities import assert_once_each
from tests.engine.host import LISTEN, Host
from tests.engine.peer import Peer
from tests.engine.wire import SYN, Fate, Wire, segment

AT_ONCE = {"delack_ms": 0}
"""Without delayed ACKs everything happens at one moment where nothing is lost."""
LIMITS = {"rto_min": 50, "rto_initial": 100, "rto_max": 2000, "syn_retries": 40, "retries": 40, **AT_ONCE}
MSS = 1460
MANY = 400_000 if JIT else 20_000
PATIENCE = 4000


def client(**settings: Any) -> Host:
    return host.client(**{"limits": AT_ONCE, **settings})


def server(**settings: Any) -> Host:
    return host.server(**{"limits": AT_ONCE, **settings})


def carry(near: Host, far: Host, *, fate: Fate = lambda number: True, step: float = 25, witness: Any = None) -> int:
    """Let everything be carried; how many steps of time it took."""
    wire = Wire(near, far, fate=fate, witness=witness)
    for steps in range(PATIENCE):
        wire.run()
        if near.engine.done and not near.engine.open and not far.engine.open:
            return steps
        wire.advance(step)
    raise AssertionError(f"{near.counters('client')} {far.counters('server')}")


def assert_carried(near: Host, far: Host, sent: int, received: int, connections: int = 1, lossless: bool = True) -> None:
    """All that was to be sent and received was, verified, and both ends know."""
    ours, theirs = near.counters("client"), far.counters("server")
    assert_once_each(ours, theirs, connections, lossless=lossless)
    assert ours["BytesSent"] == theirs["BytesReceived"] == connections * sent
    assert ours.get("BytesReceived", 0) == connections * received
    assert ours["expected"] == connections
    assert not {"Mismatches", "unexpected"} & {*ours, *theirs}
    assert near.drops() == far.drops() == {}
    for end in (near, far):
        end.assert_all_mbufs_free()


@pytest.mark.parametrize("half_close", [False, True])
@pytest.mark.parametrize(("send", "receive"), [(0, 1), (1, 0), (1, 1), (3, MANY), (MANY, 0), (MANY, 7), (50_000, 60_001)])
def test_sizes(send: int, receive: int, half_close: bool) -> None:
    near = client(wanted=3, max_open=2, transfer=Transfer(send, receive, half_close=half_close))
    far = server()
    assert carry(near, far) == 0
    assert_carried(near, far, HEADER_LEN + send, receive, 3)


@pytest.mark.parametrize("half_close", [False, True])
@pytest.mark.parametrize(("send", "receive"), [(1, 1), (100, 0), (7, 4000), (4000, 7), (2048, 2048)])
def test_rounds(send: int, receive: int, half_close: bool) -> None:
    near, far = client(wanted=2, transfer=Transfer(send, receive, 9, half_close)), server()
    assert carry(near, far) == 0
    assert_carried(near, far, HEADER_LEN + 9 * send, 9 * receive, 2)


@pytest.mark.parametrize("percent", [2, 20])
@pytest.mark.parametrize(("send", "receive", "rounds"), [(30_000, 30_000, 1), (500, 700, 5), (0, 50_000, 1), (50_000, 0, 1)])
def test_over_a_bad_wire(send: int, receive: int, rounds: int, percent: int) -> None:
    rng = random.Random(percent * 100_000 + send)
    wanted = 6 if JIT else 2
    near = client(wanted=wanted, max_open=3, limits=LIMITS, transfer=Transfer(send, receive, rounds))
    far = server(limits=LIMITS)
    carry(near, far, fate=lambda number: rng.random() * 100 >= percent)
    assert_carried(near, far, HEADER_LEN + rounds * send, rounds * receive, wanted, lossless=False)


def test_endless_rounds_think_in_between() -> None:
    """Three rounds, 50 ms apart: the request of each leaves when its time has come, and not before."""
    near, far = client(transfer=Transfer(10, 10, 3), think_ms=50), server()
    wire = Wire(near, far)
    for round_ in (1, 2, 3):
        wire.run()
        assert near.counters("client")["BytesSent"] == HEADER_LEN + 10 * round_
        assert near.counters("client")["BytesReceived"] == 10 * round_
        wire.advance(49)
        wire.run()
        assert near.counters("client")["BytesSent"] == HEADER_LEN + 10 * round_
        wire.advance(3)
    assert_carried(near, far, HEADER_LEN + 30, 30)


class Windows:
    """Notes how far each end lets the other go, and that it never takes back what it has allowed."""

    def __init__(self) -> None:
        self.edges: dict[bool, int] = {}
        self.shut = 0

    def see(self, frame: bytes) -> None:
        seg = segment(frame)
        if seg.flags & SYN:
            return
        client_says = seg.ports[1] == LISTEN
        edge = seg.ack + seg.window
        assert (edge - self.edges.get(client_says, edge)) % 2**32 < 2**31, "the window's right edge moved left"
        self.edges[client_says] = edge
        self.shut += seg.window < MSS


@pytest.mark.parametrize("percent", [0, 5])
@pytest.mark.parametrize(("send", "receive"), [(0, 60_000), (60_000, 0)])
def test_a_slow_reader_is_waited_for(send: int, receive: int, percent: int) -> None:
    """100,000 bytes a second, a window of 4,000: it shuts, and 60,000 bytes take 0.6 seconds but for the last windowful."""
    rng = random.Random(percent)
    slow = {"read_rate": 100_000, "window": 4000}
    near = client(transfer=Transfer(send, receive), limits=LIMITS, **(slow if receive else {}))
    far = server(limits=LIMITS, **(slow if send else {}))
    windows = Windows()
    steps = carry(near, far, fate=lambda number: rng.random() * 100 >= percent, step=5, witness=windows)
    assert_carried(near, far, HEADER_LEN + send, receive, lossless=percent == 0)
    least = (60_000 - 4000) / 100_000 * 1000 / 5
    assert least <= steps <= (least * 1.2 if percent == 0 else least * 8)
    assert windows.shut > 0
    if percent == 0:
        assert near.counters("client").get("Retransmissions", 0) == far.counters("server").get("Retransmissions", 0) == 0


def test_what_fits_the_window_does_not_shut_it() -> None:
    near, far = client(transfer=Transfer(0, 15_000), read_rate=1000, window=20_000), server()
    windows = Windows()
    assert carry(near, far, witness=windows) == 0
    assert windows.shut == 0
    assert_carried(near, far, HEADER_LEN, 15_000)


def test_a_window_of_ones_own_is_told() -> None:
    seen = []

    class Note:
        def see(self, frame: bytes) -> None:
            seen.append((segment(frame).ports[1] == LISTEN, segment(frame).window))

    carry(client(transfer=Transfer(9000, 9000), window=3000), server(window=1500), witness=Note())
    assert max(window for by_client, window in seen if by_client) == 3000
    assert max(window for by_client, window in seen if not by_client) == 1500


def test_content_that_is_not_the_senders_fails_the_connection() -> None:
    """Both ends count each segment that a wire has changed, checksum and all; the transfers complete, and are not as expected."""
    near, far = client(transfer=Transfer(5000, 5000)), server()

    class Forger(Wire):
        forged = 0

        def _send(self, frame: bytes) -> None:
            if len(frame) == 1514 and frame[1000] != frame[1001]:
                swapped = bytearray(frame)
                swapped[1000:1002], swapped[1004:1006] = frame[1004:1006], frame[1000:1002]
                frame = bytes(swapped)
                self.forged += 1
            super()._send(frame)

    wire = Forger(near, far)
    wire.run()
    ours, theirs = near.counters("client"), far.counters("server")
    assert ours["Mismatches"] + theirs["Mismatches"] == wire.forged > 0
    assert ours["completed"] == ours["unexpected"] == theirs["unexpected"] == 1
    assert "expected" not in ours


def test_a_response_of_another_length_is_not_as_expected() -> None:
    """The server of this client says more, or less, than it was asked for."""
    for size, mismatches in ((3000, 1), (10, 0)):
        near = client(transfer=Transfer(100, 50))
        far = server(serve=Transfer(size, HEADER_LEN + 100, headed=False))
        carry(near, far)
        counters = near.counters("client")
        assert (counters["unexpected"], counters["completed"]) == (1, 1)
        assert counters.get("Mismatches", 0) >= mismatches


@kernel
def make(address, offset, length, connection):
    for k in range(length):
        store8(address + k, ((offset + k) * 5 + connection) & 0xFF)


@kernel
def is_made(address, offset, length, connection):
    for k in range(length):
        if load8(address + k) != ((offset + k) * 5 + connection) & 0xFF:
            return False
    return True


@kernel
def is_short(address, offset, length, connection):
    return offset + length <= 2000


def test_hooks_make_and_check_content() -> None:
    both: dict[str, Any] = {"fill_hook": Callback(make, answers=False), "limits": LIMITS}
    good = Callback(is_made, answers=True)
    rng = random.Random(2)
    near = client(wanted=4, transfer=Transfer(9000, 7000, 2), check_hook=good, **both)
    far = server(check_hook=good, **both)
    carry(near, far, fate=lambda number: rng.random() > 0.1)
    assert_carried(near, far, HEADER_LEN + 18_000, 14_000, 4, lossless=False)


def test_a_check_that_fails_is_counted() -> None:
    hook = Callback(is_short, answers=True)
    near, far = client(transfer=Transfer(0, 4000), check_hook=hook), server()
    carry(near, far)
    counters = near.counters("client")
    assert (counters["Mismatches"], counters["unexpected"], counters["completed"]) == (2, 1, 1)


def test_a_file_is_repeated_as_rounds_want_it() -> None:
    """What arrives is the file, over and over, anew in each round; nobody verifies it but the test."""
    template = np.arange(1000).astype(np.uint8)
    got = bytearray()

    class Note:
        def see(self, frame: bytes) -> None:
            seg = segment(frame)
            if seg.ports[1] == LISTEN and seg.size:
                got.extend(frame[54 : 54 + seg.size])

    near, far = client(transfer=Transfer(2300, 1, 2), template=template), server()
    carry(near, far, witness=Note())
    round_ = (template.tobytes() * 3)[:2300]
    assert bytes(got[HEADER_LEN:]) == round_ * 2
    assert_carried(near, far, HEADER_LEN + 4600, 2)


def test_servers_of_clients_that_name_no_sizes() -> None:
    near = client(wanted=5, max_open=2, transfer=Transfer(700, 4000, 3, headed=False))
    far = server(serve=Transfer(4000, 700, 3, headed=False))
    carry(near, far)
    assert_carried(near, far, 2100, 12_000, 5)


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.0\r\n\r\n", bytes(3000)])
def test_a_server_told_of_no_requests_takes_any(request_: bytes) -> None:
    """It says what it has to say, closes after that, and all is well."""
    far = server(serve=Transfer(5000, 0, headed=False))
    peer = Peer(far)
    (answer,) = peer.send("S", options=[("MSS", 1460)])
    assert answer[TCP].flags == "SA"
    peer.send("A")
    for k in range(0, len(request_), 1000):
        peer.send("PA", request_[k : k + 1000])
    peer.send("A")
    assert len(peer.received) == 5000
    peer.finish()
    counters = far.counters("server")
    assert counters.get("BytesReceived", 0) == len(request_)
    assert not {"Mismatches", "unexpected", "failed"} & {*counters}
    assert counters["completed"] == 1


def test_clients_may_be_held_before_they_begin() -> None:
    near, far = client(transfer=Transfer(10, 10), hold_ms=100), server()
    wire = Wire(near, far)
    wire.run()
    assert "BytesSent" not in near.counters("client")
    wire.advance(102)
    wire.run()
    assert_carried(near, far, HEADER_LEN + 10, 10)


def test_a_server_that_takes_no_transfers_echoes_what_would_begin_one() -> None:
    near, far = client(transfer=Transfer(10, 10)), server(transfer_pool=0)
    Wire(near, far).run()
    assert near.counters("client")["unexpected"] == near.counters("client")["completed"] == 1
    assert far.counters("server")["BytesSent"] == HEADER_LEN + 10
