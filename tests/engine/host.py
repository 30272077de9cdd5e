"""A host made of one engine: the operators of trafficengine on a device made of memory, with a clock that only the test moves.

Every host has the same pipeline, so that it is compiled once. Time stands still while the test works: the engine is told a clock
so fast that the cycles which really pass are fractions of a microsecond, and `advance` moves the engine's beginning back.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dpdk_io.clock import cycles
from dpdk_io.memory import aligned
from operators.app_timers import app_timers
from operators.arp_responder import arp_responder
from operators.drop import drop
from operators.fragments import Fragments
from operators.handover import handover
from operators.icmp6_echo import icmp6_echo
from operators.nd_responder import nd_responder
from operators.neighbours import Neighbours, arp_ask, arp_learn
from operators.neighbours6 import Neighbours6, nd_ask, nd_learn
from operators.own_mac import own_mac
from operators.parse import ARP, ICMP, ICMP6, SEGMENTED, TCP, TCP6, parse
from operators.reassemble import reassemble
from operators.steer import steer, steer6
from operators.steering import Steering
from operators.tcp6 import ip6_sweep, tcp6_check
from operators.tcp6_icmp import tcp6_icmp
from operators.tcp_client import tcp_client
from operators.tcp_engine import Settings, TcpEngine
from operators.tcp_icmp import tcp_icmp
from operators.tcp_state import tcp_check, tcp_state
from operators.tcp_timers import tcp_timers
from operators.to_kernel import to_kernel
from pipeline import GroupBy, Pipeline, Stage
from pipeline.testing import MBUFS, Bench, Outcome, alloc_bulk, free_bulk

HERTZ = 10**15
CLIENT_IP, SERVER_IP = 0x0A000001, 0x0A000002
CLIENT_MAC, SERVER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
LISTEN = 8080
BURST = 32


def mac_word(mac: bytes) -> np.ndarray:
    """*mac* as the word that a target's `neighbour` refers to."""
    return np.array([int.from_bytes(mac, "little")], np.int64)


_resources: dict[str, Any] = {}
"""Those of the host that is being made."""


@functools.cache
def pipeline() -> Pipeline:
    """All that can stand in trafficengine's pipeline, for every host the same."""
    steps = [
        tcp_timers, app_timers, ip6_sweep, arp_ask, nd_ask, tcp_client, handover, own_mac, parse, reassemble,
        GroupBy(
            "kind",
            {
                TCP: [steer],
                TCP6: [steer6],
                ARP: [arp_learn, arp_responder, drop.named("other_arp")],
                ICMP: [tcp_icmp, drop.named("icmp")],
                ICMP6: [nd_learn, tcp6_icmp, nd_responder, icmp6_echo, drop.named("icmp6")],
                SEGMENTED: [drop.named("segmented")],
            },
            otherwise=[to_kernel],
        ),
        GroupBy("kind", {TCP6: [tcp6_check]}, otherwise=[tcp_check]), Stage(), tcp_state,
    ]  # fmt: skip
    names = ("tcp", "steering", "neighbours", "neighbours6", "fragments")
    given = {name: lambda index, name=name: _resources[name] for name in names}
    return Pipeline("engine_tests", steps, given)


class Host:
    """An engine with the `Settings` *settings*; frames that are no TCP, ARP, ICMP or ICMPv6 leave as "slow"."""

    def __init__(
        self, ip: int, mac: bytes, *, steering: Steering | None = None, index: int = 0, asked: Sequence[int] = (),
        fenced: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        record = steering.of(index) if steering else None
        made = Settings(mac=mac, local_ips=settings.pop("local_ips", [ip]), steering=record, **{"connections": 1024, **settings})
        self.engine = TcpEngine(made)
        self.steering = steering or Steering("port", 1, block=0x10000)
        self.fragments = Fragments()
        self.neighbours = Neighbours(ip for ip in asked if not ip >> 32)
        self.neighbours6 = Neighbours6(ip for ip in asked if ip >> 32)
        _resources.update(tcp=self.engine.address, fragments=self.fragments, steering=self.steering.of(index))
        _resources.update(neighbours=self.neighbours.table, neighbours6=self.neighbours6.table)
        self.bench = Bench(pipeline(), fenced=fenced)
        word = int.from_bytes(mac, "big")
        self.state("own_mac").mac = self.state("arp_responder").mac = self.state("nd_responder").mac = word
        self.state("arp_responder").ip = ip
        self.engine.start(cycles(), HERTZ)
        self.engine.begin(cycles())

    def advance(self, ms: float) -> None:
        """Let time pass."""
        passed = int(ms * HERTZ // 1000)
        for name in ("epoch", "begun", "next_second", "turn_at"):
            self.engine.record[name] -= passed
        self.state("arp_ask").next_at -= passed
        self.state("nd_ask").next_at -= passed

    def run(self, frames: Sequence[bytes] = (), burst: int = 1) -> list[bytes]:
        """What is sent when *frames* arrive; without any, what is sent in one turn of its own accord."""
        self.bench.run(frames, burst=burst, turns=0 if frames else 1)
        return self.bench.sent

    def outcomes(self, frames: Sequence[bytes], burst: int = 1) -> list[Outcome]:
        """What becomes of *frames*."""
        return self.bench.run(frames, burst=burst)

    def counters(self, role: str) -> dict[str, int]:
        """The counters of a role that are not zero."""
        return {name: count for name, count in self.engine.counters(role).items() if count}

    def drops(self) -> dict[str, int]:
        """The drop counters that are not zero."""
        return {name: count for name, count in self.bench.core.drops().items() if count}

    def state(self, name: str) -> Any:
        """The state record of the operator *name*."""
        (index,) = [k for k, step in enumerate(self.bench.pipeline.operators) if step.name == name]
        return self.bench.core.states[index][0]

    def assert_all_mbufs_free(self) -> None:
        """Nobody holds an mbuf, but for the spare ones of the loop."""
        self.run()
        rest = MBUFS - int(self.bench.core.record.spare_count)
        words = aligned(MBUFS, np.int64)
        assert alloc_bulk(self.bench.pool(0), words.ctypes.data, rest) == rest
        free_bulk(self.bench.pool(0), words.ctypes.data, rest)
        self.run()


def server(**settings: Any) -> Host:
    """A server on port LISTEN."""
    return Host(SERVER_IP, SERVER_MAC, **{"listen": [LISTEN], **settings})


def client(**settings: Any) -> Host:
    """A client of `server()`."""
    target = (SERVER_IP, LISTEN, mac_word(SERVER_MAC))
    return Host(CLIENT_IP, CLIENT_MAC, **{"targets": [target], "client_ports": range(32768, 33768), "wanted": 1, **settings})
