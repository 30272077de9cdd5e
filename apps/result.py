"""What a run gives back: one JSON object, documented in docs/result.md, and the exit code.

The engine fills one `CoreResult` per core; `Result` adds them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from apps.goodput import Moved, add_up
from pipeline.histogram import new_histogram, percentile_us

SCHEMA = 1
"""Raised when a key changes its meaning or goes; new keys do not raise it."""

COUNTERS = (
    "SentSyn", "SentSynAck", "SentSynAck2", "SentFin", "SentFinPssv", "SentAck4Fin", "SentAck", "SentPayload", "SentRst",
    "RecvSyn", "RecvSynAck", "RecvSynAck2", "RecvFin", "RecvFinPssv", "RecvAck4Fin", "RecvAck", "RecvPayload", "RecvRst",
    "Unexpected", "Retransmissions", "Urgent", "BytesSent", "BytesReceived", "Mismatches", "SegmentsReceived", "SegmentsSent",
)  # fmt: skip
"""The counters of a role."""

CAUSES = ("Unknown", "Timeout", "PassiveClose", "ActiveClose", "PassiveRst", "ActiveRst")
"""Why a connection was released; records hold the index."""

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}

DONE, DURATION, SILENCE, SIGINT, SIGTERM = "done", "duration", "silence", "SIGINT", "SIGTERM"
"""How a run ended."""

_SIGNAL_EXIT = {SIGINT: 130, SIGTERM: 143}


def plain(counts: Mapping[str, Any]) -> dict[str, int]:
    """*counts* with ints of Python's own."""
    return {name: int(value) for name, value in counts.items()}


@dataclass
class Connections:
    """How many connections of one role came how far."""

    attempted: int = 0
    """SYNs sent first, or accepted."""
    established: int = 0
    completed: int = 0
    """Closed in both directions."""
    failed: int = 0
    """Reset, or given up."""
    max_open: int = 0
    """The most that were open at once on one core."""
    max_established: int = 0
    """The most that were seen in ESTABLISHED at once on one core."""

    def to_json(self) -> dict[str, int]:
        return plain(vars(self))

    @classmethod
    def total(cls, parts: Iterable[Connections]) -> Connections:
        """All cores' connections: added up, but for `max_open` and `max_established`, the largest."""
        parts = list(parts)
        added = cls(**add_up(part.to_json() for part in parts))
        added.max_open = max((part.max_open for part in parts), default=0)
        added.max_established = max((part.max_established for part in parts), default=0)
        return added


@dataclass
class Role:
    """One role's side of the run."""

    connections: Connections = field(default_factory=Connections)
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    causes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))

    @classmethod
    def total(cls, parts: Sequence[Role]) -> Role:
        """All cores' sides."""
        return cls(
            Connections.total(part.connections for part in parts),
            add_up([cls().counters, *(part.counters for part in parts)]),
            add_up([cls().causes, *(part.causes for part in parts)]),
        )


@dataclass
class Memory:
    """What the tables of TCP take: address space that is theirs. Pages are only used when they are first written."""

    connections: int = 0
    """Connections there is room for."""
    tables: dict[str, int] = field(default_factory=dict)
    """Bytes of the tables with an entry for each connection."""
    other: int = 0
    """Bytes of everything else: counters, ports, echo rings."""

    @property
    def per_connection(self) -> float:
        """Bytes for each connection there is room for."""
        return self.bytes / self.connections if self.connections else 0.0

    @property
    def bytes(self) -> int:
        """Bytes of `tables`."""
        return sum(self.tables.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "connections": int(self.connections),
            "per_connection": round(self.per_connection, 1),
            "total": int(self.bytes + self.other),
            "tables": {**plain(self.tables), "other": int(self.other)},
        }

    @classmethod
    def total(cls, parts: Iterable[Memory]) -> Memory:
        """All cores' memory."""
        parts = list(parts)
        return cls(sum(p.connections for p in parts), add_up(p.tables for p in parts), sum(p.other for p in parts))


