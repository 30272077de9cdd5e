"""TcpEngine: the tables and settings of one core's TCP, made in Python, read and written by the compiled operators."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpdk_io.callback import Callback
from dpdk_io.memory import aligned
from operators.engine import (
    ENGINE,
    HISTORY,
    PACE,
    PAIR,
    RECORD,
    RECORD6,
    RECORD_IPS,
    RESPONSE_AUTO,
    RESPONSE_ECHO,
    RESPONSE_FIXED,
    ROLE_WORDS,
    TARGET,
    TRANSFER,
)  # fmt: skip
from operators.frames import framing
from operators.message import NAME_LEN
from operators.sizes import PER_CONNECTION, runs
from operators.tally import named
from operators.transfer_settings import Transfer, note_transfers
from pipeline.histogram import BUCKETS
from tcp.board import new_boards
from tcp.connection import COLD
from tcp.index import new_index
from tcp.ip6 import OURS, enter, new_addresses
from tcp.isn import keep_secret
from tcp.limits import new_limits
from tcp.ports import new_ports
from tcp.segment import SEGMENT
from tcp.slots import new_slots
from tcp.wheel import new_wheel

_INTERVALS = 1 << 17
_ECHO_SIZES = (2048, 32768)

_ADDRESSES_IN_FLIGHT = 256
"""Room for the IPv6 addresses of packets that belong to no connection yet."""
_NEVER = (1 << 63) - 1
_NOWHERE = -1
"""What a core listens on that does not listen."""
_BURST = 32
_BOARDS = 4096
"""Connections of a core that can have losses or early segments on record at a time."""
"""Connections that may be due and not yet started at any moment."""

HTTP_BODY = b"te-apps\n"


def http_response(body: bytes = HTTP_BODY) -> tuple[bytes, int]:
    """A complete HTTP/1.1 response that closes the connection, and the length of its head."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    return head + body, len(head)


@dataclass(frozen=True)
class Settings:
    """What one core's TCP is told. Addresses are host-order ints, those from 2^32 on IPv6; MACs are six bytes as on the wire."""

    mac: bytes
    local_ips: Sequence[int]
    """At least one of each family there is; connections are opened from these."""
    also_ours: Sequence[int] = ()
    """Other IPv6 addresses that are answered for."""
    listen: Sequence[int | tuple[int, int]] = ()
    """Ports, of every address or (address, port) of one."""
    targets: Sequence[tuple[int, int, np.ndarray]] = ()
    """(address, port, a one-element int64 array that holds the next hop's MAC as its bytes lie in memory, 0: not known yet)."""
    client_ports: Sequence[int] = ()
    wanted: int | None = 0
    """Connections to open; None: no limit."""
    cps: float | None = None
    max_open: int = 512
    payload: int = 16
    request: bytes | None = None
    expect: bytes | None = None
    expect_echo: bool = False
    response_kind: str = "auto"
    response: bytes = b""
    fin_by_client: int = 1000
    fin_by_server: int = 1
    transfer: Transfer | None = None
    """What clients do instead of sending messages."""
    serve: Transfer | None = None
    """What a server does without being asked by a header."""
    transfer_pool: int | None = None
    """Connections of a server that can at a time be what a header asks for; None: all of them, 0: it heeds no header."""
    think_ms: int = 0
    """From a response to the next request."""
    read_rate: int = 0
    """Bytes a second that an application takes of a transfer; 0: all at once."""
    template: np.ndarray | None = None
    """Bytes that a round's content repeats, in place of the pattern."""
    fill_hook: Callback | None = None
    """Writes content: (address, offset, length, number of the connection)."""
    check_hook: Callback | None = None
    """Whether content is right: the same."""
    window: int = 65535
    """Bytes that a connection takes before they are read."""
    limits: dict[str, int] = field(default_factory=dict)
    connections: int = 1 << 16
    """Connections the tables hold, TIME_WAIT included."""
    echo_rings: int = 16384
    """Connections at a time that can send back what is not of our own clients."""
    syn_backlog: int | None = None
    """Connections half open, beyond which SYNs are answered with cookies; None: a quarter of the table."""
    hold_ms: int = 0
    """Established clients wait so long before they speak."""
    late_ms: int = 0
    """A turn that comes so long after the last one finds the core held up: it reads before its timers run; 0: no turn does."""
    time_waits: int = 4096
    """Connections kept in TIME_WAIT; beyond that the oldest are ended early, counted."""
    records: int = 0
    """Room for so many connection records, a power of two; 0: none are kept."""
    kernel_side: bool = False
    """Segments that are not ours take the SLOW path instead of being dropped or reset."""
    steering: np.ndarray | None = None
    """The core's `Steering` record: clients then use only ports whose packets come back to their core."""
    isn_secret: tuple[int, int] | None = None
    """Two words of 63 bits, the key of initial sequence numbers; None: a fresh one."""
    ttl: int = 64
    dscp: int = 0
    seed: int = 1
    core: int = 0

    @property
    def transfers(self) -> int:
        """Connections that can be transfers at a time."""
        told, most = self.transfer or self.serve, self.connections
        if told or (self.listen and self.transfer_pool is None):
            return most
        return min(self.transfer_pool or 0, most) if self.listen else 0

    @property
    def needs_app_timers(self) -> bool:
        """Does an application do anything by the clock?"""
        foreign = self.transfer is not None and not self.transfer.headed
        return bool(self.read_rate or self.think_ms or foreign)


