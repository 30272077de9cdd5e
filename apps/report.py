"""A result as text for people, at most 80 columns wide, and the line that shows a run's progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from apps.result import PERCENTILES, Result, Share, latency

_CORES_SHOWN = 16
_MIB = 1 << 20


def number(value: float) -> str:
    """*value* with thousands separated; a fraction only below 100."""
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:,.1f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, the first flush left and the others flush right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )


def _headline(result: Result, total: Share) -> str:
    cores = ",".join(str(core.core) for core in result.cores)
    endings = {"done": "done", "duration": "time is up", "silence": "nobody answers any more"}
    ended = endings.get(result.ended_by, f"stopped by {result.ended_by}")
    place = f"{result.app} on {' '.join(result.devices)}, core{'s' if len(result.cores) > 1 else ''} {cores}"
    return f"{place}: {ended} after {total.elapsed_s:.2f} s"


def _summary(total: Share) -> str:
    done = total.connections
    return (
        f"{number(done.completed)} of {number(done.attempted)} connections completed, {number(done.failed)} failed\n"
        f"at most {number(done.max_open)} were open at once, and {number(done.max_established)} seen established\n"
        f"{number(total.cps)} connections/s, {number(total.pps)} packets/s"
    )


def _two_roles(name: str, client: Mapping[str, int], server: Mapping[str, int]) -> str:
    rows = [[key, number(client[key]), number(server[key])] for key in client if client[key] or server[key]]
    return table([name, "client", "server"], rows) if rows else ""


def _packets_by(what: str, counts: Mapping[str, int]) -> str:
    rows = [[name, number(count)] for name, count in counts.items() if count]
    return table([what, "packets"], rows) if rows else ""


def _ports(ports: Mapping[str, Mapping[str, int]]) -> str:
    rows = [[f"{port} {name}", number(count)] for port, counters in ports.items() for name, count in counters.items() if count]
    return table(["devices", "count"], rows) if rows else ""


def _goodput(total: Share) -> str:
    rows = []
    for role, ways in total.goodput.items():
        for way, rate in ways.items():
            if rate:
                rows.append([f"{role} {way}", number(rate), number(rate * 8 / 1e6)])
    return table(["goodput", "bytes/s", "Mbit/s"], rows) if rows else ""


def _cores(result: Result, with_connections: bool) -> str:
    shown = result.cores[:_CORES_SHOWN]
    if with_connections:
        head = ["core", "connections/s", "packets/s", "completed", "most open"]
        rows = [[number(c.cps), number(c.pps), number(c.connections.completed), number(c.connections.max_open)] for c in shown]
    else:
        head = ["core", "packets/s", "received", "sent"]
        rows = [[number(c.pps), number(c.packets_received), number(c.packets_sent)] for c in shown]
    left = len(result.cores) - _CORES_SHOWN
    more = f"\n... and {left} more cores (--json has them all)" if left > 0 else ""
    return table(head, [[str(c.core), *row] for c, row in zip(shown, rows, strict=True)]) + more


def _latency(total: Share) -> str:
    rows = []
    for name, histogram in (("connect", total.connect), ("lifetime", total.lifetime)):
        found = latency(histogram)
        if found["count"]:
            rows.append([name, *(number(found[percent]) for percent in PERCENTILES)])
    return table(["latency in us", *(name.replace("_", ".") for name in PERCENTILES)], rows) if rows else ""


def _memory(total: Share) -> str:
    memory = total.memory
    if not memory.connections:
        return ""
    rows = [[name, f"{size / memory.connections:,.1f}", f"{size / _MIB:,.1f}"] for name, size in memory.tables.items()]
    rows.append([f"for each of {number(memory.connections)}", f"{memory.per_connection:,.1f}", f"{memory.bytes / _MIB:,.1f}"])
    rows.append(["other", "", f"{memory.other / _MIB:,.1f}"])
    return table(["memory", "bytes a connection", "MiB"], rows)


def _remarks(result: Result, total: Share) -> str:
    lines = []
    done = total.connections
    if result.wanted and done.attempted < result.wanted:
        lines.append(f"{number(result.wanted)} connections were wanted, {number(done.attempted)} were begun.")
    if total.shortfall:
        lines.append(f"The schedule was not kept: {number(total.shortfall)} connections started late or never.")
    if total.unexpected:
        lines.append(f"{number(total.unexpected)} responses did not start as expected, {number(total.expected)} did.")
    mismatches = total.client.counters["Mismatches"] + total.server.counters["Mismatches"]
    if mismatches:
        lines.append(f"{number(mismatches)} segments brought other content than was sent.")
    return "\n".join(lines)


def result_text(result: Result) -> str:
    """The tables of a run: what happened, per core, latency, counters, release causes, and what was dropped."""
    total = result.total
    with_connections = total.client.connections.attempted or total.server.connections.attempted or result.wanted
    parts = [_headline(result, total) + "\n" + (_summary(total) if with_connections else _packets(total))]
    parts.append(_cores(result, bool(with_connections)))
    if with_connections:
        parts += [
            _goodput(total) if result.transfers else "",
            _latency(total),
            _two_roles("counters", total.client.counters, total.server.counters),
            _two_roles("released by", total.client.causes, total.server.causes),
        ]
    parts += [
        _packets_by("impaired", total.impaired),
        _packets_by("drops", total.drops),
        _ports(result.ports),
        _memory(total),
        _remarks(result, total),
    ]
    return "\n\n".join(part for part in parts if part)


def _packets(total: Share) -> str:
    return (
        f"{number(total.packets_received)} packets received, {number(total.packets_sent)} sent\n"
        f"{number(total.pps)} packets/s, both ways together"
    )


def doctor_text(checks: Iterable[Any]) -> str:
    """One line for each check, with the remedy below it when it failed."""
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'no  '} {check.name}: {check.detail}")
        if not check.ok and check.remedy:
            lines.append(f"     -> {check.remedy}")
    return "\n".join(lines)


class Progress:
    """A line on stderr, rewritten: the engine calls `update` about once a second, and `close` before anything is printed."""

    def __init__(self, shown: bool, stream: TextIO | None = None) -> None:
        self._stream = (stream or sys.stderr) if shown else None
        self._length = 0

    def update(self, elapsed_s: float, completed: int, failed: int, still_open: int, cps: float) -> None:
        """Show how far the run is; *cps* over the last interval."""
        line = f"{elapsed_s:6.1f} s  {number(completed)} completed  {number(cps)}/s  {number(still_open)} open"
        self._show(line + (f"  {number(failed)} failed" if failed else ""))

    def update_packets(self, elapsed_s: float, packets: int, pps: float) -> None:
        """The same for an app without connections."""
        self._show(f"{elapsed_s:6.1f} s  {number(packets)} packets  {number(pps)}/s")

    def _show(self, line: str) -> None:
        if self._stream is not None:
            self._stream.write("\r" + line[:79].ljust(self._length))
            self._stream.flush()
            self._length = len(line[:79])

    def close(self) -> None:
        """Take the line away."""
        if self._length and self._stream is not None:
            self._stream.write("\r" + " " * self._length + "\r")
            self._stream.flush()
            self._length = 0