@dataclass
class Interval:
    """What happened in one second: *t* is its end, in seconds since the start; *seconds* its length, where it is another."""

    t: float
    started: int
    completed: int
    seconds: float = 1.0
    moved: Moved = field(default_factory=Moved)

    def extend(self, other: Interval) -> None:
        """Take in the interval that follows."""
        self.completed += other.completed
        self.seconds += other.seconds
        self.moved = Moved.total([self.moved, other.moved])

    def to_json(self) -> dict[str, Any]:
        counts = {"t": round(float(self.t), 3), "started": int(self.started), "completed": int(self.completed)}
        return {**counts, "goodput": self.moved.goodput(self.seconds)}


@dataclass
class Share:
    """A core's share of the run, or all of it: everything that adds up."""

    elapsed_s: float = 0.0
    packets_received: int = 0
    packets_sent: int = 0
    client: Role = field(default_factory=Role)
    server: Role = field(default_factory=Role)
    drops: dict[str, int] = field(default_factory=dict)
    """Packets lost or refused, by reason; reasons that did not occur are 0."""
    beside_tcp: dict[str, int] = field(default_factory=dict)
    """Packets that were neither TCP's nor dropped, by the operator that took them."""
    impaired: dict[str, int] = field(default_factory=dict)
    """What `impair` did to how many packets; empty without it."""
    connect: np.ndarray = field(default_factory=new_histogram)
    """Nanoseconds from when the SYN was due until the connection was established (client)."""
    lifetime: np.ndarray = field(default_factory=new_histogram)
    """Nanoseconds from when the SYN was due until the connection was closed (client)."""
    intervals: list[Interval] = field(default_factory=list)
    expected: int = 0
    """Responses that started as expected."""
    unexpected: int = 0
    """Responses that did not."""
    misdirected: int = 0
    """Packets the device brought to another core than the one that owns them; handed over in software."""
    time_wait_evicted: int = 0
    """Connections whose TIME_WAIT was ended early, to make room for younger ones or because their port was used again."""
    mbuf_waits: int = 0
    """How often a connection had more to send than there were mbufs, and went on a moment later."""
    moved: Moved = field(default_factory=Moved)
    """Within the time of the run: what came while it was wound up is not in it."""
    shortfall: int = 0
    """Connections the schedule asked for and the core did not start in time."""
    syn_cookies: dict[str, int] = field(default_factory=lambda: {"sent": 0, "accepted": 0})
    """SYNs answered by a cookie, and connections made of one that came back."""
    memory: Memory = field(default_factory=lambda: Memory())

    @property
    def connections(self) -> Connections:
        """The client's connections; the server's when there was no client."""
        return self.client.connections if self.client.connections.attempted else self.server.connections

    @property
    def cps(self) -> float:
        """Connections completed a second."""
        return self.connections.completed / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def pps(self) -> float:
        """Packets received and sent a second."""
        return (self.packets_received + self.packets_sent) / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def goodput(self) -> dict[str, dict[str, float]]:
        """Bytes of data a second, for each role and direction."""
        return self.moved.goodput(self.elapsed_s)

    def to_json(self) -> dict[str, Any]:
        """The keys that one core and the whole run have in common."""
        return {
            "elapsed_s": round(float(self.elapsed_s), 6),
            "cps": round(float(self.cps), 1),
            "pps": round(float(self.pps), 1),
            "goodput": self.goodput,
            "packets": {"received": int(self.packets_received), "sent": int(self.packets_sent)},
            "connections": self.connections.to_json(),
            "roles": {"client": self.client.connections.to_json(), "server": self.server.connections.to_json()},
            "client": plain(self.client.counters),
            "server": plain(self.server.counters),
            "release_causes": {"client": plain(self.client.causes), "server": plain(self.server.causes)},
            "drops": plain(self.drops),
            "beside_tcp": plain(self.beside_tcp),
            "impaired": plain(self.impaired),
            "latency_us": {"connect": latency(self.connect), "lifetime": latency(self.lifetime)},
            "responses": {"expected": int(self.expected), "unexpected": int(self.unexpected)},
            "misdirected": int(self.misdirected),
            "time_wait_evicted": int(self.time_wait_evicted),
            "mbuf_waits": int(self.mbuf_waits),
            "shortfall": int(self.shortfall),
            "syn_cookies": plain(self.syn_cookies),
            "memory": self.memory.to_json(),
            "intervals": [interval.to_json() for interval in self.intervals],
        }