class TcpEngine:
    """One core's TCP. `address` is what operators get as the resource `tcp`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._kept: list[Any] = []
        self.max_established = {"client": 0, "server": 0}
        """The most connections that `look` has found established."""
        self.sizes: dict[str, int] = {}
        """Bytes of each table, and of everything there is for each connection."""
        self._engine = aligned(1, ENGINE)
        self.record = self._engine[0]
        self.address: int = self._engine.ctypes.data
        self.client = self._array("client", ROLE_WORDS, "i8")
        self.server = self._array("server", ROLE_WORDS, "i8")
        self.connect_histogram = self._array("connect_histogram", BUCKETS, "i8")
        self.lifetime_histogram = self._array("lifetime_histogram", BUCKETS, "i8")
        self.intervals = self._array("intervals", _INTERVALS * 2, "i8").reshape(-1, 2)
        self.record.interval_count = _INTERVALS
        self.interval_bytes = self._array("interval_bytes", _INTERVALS * 4, "i8").reshape(-1, 4)
        self._tables()
        self._addresses()
        self._traffic()
        self._workload()
        self._transfers()

    def _array(self, name: str, count: int, dtype: Any) -> np.ndarray:
        """A zeroed array whose address goes into the engine's field *name*."""
        array = aligned(max(count, 1), dtype)
        self.record[name] = array.ctypes.data
        self._kept.append(array)
        self.sizes[name] = array.nbytes
        return np.asarray(array)

    def _bytes(self, name: str, content: bytes) -> None:
        self._array(name, len(content) + 8, "u1")[: len(content)] = np.frombuffer(content, np.uint8)

    def _block(self, name: str, block: Any) -> None:
        self.record[name] = block.address
        self._kept.append(block)
        self.sizes[name] = sum(array.nbytes for array in block.arrays)

    def _tables(self) -> None:
        settings, capacity = self.settings, self.settings.connections
        rng = np.random.default_rng([settings.seed, settings.core])
        pairs = self._array("conns", capacity, PAIR)
        self.conns, self.apps = pairs["conn"], pairs["app"]
        self._array("colds", capacity, COLD)
        self._array("histories", capacity if settings.records else 1, HISTORY)
        self._array("scratch", 1, SEGMENT)
        self._block("index", new_index(capacity, int(rng.integers(1 << 62))))
        self._addresses6 = new_addresses(self._most_addresses(), int(rng.integers(1 << 62)))
        self._block("ip6", self._addresses6)
        self._block("slots", new_slots(capacity))
        self._block("wheel", new_wheel(capacity))
        self.record.isn_clock = time.monotonic_ns() // 1000
        self._block("boards", new_boards(min(capacity, _BOARDS)))
        shared = {
            "boards": int(self.record.boards),
            "in_order_only": 1,
            "ts_offset": int(self.record.isn_clock) // 1000 & 0xFFFFFFFF,
        }
        self._limits = shared | settings.limits
        self._block("client_limits", new_limits(**{**self._limits, "rcv_wnd": settings.window}))
        self._ports = new_ports(settings.client_ports or [1], int(rng.integers(1 << 62)), max(1, len(settings.local_ips)))
        self._block("ports", self._ports)
        self.record.tw_limit = settings.time_waits
        waits = 1 << max(settings.time_waits, 1).bit_length()
        self._array("tw_ring", waits, "i8")
        self.record.tw_mask = waits - 1
        keys = settings.isn_secret or (secrets.randbits(63), secrets.randbits(63))
        self.record.isn_key0, self.record.isn_key1 = keys
        keep_secret(self.record, *keys)
        if settings.records:
            self._records = self._array("records", settings.records, RECORD)
            self.record.record_mask = settings.records - 1
            if self.has_ip6:
                self._record_ips = self._array("record_ips", settings.records, RECORD_IPS)

    @property
    def has_ip6(self) -> bool:
        """Does the engine speak IPv6?"""
        return any(ip >> 32 for ip in self.settings.local_ips)

    @property
    def record_dtype(self) -> np.dtype:
        """What `take_records` gives: RECORD, or where there is IPv6 RECORD6."""
        return RECORD6 if self.has_ip6 else RECORD

    def _most_addresses(self) -> int:
        """A table for every connection's peer, the targets, our own, and those of packets that come to nothing."""
        settings = self.settings
        named = len(settings.local_ips) + len(settings.also_ours) + len(settings.targets)
        return settings.connections + named + _ADDRESSES_IN_FLIGHT if self.has_ip6 else 1

    def number(self, ip: int, bits: int = 1) -> int:
        """*ip* as the operators know it: an IPv6 address by its number in the table, where it stays."""
        return enter(self._addresses6, ip.to_bytes(16, "big"), bits) if ip >> 32 else ip

    def _addresses(self) -> None:
        settings = self.settings
        self.record.mac = int.from_bytes(settings.mac, "little")
        for name, value in framing(settings.mac, settings.ttl, settings.dscp).items():
            self.record[name] = value
        self.record.core = settings.core
        ip4 = [ip for ip in settings.local_ips if not ip >> 32]
        ip6 = [self.number(ip, OURS) for ip in settings.local_ips if ip >> 32]
        self._list("local", ip4 + ip6)
        self.record.n_ip4 = self.record.next_local_ip6 = len(ip4)
        (first, count), *others = runs(ip4) or [(-1, 0)]
        for ip in settings.also_ours:
            self.number(ip, OURS)
        self.record.first_local, self.record.first_range = first, count
        self._array("local_ranges", 2 * len(others), "i8")[: 2 * len(others)] = np.array(others, "i8").ravel()
        self.record.n_local_ranges = len(others)
        self.record.kernel_side = int(settings.kernel_side)
        if settings.client_ports:
            self.record.first_client_port, self.record.last_client_port = min(settings.client_ports), max(settings.client_ports)
        if settings.steering is not None:
            self.record.steering = settings.steering.ctypes.data
            self._kept.append(settings.steering)
        self._list("listen", map(self._listener, settings.listen or [_NOWHERE]))
        targets = self._array("targets", len(settings.targets), TARGET)
        for entry, (ip, port, neighbour) in zip(targets, settings.targets, strict=False):
            entry["ip"], entry["port"], entry["neighbour"] = self.number(ip), port, neighbour.ctypes.data
            self._kept.append(neighbour)
        self.record.n_targets = len(settings.targets)

    def _listener(self, given: int | tuple[int, int]) -> int:
        """A port, below the address's number where it is one address's."""
        if isinstance(given, tuple):
            return self.number(given[0], OURS) << 16 | given[1]
        return given

    def _list(self, name: str, values: Iterable[int]) -> None:
        values = list(values)
        self._array(name, len(values), "i8")[: len(values)] = values
        self.record[f"n_{name}"] = len(values)

    def _traffic(self) -> None:
        settings = self.settings
        self.record.is_client = int(bool(settings.targets))
        self.record.wanted = -1 if settings.wanted is None else settings.wanted
        self.record.max_open = settings.max_open
        self.record.fin_by_client = settings.fin_by_client
        self.record.fin_by_server = settings.fin_by_server
        self.record.hold_ms = settings.hold_ms
        backlog = settings.syn_backlog
        self.record.syn_backlog = max(settings.connections // 4, 1) if backlog is None else backlog

    def _workload(self) -> None:
        settings = self.settings
        self.record.own_payload = int(settings.request is None and settings.transfer is None)
        request = settings.request
        if request is None:
            request = (np.arange(settings.payload) & 0xFF).astype(np.uint8).tobytes()
        self._bytes("request", request)
        self.record.message_len = len(request)
        self.record.named_len = len(request) if self.record.own_payload and len(request) >= NAME_LEN else 0
        if settings.expect:
            self._bytes("expect", settings.expect)
            self.record.expect_len = len(settings.expect)
        elif settings.expect_echo and self.record.own_payload and settings.payload >= NAME_LEN:
            self.record.expect_len = 8
        self._response()

    def _response(self) -> None:
        settings = self.settings
        fixed, head = http_response(settings.response or HTTP_BODY)
        if settings.response_kind == "text":
            fixed, head = settings.response, len(settings.response)
        kinds = {"auto": RESPONSE_AUTO, "echo": RESPONSE_ECHO, "http": RESPONSE_AUTO, "text": RESPONSE_FIXED}
        self.record.response_kind = kinds[settings.response_kind]
        self._bytes("response", fixed)
        self.record.response_len, self.record.response_head_len = len(fixed), head
        small, large = _ECHO_SIZES
        size = min(large, max(small, 1 << (settings.payload - 1).bit_length()))
        echoes = settings.listen and settings.response_kind in ("auto", "echo", "http")
        # Rings a power of two apart would all fall into a few sets of the processor's cache.
        self.record.echo_stride = size + 64
        rings = min(settings.echo_rings, settings.connections) if echoes else 1
        self._array("echo", (size + 64) * rings, "u1")
        self._block("echo_rings", new_slots(rings))
        self.record.echo_mask = size - 1
        window = min(size - 1, settings.window) if echoes else settings.window
        self._block("server_limits", new_limits(**{**self._limits, "rcv_wnd": window, "widest": settings.window}))

    def _transfers(self) -> None:
        settings = self.settings
        if settings.transfers:
            self._array("transfers", settings.transfers, TRANSFER)
        if 0 < settings.transfers < settings.connections:
            self._block("transfer_pool", new_slots(settings.transfers))
            self.sizes["transfers"] += self.sizes.pop("transfer_pool")
        note_transfers(self.record, settings)
        if settings.needs_app_timers:
            self._array("paces", settings.transfers, PACE)
            self._block("app_wheel", new_wheel(settings.connections))

    def start(self, epoch: int, hertz: int) -> None:
        """TCP's clock begins at *epoch* (cycles) and runs at *hertz*. Before the cores poll; clients wait for `begin`."""
        self.record.epoch = epoch
        self.record.us_per_cycle = 1e6 / hertz
        self.record.ns_per_cycle = 1e9 / hertz
        self.record.second_cycles = hertz
        self.record.next_second = _NEVER
        self.record.per_cycle = (self.settings.cps or 0.0) / hertz
        self.record.turn_at = epoch
        self.record.late_cycles = self.settings.late_ms * hertz // 1000
        self.record.paused = 1

    def begin(self, epoch: int, duration: int | None = None) -> None:
        """Clients start at *epoch*: rates and intervals count from then; they open nothing from *duration* later on (both in
        cycles). While the cores poll."""
        self.record.begun = epoch
        self.record.ends = _NEVER if duration is None else epoch + duration
        self.record.next_second = epoch + self.record.second_cycles
        self.record.paused = 0

    def shortfall(self, elapsed: float) -> int:
        """Connections the schedule asked for within *elapsed* seconds that were not started, for whatever reason."""
        if not self.settings.cps:
            return 0
        asked = int(self.settings.cps * elapsed)
        if self.settings.wanted is not None:
            asked = min(asked, self.settings.wanted)
        return max(0, asked - int(self.record.started) - _BURST)

    @property
    def for_each_connection(self) -> dict[str, int]:
        """Bytes of the tables that have an entry for each connection there is room for."""
        kept = {"histories": bool(self.settings.records), "ip6": self.has_ip6}
        return {name: self.sizes[name] for name in PER_CONNECTION if name in self.sizes and kept.get(name, True)}

    def counters(self, role: str) -> dict[str, int]:
        """The counters of "client" or "server" by name."""
        values = self.client if role == "client" else self.server
        return named(role, values.tolist())

    def look(self) -> None:
        """Note how many connections are in ESTABLISHED, at least: neither side has sent its FIN, and none of those that failed
        is counted."""
        for role, most in self.max_established.items():
            counters = self.counters(role)
            now = counters["established"] - counters["SentFin"] - counters["RecvFin"] - counters["failed"]
            self.max_established[role] = max(most, now)

    @property
    def done(self) -> bool:
        """Have all wanted connections been opened, and come to their end?"""
        counters = self.counters("client")
        return counters["completed"] + counters["failed"] >= (self.settings.wanted or 0)

    @property
    def open(self) -> int:
        """Connections of both roles that are not finished."""
        return self.counters("client")["open"] + self.counters("server")["open"]

    def take_records(self) -> np.ndarray:
        """The connection records written since the last call, a copy."""
        tail, head = int(self.record.record_tail), int(self.record.record_head)
        if head == tail:
            return np.zeros(0, RECORD)
        mask = int(self.record.record_mask)
        places = np.arange(tail, head) & mask
        taken = self._records[places]
        if self.has_ip6:
            taken = _with_ips(taken, self._record_ips[places])
        self.record.record_tail = head
        return taken


def _with_ips(records: np.ndarray, ips: np.ndarray) -> np.ndarray:
    """RECORDs with their addresses in full."""
    whole = np.empty(len(records), RECORD6)
    for name in RECORD.names or ():
        whole[name] = (ips if name.endswith("_ip") else records)[name]
    return whole
