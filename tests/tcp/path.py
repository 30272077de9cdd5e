"""Two endpoints at the ends of a path with a bottleneck, a queue, delay, loss, reordering and duplication, in simulated time."""

from __future__ import annotations

import heapq
import random
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpdk_io.memory import aligned
from tcp import application
from tcp.board import new_boards
from tcp.connection import CLOSED, RECOVERY, TIMED_OUT
from tcp.events import EV_CLOSED, EV_ESTABLISHED, EV_FIN, EV_RESET, EV_TIMEOUT
from tcp.open import accept, connect
from tcp.receive import receive
from tcp.segment import OPT_SACK, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, SEGMENT
from tcp.timer import on_timer
from tcp.transmit import next_segment
from tests.tcp.builders import IRS, ISS, LOCAL, PEER, Endpoint

SACK, TIMESTAMPS, SCALE = OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE
HEADERS = 52


@dataclass
class Path:
    """One direction. Times in us, *rate* in bytes a second (0: any), *queue* in bytes; the rest are probabilities."""

    delay: int = 10_000
    rate: int = 0
    queue: int = 1 << 30
    loss: float = 0.0
    reorder: float = 0.0
    late_by: int = 4_000
    duplicate: float = 0.0
    lost: frozenset[int] = frozenset()
    busy_until: int = 0
    number: int = 0
    dropped: int = 0

    def carry(self, size: int, now: int, rng: random.Random) -> list[int]:
        """When the copies of a packet arrive."""
        number, self.number = self.number, self.number + 1
        start = max(now, self.busy_until)
        waiting = (start - now) * self.rate // 1_000_000
        if number in self.lost or rng.random() < self.loss or waiting > self.queue:
            self.dropped += 1
            return []
        if self.rate:
            self.busy_until = start + size * 1_000_000 // self.rate
            start = self.busy_until
        late = self.late_by if rng.random() < self.reorder else 0
        return [start + self.delay + late] * (2 if rng.random() < self.duplicate else 1)


@dataclass
class Seen:
    """What one side has been told of its own bytes (sacked: every fourth), and what it did."""

    acked: int = 0
    sacked: set[int] = field(default_factory=set)
    segments: int = 0
    resent: int = 0
    needless: int = 0
    episodes: int = 0
    timeouts: int = 0
    resent_as: int = 0
    """The number of the packet that was a retransmission, the last one."""


class Side(Endpoint):
    """An endpoint that sends *total* bytes and closes, with a pool of boards of its own."""

    def __init__(self, iss: int, total: int, **limits: int) -> None:
        boards = new_boards(2)
        super().__init__(iss, **({"boards": boards.address, "mss": 1460, "options": SACK | SCALE, "rcv_wnd": 4 << 20} | limits))
        self.boards = boards
        self.total = total
        self.events = 0
        self.seen = Seen()
        self.blocks = np.zeros(64, np.uint8)
        self.before = 0

    def offset(self, seq: int) -> int:
        return (seq - self.iss - 1) & 0xFFFFFFFF

    def note(self, events: int) -> None:
        self.events |= events
        if events & EV_ESTABLISHED:
            self.queue(self.total)
            application.close(self.conn)
        bits = int(self.conn.bits)
        if bits & ~self.before & RECOVERY:
            self.seen.episodes += 1
        if bits & ~self.before & TIMED_OUT:
            self.seen.timeouts += 1
        self.before = bits

    def hears(self, segment: Any) -> None:
        """Take in what the segment says of our bytes, before it is received."""
        if not int(segment.tcp_flags) & 16:
            return
        acked = self.offset(int(segment.ack))
        if acked < 1 << 31:
            self.seen.acked = max(self.seen.acked, acked)
        if int(segment.opts) & OPT_SACK:
            for k in range(int(segment.n_blocks)):
                start, end = (self.offset(int(segment.blocks[2 * k + j])) for j in (0, 1))
                if start >= acked:
                    self.seen.sacked.update(range(start + -start % 4, end - 3, 4))

    def says(self, segment: Any, number: int) -> None:
        """Note what we send as packet *number*."""
        length = int(segment.payload_len)
        if not length:
            return
        self.seen.segments += 1
        if int(segment.rexmit):
            self.seen.resent += 1
            start = self.offset(int(segment.seq))
            self.seen.resent_as = number
            inner = range(start + -start % 4, start + length - 3, 4)
            self.seen.needless += start + length <= self.seen.acked or not self.seen.sacked.isdisjoint(inner)


