"""The command as a user runs it: how fast it starts, and its connections a second on one core and on two."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_COMMAND = [sys.executable, "-m", "apps.cli", "trafficengine", "--json"]
_BUSY = 0.15
"""Processors' worth of work of others during a run that make it a disturbed one."""


@dataclass
class Runs:
    """Figures of runs of one kind, and how many were disturbed: those were repeated, or kept when the machine stayed busy."""

    values: list[float] = field(default_factory=list)
    disturbed: int = 0

    def summary(self, **about: Any) -> dict[str, Any]:
        """Median and spread."""
        middle = statistics.median(self.values)
        return {**about, "median": middle, "spread": [min(self.values), max(self.values)], "disturbed": self.disturbed}


def run(arguments: list[str], cache: str | None = None) -> tuple[dict[str, Any], float, bool]:
    """The result of the command, its seconds from start to end, and whether others kept the machine busy meanwhile."""
    environment = {**os.environ, **({"TE_APPS_CACHE": cache} if cache else {})}
    began, ours, all_of_it = time.perf_counter(), _children(), _busy()
    done = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, env=environment)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
    others = (_busy() - all_of_it) - (_children() - ours)
    return json.loads(done.stdout), took, others > _BUSY * took


def _children() -> float:
    """Processor seconds of the processes waited for."""
    times = os.times()
    return times.children_user + times.children_system


def _busy() -> float:
    """Processor seconds of everything on this machine, idling and waiting for disks apart."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def starts(repetitions: int) -> list[dict[str, Any]]:
    """Seconds from the command to the end of a single connection: the first time on a machine, and later ones."""
    one = ["--connections", "1"]
    with tempfile.TemporaryDirectory() as cache:
        first = run(one, cache)
        warm = _undisturbed(lambda: _seconds(run(one, cache)), repetitions)
    return [
        Runs([first[1]], int(first[2])).summary(what="first start, which compiles"),
        warm.summary(what="later starts", wanted=1.5),
    ]


def rates(connections: int, repetitions: int) -> list[dict[str, Any]]:
    """Connections a second, kinds of run taken in turns."""
    kinds = [(device, cores) for device in ("loopback", "net_ring0") for cores in _cores()]
    for device, cores in kinds:
        run(_options(device, cores, 1000))
    found = {kind: Runs() for kind in kinds}
    for _ in range(repetitions):
        for (device, cores), runs in found.items():
            one = _undisturbed(lambda d=device, c=cores: _cps(run(_options(d, c, connections))), 1)
            runs.values += one.values
            runs.disturbed += one.disturbed
    return [runs.summary(device=device, cores=cores) for (device, cores), runs in found.items()]


def _cores() -> list[str]:
    allowed = sorted(os.sched_getaffinity(0))
    return [",".join(map(str, allowed[:n])) for n in (1, 2) if n <= len(allowed)]


def _options(device: str, cores: str, connections: int) -> list[str]:
    return ["--device", device, "--cores", cores, "--connections", str(connections)]


def _seconds(finished: tuple[dict[str, Any], float, bool]) -> tuple[float, bool]:
    return finished[1], finished[2]


def _cps(finished: tuple[dict[str, Any], float, bool]) -> tuple[float, bool]:
    return finished[0]["cps"], finished[2]


def _undisturbed(measure: Callable[[], tuple[float, bool]], wanted: int) -> Runs:
    """*wanted* figures of undisturbed runs; after as many disturbed ones again, of whatever runs there were."""
    found = Runs()
    spoilt: list[float] = []
    while len(found.values) < wanted and len(spoilt) < 2 * wanted:
        value, disturbed = measure()
        (spoilt if disturbed else found.values).append(value)
    found.disturbed = len(spoilt)
    found.values += spoilt[: wanted - len(found.values)]
    return found
