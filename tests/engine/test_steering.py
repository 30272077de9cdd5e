"""Packets find the core that owns them: the rule of ownership, and two cores that hand over to each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from dpdk_io.toeplitz import SYMMETRIC_KEY
from operators import steering as steering_module
from operators.steering import Steering, owner, owner_ip6
from tests.engine.host import CLIENT_IP, LISTEN, SERVER_IP, Host, client, server
from tests.engine.hostile import tcp_frame
from tests.engine.wire import segment

ADDRESS, PORT = st.integers(0, 2**32 - 1), st.integers(0, 65535)
FIRST_IP = 0x0A000001


def toeplitz(src: int, dst: int, sport: int, dport: int) -> int:
    """The hash bit by bit: the key's window at each bit of the input that is set."""
    data = src << 64 | dst << 32 | sport << 16 | dport
    key, bits = int.from_bytes(SYMMETRIC_KEY, "big"), len(SYMMETRIC_KEY) * 8
    value = 0
    for k in range(96):
        if data >> (95 - k) & 1:
            value ^= key >> (bits - 32 - k) & 0xFFFFFFFF
    return value


def expected(rule: str, cores: int, block: int, src: int, dst: int, sport: int, dport: int) -> int:
    if rule == "rss":
        return toeplitz(src, dst, sport, dport) % cores
    core = (65535 - dport) // block if rule == "port" else (dst - FIRST_IP) // block
    return core if 0 <= core < cores else -1


BLOCKS = {"port": 0x2000, "ip": 3, "rss": 1}
MADE = {(rule, cores): Steering(rule, cores, block=BLOCKS[rule], first_ip=FIRST_IP) for rule in BLOCKS for cores in (1, 2, 3)}


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(MADE)), ADDRESS, st.one_of(ADDRESS, st.integers(FIRST_IP - 2, FIRST_IP + 10)), PORT, PORT)
def test_the_owner_is_as_the_rule_says(which: tuple[str, int], src: int, dst: int, sport: int, dport: int) -> None:
    rule, cores = which
    record = MADE[which].of(0)[0]
    assert owner(record, src, dst, sport, dport) == expected(rule, cores, BLOCKS[rule], src, dst, sport, dport)
    if rule == "rss":
        assert owner(record, src, dst, sport, dport) == owner(record, dst, src, dport, sport)


NET = 0x20010DB8 << 96 | FIRST_IP
MADE6 = {
    (rule, cores): Steering(rule, cores, block=0x2000, first_ip6=NET) for rule in ("port", "ip", "rss") for cores in (1, 2, 3)
}
ADDRESS6 = st.one_of(st.integers(0, 2**128 - 1), st.integers(NET - 2, NET + 4))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(MADE6)), ADDRESS6, ADDRESS6, PORT, PORT)
def test_the_owner_over_ip6_is_as_the_rule_says(which: tuple[str, int], src: int, dst: int, sport: int, dport: int) -> None:
    rule, cores = which
    record = MADE6[which].of(0)[0]
    words = aligned(32, np.uint8)
    words[:] = np.frombuffer(src.to_bytes(16, "big") + dst.to_bytes(16, "big"), np.uint8)
    at = words.ctypes.data
    found = owner_ip6(record, at, at + 16, sport, dport)
    if rule == "rss":
        assert found == owner_ip6(record, at + 16, at, dport, sport)
        assert 0 <= found < cores
    else:
        core = (65535 - dport) // 0x2000 if rule == "port" else dst - NET
        assert found == (core if 0 <= core < cores else -1)


def frame_of(core: int) -> bytes:
    """A SYN that core *core* of two owns by port."""
    return tcp_frame(50000, 65535 - core * 0x8000, 1, 0, 2)


def two_cores() -> tuple[Steering, list[Host]]:
    steering = Steering("port", 2, block=0x8000)
    return steering, [server(listen=[65535 - k * 0x8000], steering=steering, index=k) for k in (0, 1)]


def test_a_misdirected_packet_is_handed_to_its_owner() -> None:
    steering, (first, second) = two_cores()
    assert len(first.run([frame_of(0)])) == 1
    (outcome,) = first.outcomes([frame_of(1)])
    assert outcome.verdict == "keep"
    assert (first.state("steer").misdirected, steering.waiting()) == (1, 1)
    (answer,) = second.run()
    assert segment(answer).flags == 0x12
    assert (second.state("handover").received, steering.waiting()) == (1, 0)
    assert first.counters("server")["RecvSyn"] == second.counters("server")["RecvSyn"] == 1


def test_packets_keep_their_order_across_cores() -> None:
    steering, (first, second) = two_cores()
    first.outcomes([tcp_frame(40000 + k, 0x7FFF, 1, 0, 2) for k in range(100)], burst=32)
    answers = [segment(answer).ports[1] for _ in range(6) for answer in second.run()]
    assert answers == [40000 + k for k in range(100)]
    assert steering.waiting() == 0


def test_what_nobody_owns_stays() -> None:
    """No core has port 80 of four blocks when there are two: it is the core's that got it, which has no listener there."""
    steering = Steering("port", 2, block=0x2000)
    host = server(steering=steering)
    (answer,) = host.run([tcp_frame(50000, 80, 1, 0, 2)])
    assert segment(answer).flags == 0x14
    assert host.state("steer").misdirected == 0


def test_a_full_ring_drops_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering_module, "_RING_SIZE", 64)
    steering, (first, _) = two_cores()
    outcomes = first.outcomes([frame_of(1)] * 100, burst=20)
    kept = sum(outcome.verdict == "keep" for outcome in outcomes)
    assert kept == steering.waiting() <= 64
    assert first.drops() == {"steer.ring_full": 100 - kept}
    assert first.state("steer").misdirected == 100


@pytest.mark.parametrize("rule", ["rss", "port"])
@pytest.mark.parametrize("core", [0, 1])
def test_clients_use_ports_whose_answers_come_back(rule: str, core: int) -> None:
    steering = Steering(rule, 2, block=0x8000)
    near = client(wanted=64, max_open=64, client_ports=range(32700, 32900), steering=steering, index=core)
    sent = [segment(frame) for _ in range(4) for frame in near.run()]
    assert len(sent) == 64
    for syn in sent:
        assert expected(rule, 2, 0x8000, SERVER_IP, CLIENT_IP, LISTEN, syn.ports[0]) == core


def test_ports_none_of_which_is_ours_count_as_none() -> None:
    near = client(wanted=9, client_ports=range(100, 200), steering=Steering("port", 2, block=0x8000), index=0)
    assert near.run() == []
    assert near.state("tcp_client").no_port > 0
