"""trafficengine: TCP connections as client, server or both, on every core at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from apps.addresses import ip_text, is_ip6
from apps.config import TrafficConfig
from apps.engine import Signals, Watch, compile_cores, core_results, port_options, port_statistics, run_of
from apps.goodput import Moved
from apps.hooks import contents_of
from apps.impaired import held
from apps.records import RecordWriter, open_records
from apps.report import Progress
from apps.result import (
    CAUSES,
    COUNTERS,
    DONE,
    SILENCE,
    Connections,
    CoreResult,
    Interval,
    Memory,
    Result,
    Role,
    add_up,
    merge_intervals,
)  # fmt: skip
from apps.silence import Silence, patience_s
from apps.trafficpipeline import Site, open_tap, traffic_pipeline
from dpdk_io import TeError, open_ports
from dpdk_io.clock import cycles, hertz
from operators.steer import steer, steer6
from operators.tcp_engine import TcpEngine
from pipeline import SLOW, Core, Pipeline, Run
from tcp.connection import STATE_NAMES

_ARP_PATIENCE = 10.0
"""Seconds to wait for next hops to answer: a tap's address may be set only after the tap has come up."""
_ARP_SILENCE = 1.0
"""After so many seconds it is told that they are waited for."""
_DRAIN_QUIET = 0.05
_DRAIN_LIMIT = 1.0
"""After the last connection: until nothing has moved for this long, at most the limit, so that last ACKs are seen."""
_DRAIN_LOSSY = 30.0
"""The same for a run whose packets are impaired."""
_START_AHEAD = 0.001
_MOMENT = 0.05
"""Seconds by which a run may be longer than it was asked to be."""
_LABELS = {"role": ("client", "server"), "cause": CAUSES}


def run(config: TrafficConfig) -> Result:
    """Run *config*; TeError when next hops do not answer, DeviceError when a device cannot be opened."""
    contents = contents_of(config)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(starting=True))
        ports = stack.enter_context(open_ports(config.devices, config.cores, port_options(config)))
        tap = open_tap(config, ports[0].mac, stack)
        sites = [Site(config, port, tap if number == 0 else None, contents) for number, port in enumerate(ports)]
        pipelines = [traffic_pipeline(site, number) for number, site in enumerate(sites)]
        cores = [[_instance(*on, k) for on in zip(sites, pipelines, strict=True)] for k in range(len(config.cores))]
        compile_cores([core for instances in cores for core in instances], config.quiet)
        signals.starting = False
        traffic = _Traffic(config, sites, cores, stack)
        started = traffic.run(run_of(config, cores, ports), signals)
        return traffic.result(started, port_statistics(ports))


def _instance(site: Site, pipeline: Pipeline, k: int) -> Core:
    """The pipeline on the k-th core; the first core also takes what the kernel side sends."""
    tap = site.tap
    if tap is None:
        return Core(pipeline, site.port, k, k, idle=site.config.idle)

    def to_kernel(frame: np.ndarray) -> None:
        tap.write(frame.tobytes())

    inject = tap.read if k == 0 else None
    return Core(pipeline, site.port, k, k, idle=site.config.idle, callbacks={SLOW: to_kernel}, inject=inject)


