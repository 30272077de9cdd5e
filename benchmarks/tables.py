"""Figures as tables, and the tables in a page: what stands between its markers is replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_MARKED = "<!-- {name} -->\n{body}\n<!-- end -->"


def page(text: str, figures: dict[str, Any]) -> str:
    """*text* with the tables of *figures* between their markers; ValueError when a marker is missing."""
    for name, body in sections(figures).items():
        parts = re.split(rf"<!-- {name} -->.*?<!-- end -->", text, flags=re.S)
        if len(parts) != 2:
            raise ValueError(f"the page has {len(parts) - 1} places marked {name}: give it one")
        text = _MARKED.format(name=name, body=body).join(parts)
    return text


def sections(figures: dict[str, Any]) -> dict[str, str]:
    """The tables by the names of their markers: of what was measured."""
    found = {"machine": f"{figures['date']}, {figures['machine']}."}
    makers: dict[str, Callable[[Any], str]] = {"macswap": _macswap, "traffic": _traffic, "rates": _rates, "starts": _starts}
    return found | {name: make(figures[name]) for name, make in makers.items() if name in figures}


def _macswap(rows: Sequence[dict[str, Any]]) -> str:
    header = ["device", "te-apps, ns a packet", "C, ns a packet", "speed of te-apps / C", "wanted", "lost", "slices discarded"]
    body = []
    for row in rows:
        against = ["", "", ""]
        if "speed" in row:
            against = [f"{row['c_ns']:.2f}", f"{row['speed']:.2f} ({_range(row, 2)})", f"at least {row['wanted']}"]
        body.append([row["device"], f"{row['ours_ns']:.2f}", *against, str(sum(row["lost"])), _discarded(row)])
    return table(header, body)


def _traffic(row: dict[str, Any]) -> str:
    ghz, per_connection = row["ghz"], row["packets_per_connection"]
    connection = row["packet_ns"] * per_connection
    return table(
        ["one core, both roles", "", "spread"],
        [
            ["packets of a connection", f"{per_connection:.2f}", ""],
            ["cost of a packet", f"{row['packet_ns']:.1f} ns, {row['packet_ns'] * ghz:.0f} cycles", ""],
            ["cost of a connection", f"{connection:.0f} ns, {connection * ghz:.0f} cycles", ""],
            ["connections a second", f"{row['cps']:,.0f}", ""],
            ["cost of a packet in the loop in C", f"{row['floor_ns']:.1f} ns, {row['floor_ns'] * ghz:.0f} cycles", ""],
            [f"ratio (wanted: at most {row['wanted']:g})", f"{row['cost']:.1f}", _range(row, 1)],
            ["connections failed, packets lost", f"{row['failed']}, {sum(row['lost'])}", ""],
            ["slices discarded", _discarded(row), ""],
        ],
    )


def _rates(rows: Sequence[dict[str, Any]]) -> str:
    return table(
        ["device", "cores", "connections a second", "spread", "runs disturbed"],
        [[row["device"], row["cores"], f"{row['median']:,.0f}", _range(row, 0), str(row["disturbed"])] for row in rows],
    )


def _starts(rows: Sequence[dict[str, Any]]) -> str:
    return table(
        ["", "seconds", "spread", "wanted: at most", "runs disturbed"],
        [
            [row["what"], f"{row['median']:.2f}", _range(row, 2), str(row.get("wanted", "")), str(row["disturbed"])]
            for row in rows
        ],
    )


def _range(row: dict[str, Any], digits: int) -> str:
    least, most = row["spread"]
    return f"{least:,.{digits}f} to {most:,.{digits}f}"


def _discarded(row: dict[str, Any]) -> str:
    return f"{row['discarded']} of {row['kept'] + row['discarded']}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned for those who read it as text."""
    widths = [max(3, *(len(line[k]) for line in [header, *rows])) for k in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
