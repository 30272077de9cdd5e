"""Every benchmark: `python -m benchmarks [--quick] [--json FILE] [--page FILE]`.

Prints the tables and writes them into the page (docs/performance.md). --quick: tiny counts, to see that everything runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.command import rates, starts
from benchmarks.machine import machine
from benchmarks.tables import page, sections

_ROOT = Path(__file__).parent.parent
_QUICK = {"repetitions": 1, "rounds": 2, "slice_s": 0.001, "gap": 1.0}


def apart(module: str, quick: bool) -> Any:
    """The figures of a benchmark in a process of its own: DPDK starts once in each."""
    _tell(module)
    arguments = [json.dumps(_QUICK)] if quick else []
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def measured(quick: bool) -> dict[str, Any]:
    """All figures."""
    figures: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine()}
    figures["macswap"] = apart("benchmarks.macswap", quick)
    figures["traffic"] = apart("benchmarks.traffic", quick)
    if quick:
        return figures
    _tell("connections a second")
    figures["rates"] = rates(1_000_000, 5)
    _tell("start-up")
    figures["starts"] = starts(7)
    return figures


def _tell(what: str) -> None:
    sys.stderr.write(f"measuring {what}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What te-apps costs, against the same work in C.")
    parser.add_argument("--quick", action="store_true", help="tiny counts; the page is left as it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--page", type=Path, default=_ROOT / "docs" / "performance.md", metavar="FILE")
    options = parser.parse_args()
    figures = measured(options.quick)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    for body in sections(figures).values():
        print(body, end="\n\n")
    if not options.quick:
        options.page.write_text(page(options.page.read_text(), figures))


if __name__ == "__main__":
    main()