class _Traffic:
    """One run: its start, its course and what is made of its counters."""

    def __init__(self, config: TrafficConfig, sites: Sequence[Site], cores: Sequence[Sequence[Core]], stack: ExitStack) -> None:
        self.config = config
        self.sites = sites
        self.cores = cores
        self._writer: RecordWriter | None = None
        if config.records is not None:
            self._writer = open_records(config.records, self.engines[0].record_dtype, {**_LABELS, "states": STATE_NAMES})
            stack.callback(self._writer.close)
        self._shown = (time.monotonic(), 0)
        self._silence = Silence(patience_s(config.timeouts))
        self._looked = 0.0
        self.ended_by = DONE
        self._moved: dict[int, list[int]] = {}
        """Bytes that each engine has sent and received by the end of the run."""

    @property
    def engines(self) -> list[TcpEngine]:
        """One for each device and core."""
        return [engine for site in self.sites for engine in site.engines]

    def _unknown(self) -> list[int]:
        """Next hops that have not answered."""
        return [ip for site in self.sites for ip in (*site.neighbours.unknown(), *site.neighbours6.unknown())]

    def run(self, run: Run, signals: Signals) -> tuple[float, float]:
        """Until it is over; (start, end) on the monotonic clock."""
        self._start_engines(paused=True)
        with run:
            self._resolve(run, signals)
            start = time.monotonic()
            self._start_engines(paused=False)
            watch = Watch(self.config, done=self._done, show=self._show, collect=self._collect)
            ended = watch.until_over(run, signals, start)
            self.ended_by = ended if self.ended_by == DONE or signals.name else self.ended_by
            end = time.monotonic()
            self._moved = {id(engine): _moved(engine) for engine in self.engines}
            self._drain(run, signals)
        self._collect()
        return start, end

    def _start_engines(self, paused: bool) -> None:
        """Engines know the time from the beginning; clients begin when next hops are known."""
        rate = hertz()
        epoch = cycles() + int(_START_AHEAD * rate)
        duration = self.config.duration_s
        for engine in self.engines:
            if paused:
                engine.start(epoch, rate)
            else:
                engine.begin(epoch, None if duration is None else int(duration * rate))

    def _resolve(self, run: Run, signals: Signals) -> None:
        """Wait until ARP and ND have told where the next hops are."""
        asked = time.monotonic()
        told = self.config.quiet
        while run.running and not signals.name and (unknown := self._unknown()):
            silent = time.monotonic() - asked
            names = ", ".join(map(ip_text, unknown))
            by = " or ".join(dict.fromkeys("ND" if is_ip6(ip) else "ARP" for ip in unknown))
            if silent > _ARP_PATIENCE:
                raise TeError(f"no {by} answer from {names}: is it up, and on this link? else give its MAC with the target")
            if silent > _ARP_SILENCE and not told:
                told = True
                sys.stderr.write(f"te-apps: waiting for {names} to answer {by}\n")
            time.sleep(0.005)

    def _done(self) -> bool:
        """Everything that was wanted has come to its end; a server alone is done after as many connections as it was told."""
        if self.config.connections is None:
            return False
        if self.config.is_client:
            self._stop_at_silence()
            return all(engine.done for engine in self.engines) or (self.ended_by == SILENCE and not self._open_clients())
        served = sum(c["completed"] + c["failed"] for c in (engine.counters("server") for engine in self.engines))
        return served >= self.config.connections * len(self.config.cores)

    def _stop_at_silence(self) -> None:
        """Open no more connections while all targets seem to have died; those that are open will be given up, or heard again."""
        now = time.monotonic()
        if now - self._looked < 1.0:
            return
        self._looked = now
        clients = [engine.counters("client") for engine in self.engines]
        heard = sum(count for client in clients for name, count in client.items() if name.startswith("Recv"))
        silent = self._silence.lasts(heard, sum(client["Timeout"] for client in clients), now)
        if silent != (self.ended_by == SILENCE):
            self.ended_by = SILENCE if silent else DONE
            for engine in self.engines:
                engine.record.paused = int(silent)

    def _open_clients(self) -> int:
        return sum(engine.counters("client")["open"] for engine in self.engines)

    def _drain(self, run: Run, signals: Signals) -> None:
        """No more connections are begun; what is on its way is let come to its end. Where packets are lost on purpose, what is
        done at one end may have to be said to the other again."""
        lossy = self.config.impair is not None and self.ended_by == DONE
        quiet, limit = (_DRAIN_LOSSY, _DRAIN_LOSSY) if lossy else (_DRAIN_QUIET, _DRAIN_LIMIT)
        limit += time.monotonic()
        for engine in self.engines:
            engine.record.paused = 1
        before, since = -1, time.monotonic()
        while run.running and time.monotonic() < limit and not signals.name and (self._under_way(run) or before < 0):
            now = sum(core.counters()["rx_packets"] for core in run.cores)
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                break
            self._collect()
            time.sleep(0.005)
        time.sleep(0.01)

    def _under_way(self, run: Run) -> bool:
        return any(engine.open for engine in self.engines) or any(map(held, run.cores))

    def _collect(self) -> None:
        for engine in self.engines:
            engine.look()
        if self._writer is not None:
            for engine in self.engines:
                chunk = engine.take_records()
                if len(chunk):
                    self._writer.write(chunk)

    def _show(self, progress: Progress, elapsed: float) -> None:
        role = "client" if self.config.is_client else "server"
        totals = [engine.counters(role) for engine in self.engines]
        completed = sum(t["completed"] for t in totals)
        now = time.monotonic()
        rate = (completed - self._shown[1]) / max(now - self._shown[0], 1e-9)
        self._shown = (now, completed)
        progress.update(elapsed, completed, sum(t["failed"] for t in totals), sum(t["open"] for t in totals), rate)

    def result(self, course: tuple[float, float], ports: dict[str, dict[str, int]]) -> Result:
        """Everything counted."""
        elapsed = course[1] - course[0]
        results = core_results(self.config, self.cores, elapsed)
        for k, share in enumerate(results):
            engines = [site.engines[k] for site in self.sites]
            for engine in engines:
                _add_engine(share, engine, elapsed, self.config.duration_s or elapsed)
            share.moved = Moved.total(Moved(*self._moved[id(engine)]) for engine in engines)
            share.intervals = merge_intervals(_intervals(engine, elapsed, self._moved[id(engine)]) for engine in engines)
            share.misdirected = sum(map(_misdirected, self.cores[k]))
        results[0].drops |= self._lost_outside()
        wanted = None
        if self.config.connections is not None and self.config.is_client:
            wanted = self.config.connections * len(self.engines)
        per_core = self.config.cps_per_core
        return Result(
            "trafficengine", self.config.devices, results, elapsed, self.ended_by, wanted=wanted,
            asked_cps=per_core and per_core * len(self.config.cores), seed=self.config.seed, ports=ports,
            transfers=self.config.transfers,
        )  # fmt: skip

    def _lost_outside(self) -> dict[str, int]:
        """What no core's loop counts."""
        lost = {}
        if self.sites[0].steering is not None:
            lost["left_in_rings"] = sum(site.steering.waiting() for site in self.sites if site.steering is not None)
        if self.sites[0].tap is not None:
            lost["kernel_side"] = self.sites[0].tap.dropped
        return lost


