"""The names, what came of them, and the page that says so."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = Path(__file__).with_name("names.csv")
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

SOURCES = {
    "rfc9293": "RFC 9293, appendix B",
    "smoltcp": "smoltcp, src/socket/tcp.rs",
    "lwip": "lwIP, test/unit/tcp",
    "packetimpact": "gVisor, packetimpact",
    "packetdrill": "packetdrill, gtests/net/tcp",
}

_HEAD = """# Conformance

What RFC 9293 requires, and what others test their TCPs for, held against the tests of this one. The scenarios' names are theirs,
the tests are our own: crafted segments, with the whole state compared, and nothing else sent. `make conformance` runs the tests
and writes this page; a name is held when every test that claims it passes.
"""


@dataclass(frozen=True)
class Name:
    """One thing that is asked for. about: in words; applies: False with the reason in `note`; note: what else is to be said."""

    name: str
    about: str
    applies: bool
    note: str

    @property
    def source(self) -> str:
        return self.name.partition(":")[0]


def names() -> dict[str, Name]:
    """All names, in the order of their sources."""
    with NAMES.open(newline="") as file:
        return {row["name"]: Name(row["name"], row["about"], row["applies"] != "no", row["note"]) for row in csv.DictReader(file)}


def page(known: Iterable[Name], held: Mapping[str, list[str]]) -> str:
    """The text of docs/conformance.md. held: by name, the tests that passed."""
    known = list(known)
    parts = [_HEAD, _summary(known, held)]
    for source, title in SOURCES.items():
        parts.append(f"## {title}\n\n| name | | tests, and what is to be said |\n|---|---|---|")
        parts += [_row(name, held.get(name.name, [])) for name in known if name.source == source]
        parts.append("")
    return "\n".join(parts)


def _summary(known: list[Name], held: Mapping[str, list[str]]) -> str:
    lines = ["| source | names | not applicable | held | of the applicable |", "|---|---|---|---|---|"]
    for source, title in [*SOURCES.items(), ("", "all")]:
        mine = [name for name in known if source in ("", name.source)]
        applicable = [name for name in mine if name.applies]
        good = sum(name.name in held for name in applicable)
        share = f"{100 * good / max(len(applicable), 1):.1f} %"
        lines.append(f"| {title} | {len(mine)} | {len(mine) - len(applicable)} | {good} | {share} |")
    return "\n".join([*lines, ""])


def _row(name: Name, tests: list[str]) -> str:
    shown = name.name.partition(":")[2] + (f": {name.about}" if name.about else "")
    if not name.applies:
        return f"| {shown} | not applicable | {name.note} |"
    if tests:
        # First those that were written for it.
        tests = sorted(tests, key=lambda test: "test_conformance" not in test)
        more = f" and {len(tests) - 2} more" if len(tests) > 2 else ""
        return f"| {shown} | held | {', '.join(map(_short, tests[:2]))}{more}{'; ' + name.note if name.note else ''} |"
    return f"| {shown} | falls short | {name.note} |"


def _short(test: str) -> str:
    """A test's node id without its parameters and folders."""
    path, _, function = test.partition("::")
    return f"{Path(path).stem}::{function.partition('[')[0]}"
