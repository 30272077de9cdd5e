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
from typing import Any, NamedTuple

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


class Finished(NamedTuple):
    """A run of the command: its result, its seconds from start to end, and whether others kept the machine busy meanwhile."""

    result: dict[str, Any]
    seconds: float
    disturbed: bool


def run(arguments: list[str], cache: str | None = None) -> Finished:
    """Run the command, with its machine code in the folder *cache* or where it keeps it; SystemExit when it fails."""
    environment = {**os.environ, **({"TE_APPS_CACHE": cache} if cache else {})}
    began, ours, all_of_it = time.perf_counter(), _children(), _busy()
    done = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, env=environment)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr.strip()}")
    others = (_busy() - all_of_it) - (_children() - ours)
    return Finished(json.loads(done.stdout), took, others > _BUSY * took)


def repeated(arguments: list[str], figure: Callable[[Finished], float], wanted: int, cache: str | None = None) -> Runs:
    """*figure* of *wanted* undisturbed runs; after twice as many disturbed ones, of whatever runs there were."""
    found = Runs()
    spoilt: list[float] = []
    while len(found.values) < wanted and len(spoilt) < 2 * wanted:
        finished = run(arguments, cache)
        (spoilt if finished.disturbed else found.values).append(figure(finished))
    found.disturbed = len(spoilt)
    found.values += spoilt[: wanted - len(found.values)]
    return found


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
        later = repeated(one, lambda finished: finished.seconds, repetitions, cache)
    return [
        Runs([first.seconds], int(first.disturbed)).summary(what="first start, which compiles"),
        later.summary(what="later starts", wanted=1.5),
    ]


def rates(connections: int, repetitions: int) -> list[dict[str, Any]]:
    """Connections a second, kinds of run taken in turns."""
    found = {(device, cores): Runs() for device in ("loopback", "net_ring0") for cores in _cores()}
    for device, cores in found:
        run(_options(device, cores, 1000))
    for _ in range(repetitions):
        for (device, cores), runs in found.items():
            one = repeated(_options(device, cores, connections), lambda finished: finished.result["cps"], 1)
            runs.values += one.values
            runs.disturbed += one.disturbed
    return [runs.summary(device=device, cores=cores) for (device, cores), runs in found.items()]


def _cores() -> list[str]:
    """One core and two, as far as there are any."""
    allowed = sorted(os.sched_getaffinity(0))
    return [",".join(map(str, allowed[:n])) for n in (1, 2) if n <= len(allowed)]


def _options(device: str, cores: str, connections: int) -> list[str]:
    return ["--device", device, "--cores", cores, "--connections", str(connections)]