def copy_of(segment: Any) -> Any:
    made = aligned(1, SEGMENT)
    made[0] = segment
    return made[0]


class Simulation:
    """A client and a server that send each other their bytes; runs until both are closed."""

    def __init__(self, client: Side, server: Side, there: Path, back: Path, seed: int = 1) -> None:
        self.sides = (client, server)
        self.paths = (there, back)
        self.rng = random.Random(seed)
        self.now = 1_000_000
        self.order = 0
        self.flying: list[tuple[int, int, int, Any]] = []
        self.done_at = 0

    def run(self, until: int = 600_000_000) -> None:
        client, _ = self.sides
        connect(client.conn, client.limits.record, *LOCAL, *PEER, client.iss)
        self._send(0)
        while self._step():
            assert self.now < until, "too slow"

    def _send(self, side: int) -> None:
        one = self.sides[side]
        one.now = self.now
        while next_segment(one.conn, one.cold, one.out, one.limits.record, self.now):
            one.says(one.out, self.paths[side].number)
            one.note(0)
            size = HEADERS + int(one.out.payload_len)
            for at in self.paths[side].carry(size, self.now, self.rng):
                self.order += 1
                heapq.heappush(self.flying, (at, self.order, 1 - side, copy_of(one.out)))

    def _step(self) -> bool:
        deadlines = [int(one.conn.deadline) * 1000 for one in self.sides if one.conn.deadline]
        arrival = self.flying[0][0] if self.flying else None
        if arrival is None and not deadlines:
            return False
        if arrival is not None and arrival <= min(deadlines, default=arrival):
            self.now, _, side, segment = heapq.heappop(self.flying)
            self._arrive(side, segment)
            self._send(side)
        else:
            self.now = max(self.now, min(deadlines))
            for side, one in enumerate(self.sides):
                one.note(int(on_timer(one.conn, one.cold, one.limits.record, self.now)))
                self._send(side)
        return True

    def _arrive(self, side: int, segment: Any) -> None:
        one = self.sides[side]
        record = one.limits.record
        if int(segment.opts) & OPT_SACK:
            edges = [int(edge) for edge in segment.blocks[: 2 * int(segment.n_blocks)]]
            raw = struct.pack(f">BB{len(edges)}I", 5, 2 + 4 * len(edges), *edges)
            one.blocks[: len(raw)] = np.frombuffer(raw, np.uint8)
            segment.sack_at = one.blocks.ctypes.data + 2
        one.hears(segment)
        if side == 1 and one.conn.state == CLOSED and not one.events:
            accept(one.conn, one.cold, segment, record, *PEER, *LOCAL, one.iss, self.now)
            one.events |= 1 << 30
            return
        if one.conn.state == CLOSED:
            return
        events = int(receive(one.conn, one.cold, segment, record, self.now))
        one.note(events)
        if events & EV_FIN and side == 1:
            self.done_at = self.now


def transfer(total: int, there: Path, back: Path | None = None, seed: int = 1, **limits: int) -> Simulation:
    """*total* bytes from the client to the server; asserts that all arrived and that nobody gave up."""
    client, server = Side(ISS, total, **limits), Side(IRS, 0, **limits)
    simulation = Simulation(client, server, there, back or Path(delay=there.delay), seed)
    simulation.run()
    for side in simulation.sides:
        assert side.events & EV_CLOSED
        assert not side.events & (EV_RESET | EV_TIMEOUT)
    assert (int(server.conn.rcv_nxt) - client.iss) & 0xFFFFFFFF == total + 2
    return simulation


def goodput(simulation: Simulation) -> float:
    """Megabits a second, from the SYN to the last byte's arrival."""
    return simulation.sides[0].total * 8 / (simulation.done_at - 1_000_000)