@dataclass
class CoreResult(Share):
    """One core's share."""

    core: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"core": self.core, **super().to_json()}


def latency(histogram: np.ndarray) -> dict[str, Any]:
    """Count and percentiles of a histogram, in microseconds; null when nothing was counted."""
    values = {name: percentile_us(histogram, percent) for name, percent in PERCENTILES.items()}
    return {"count": int(histogram.sum()), **{name: value and round(value, 3) for name, value in values.items()}}


def merge_intervals(parts: Iterable[Sequence[Interval]]) -> list[Interval]:
    """Intervals of several cores added up, the first of each core with the first of the others, and so on."""
    merged: list[Interval] = []
    for intervals in parts:
        for index, interval in enumerate(intervals):
            if index == len(merged):
                merged.append(Interval(interval.t, 0, 0, interval.seconds))
            merged[index].started += interval.started
            merged[index].completed += interval.completed
            merged[index].moved = Moved.total([merged[index].moved, interval.moved])
    return merged


@dataclass
class Result:
    """A run, as told to the user."""

    app: str
    devices: tuple[str, ...]
    cores: list[CoreResult]
    elapsed_s: float
    ended_by: str = DONE
    wanted: int | None = None
    """Connections the run was asked to complete, over all cores; None when it was not limited by a number."""
    asked_cps: float | None = None
    """Connections a second asked for, over all cores."""
    seed: int | None = None
    ports: dict[str, dict[str, int]] = field(default_factory=dict)
    """Each device's own statistics."""
    transfers: bool = False
    """Whether it was about bytes: people are then shown goodput."""

    @property
    def total(self) -> Share:
        """All cores together."""
        cores = self.cores
        return Share(
            elapsed_s=self.elapsed_s,
            packets_received=sum(core.packets_received for core in cores),
            packets_sent=sum(core.packets_sent for core in cores),
            client=Role.total([core.client for core in cores]),
            server=Role.total([core.server for core in cores]),
            drops=add_up(core.drops for core in cores),
            beside_tcp=add_up(core.beside_tcp for core in cores),
            impaired=add_up(core.impaired for core in cores),
            connect=sum((core.connect for core in cores), new_histogram()),
            lifetime=sum((core.lifetime for core in cores), new_histogram()),
            intervals=merge_intervals(core.intervals for core in cores),
            expected=sum(core.expected for core in cores),
            unexpected=sum(core.unexpected for core in cores),
            misdirected=sum(core.misdirected for core in cores),
            moved=Moved.total(core.moved for core in cores),
            time_wait_evicted=sum(core.time_wait_evicted for core in cores),
            mbuf_waits=sum(core.mbuf_waits for core in cores),
            shortfall=sum(core.shortfall for core in cores),
            syn_cookies=add_up(core.syn_cookies for core in cores),
            memory=Memory.total(core.memory for core in cores),
        )

    @property
    def exit_code(self) -> int:
        """130 or 143 after a signal; 1 when a connection or a response failed, or connections are missing, or none completed
        although some were wanted or attempted; else 0."""
        total = self.total
        if self.ended_by in _SIGNAL_EXIT:
            return _SIGNAL_EXIT[self.ended_by]
        wanted = self.wanted or 0
        least = wanted if self.ended_by == DONE else int(max(wanted, total.connections.attempted) > 0)
        missing = total.connections.completed < least
        failed = total.client.connections.failed + total.server.connections.failed + total.unexpected
        failed += total.client.counters["Mismatches"] + total.server.counters["Mismatches"]
        return int(missing or failed > 0)

    def to_json(self) -> dict[str, Any]:
        """The object of docs/result.md, of plain Python values."""
        return {
            "schema": SCHEMA,
            "app": self.app,
            "device": " ".join(self.devices),
            "cores": [core.core for core in self.cores],
            "ended_by": self.ended_by,
            "exit_code": self.exit_code,
            "seed": self.seed,
            "wanted": self.wanted,
            "asked_cps": self.asked_cps,
            **self.total.to_json(),
            "ports": {port: plain(counts) for port, counts in self.ports.items()},
            "pipelines": [core.to_json() for core in self.cores],
        }