def _misdirected(core: Core) -> int:
    """Packets that `steer` found on the wrong core."""
    steps = enumerate(core.pipeline.operators)
    return sum(int(core.states[k]["misdirected"][0]) for k, step in steps if step.name in (steer.name, steer6.name))


def _add_engine(share: CoreResult, engine: TcpEngine, elapsed: float, asked_for: float) -> None:
    """Add what *engine* counted in *elapsed* seconds; its clients opened connections for *asked_for* of them at most."""
    client, server = engine.counters("client"), engine.counters("server")
    _add_role(share.client, client, engine.max_established["client"])
    _add_role(share.server, server, engine.max_established["server"])
    share.expected += client["expected"]
    share.unexpected += client["unexpected"] + server["unexpected"]
    share.connect += engine.connect_histogram
    share.lifetime += engine.lifetime_histogram
    share.shortfall += engine.shortfall(min(elapsed, asked_for))
    share.time_wait_evicted += client["time_wait_evicted"] + server["time_wait_evicted"]
    share.mbuf_waits += client["mbuf_waits"] + server["mbuf_waits"]
    for reason in ("records_lost", "no_echo_ring", "no_transfer"):
        share.drops[reason] = share.drops.get(reason, 0) + client[reason] + server[reason]
    cookies = {"sent": server["syn_cookies_sent"], "accepted": server["syn_cookies_accepted"]}
    share.syn_cookies = add_up([share.syn_cookies, cookies])
    tables = engine.for_each_connection
    memory = Memory(engine.settings.connections, tables, sum(engine.sizes.values()) - sum(tables.values()))
    share.memory = Memory.total([share.memory, memory])


def _moved(engine: TcpEngine) -> list[int]:
    """Bytes sent and received so far, by the client, by the server."""
    counters = [engine.counters(role) for role in ("client", "server")]
    return [count[name] for count in counters for name in ("BytesSent", "BytesReceived")]


def _intervals(engine: TcpEngine, elapsed: float, moved_by_the_end: list[int]) -> list[Interval]:
    """Second by second. What happened in the moment after a run's last second, with nothing started, counts in that second."""
    seconds = min(int(elapsed) + 1, len(engine.intervals))
    moved = np.maximum.accumulate(engine.interval_bytes[:seconds])
    moved[-1] = moved_by_the_end
    rows = zip(engine.intervals[:seconds].tolist(), np.diff(moved, axis=0, prepend=0).tolist(), strict=True)
    found = [
        Interval(min(second + 1.0, elapsed), started, completed, min(elapsed - second, 1.0), Moved(*of_second))
        for second, ((started, completed), of_second) in enumerate(rows)
    ]
    if len(found) > 1 and found[-1].started == 0 and (found[-1].seconds < _MOMENT or not found[-1].moved.any):
        found[-2].extend(found.pop())
    return found


def _add_role(role: Role, counters: dict[str, int], max_established: int) -> None:
    made = Role(
        Connections(
            **{name: counters[name] for name in ("attempted", "established", "completed", "failed", "max_open")},
            max_established=max_established,
        ),
        {name: counters[name] for name in COUNTERS},
        {name: counters[name] for name in CAUSES},
    )
    total = Role.total([role, made])
    role.connections, role.counters, role.causes = total.connections, total.counters, total.causes
