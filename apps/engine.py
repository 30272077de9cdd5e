"""Running pipelines on devices: ports opened, cores started, watched until they are done or told to stop, everything closed."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from apps.beside import beside_tcp
from apps.config import RunConfig
from apps.goodput import add_up
from apps.impaired import behind, held, impairments, mbufs
from apps.report import Progress
from apps.result import DONE, DURATION, SIGINT, SIGTERM, CoreResult, Result
from dpdk_io import Options, Port, Ports, open_ports
from pipeline import Core, Pipeline, Run

_TICK = 0.02
"""Seconds between looks at a run."""


def port_options(config: RunConfig, **changes: Any) -> Options:
    """How *config* wants its devices opened."""
    return Options(
        mbuf_cnt=mbufs(config),
        cache_size=config.cache_size,
        rxd=config.rxd,
        txd=config.txd,
        prefix=config.name,
        nic_loopback=config.nic_loopback,
        **changes,
    )


class Signals:
    """Within the block SIGINT and SIGTERM end the run instead of the program; the first one is remembered in `name`.

    While `starting` the first one also ends what goes on, compiling for instance, by an exception. Where a library swallows it,
    the run that then begins is over at once.
    """

    def __init__(self, *, starting: bool = False) -> None:
        self.starting = starting
        self.name: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        first = self.name is None
        self.name = self.name or (SIGINT if number == signal.SIGINT else SIGTERM)
        if first and self.starting:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def __exit__(self, *failure: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _known_to_dpdk() -> Iterator[None]:
    """A polling thread has a mempool cache of its own while EAL knows it."""
    from dpdk_io import eal

    eal.register_thread()
    try:
        yield
    finally:
        eal.unregister_thread()


def run_of(config: RunConfig, cores: Sequence[Sequence[Core]], ports: Sequence[Port]) -> Run:
    """The run of `cores[k]`, the instances on the k-th core of *config*."""
    embedded = all(port.driver.__name__ == "dpdk_io.loopback" for port in ports)
    attach = contextlib.nullcontext if embedded else _known_to_dpdk
    return Run(list(zip(config.cores, cores, strict=True)), attach)


def compile_cores(cores: Sequence[Core], quiet: bool) -> None:
    """Compile what the cores run, telling so when that takes a while: the first time on a machine."""
    for core in cores:
        if not quiet and not core.compiled_before:
            name = core.pipeline.name
            sys.stderr.write(f"te-apps: compiling {name} for this machine, once; it takes up to 20 seconds\n")
            sys.stderr.flush()
        core.compile()


@dataclass
class Watch:
    """What decides when a run is over, and what is shown and collected meanwhile."""

    config: RunConfig
    done: Callable[[], bool] = lambda: False
    show: Callable[[Progress, float], None] = lambda progress, elapsed: None
    collect: Callable[[], None] = lambda: None
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.config.progress)

    def until_over(self, run: Run, signals: Signals, start: float) -> str:
        """Wait; why the run is over."""
        shown = start
        try:
            while run.running:
                time.sleep(_TICK)
                now = time.monotonic()
                self.collect()
                if signals.name:
                    return signals.name
                if self.done():
                    return DONE
                if self.config.duration_s is not None and now - start >= self.config.duration_s:
                    return DURATION
                if now - shown >= 1:
                    self.show(self.progress, now - start)
                    shown = now
        finally:
            self.progress.close()
        return DONE


def core_results(config: RunConfig, cores: Sequence[Sequence[Core]], elapsed: float) -> list[CoreResult]:
    """What the loops themselves counted, per core of *config*."""
    return [
        CoreResult(
            core=number,
            elapsed_s=elapsed,
            packets_received=sum(core.counters()["rx_packets"] for core in instances),
            packets_sent=sum(core.counters()["tx_packets"] for core in instances),
            drops=add_up(core.drops() for core in instances),
            beside_tcp=add_up(map(beside_tcp, instances)),
            impaired=impairments(instances),
        )
        for number, instances in zip(config.cores, cores, strict=True)
    ]


def port_statistics(ports: Ports) -> dict[str, dict[str, int]]:
    """Each device's own counters; a device named twice is numbered."""
    found: dict[str, dict[str, int]] = {}
    for port in ports:
        name = port.name if port.name not in found else f"{port.name}#{len(found)}"
        found[name] = port.stats()
    return found


def run_pipeline(pipeline: Pipeline, config: RunConfig, app: str) -> Result:
    """Run *pipeline* on every queue of the devices of *config* until its files are read, its time is up, or a signal comes."""
    n_cores = len(config.cores)
    pipelines = [behind(config.impair, pipeline, number * n_cores) for number in range(len(config.devices))]
    with open_ports(config.devices, config.cores, port_options(config)) as ports:
        each = list(zip(pipelines, ports, strict=True))
        cores = [[Core(mine, port, k, k, idle=config.idle) for mine, port in each] for k in range(n_cores)]
        compile_cores([core for instances in cores for core in instances], config.quiet)
        run = run_of(config, cores, ports)
        last = _Rate()

        def show(progress: Progress, elapsed: float) -> None:
            packets = sum(core.counters()["rx_packets"] for core in run.cores)
            progress.update_packets(elapsed, packets, last.of(packets))

        watch = Watch(config, done=lambda: bool(ports) and all(_drained(port, run) for port in ports), show=show)
        start = time.monotonic()
        with Signals() as signals, run:
            ended = watch.until_over(run, signals, start)
        elapsed = time.monotonic() - start
        return Result(app, config.devices, core_results(config, cores, elapsed), elapsed, ended, ports=port_statistics(ports))


def _drained(port: Port, run: Run) -> bool:
    """Has a capture file been read to its end, and everything been dealt with?"""
    return port.exhausted() and not any(core.record.queued.any() or held(core) for core in run.cores)


class _Rate:
    """The rate of a counter between two looks."""

    def __init__(self) -> None:
        self._at, self._value = time.monotonic(), 0

    def of(self, value: int) -> float:
        now = time.monotonic()
        rate = (value - self._value) / max(now - self._at, 1e-9)
        self._at, self._value = now, value
        return rate
