"""The benchmarks run, on tiny counts, and their tables get into a page. Nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import page, sections
from benchmarks.timing import Disturbed, Plan, in_turns

ROOT = Path(__file__).parents[2]
TINY = json.dumps({"repetitions": 1, "rounds": 2, "slice_s": 0.005, "gap": 1.0})
ROW = {"median": 0.9, "spread": [0.8, 1.1], "disturbed": 0}


def figures_of(module: str) -> Any:
    done = subprocess.run([sys.executable, "-m", module, TINY], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_macswap_is_compared_on_every_device() -> None:
    rows = {row["device"]: row for row in figures_of("benchmarks.macswap")}
    assert set(rows) == {"net_null0", "net_ring0", "loopback"}
    assert all(row["lost"] in ([0], [0, 0]) and row["ours_ns"] > 0 for row in rows.values())
    assert all(row["discarded"] == 0 and row["kept"] > 0 for row in rows.values())
    assert rows["net_ring0"]["c_ns"] > 0


def test_trafficengine_is_compared_with_the_floor() -> None:
    row = figures_of("benchmarks.traffic")
    assert row["lost"] == [0, 0]
    assert row["failed"] == 0
    assert 7 <= row["packets_per_connection"] < 8
    assert row["packet_ns"] > row["floor_ns"] > 0


class Packets:
    """A work that claims *n* packets and remembers how often it was asked."""

    def __init__(self, n: int, wait: Any = lambda seconds: None) -> None:
        self.n, self.calls, self._wait = n, 0, wait

    def __call__(self, seconds: float) -> int:
        self.calls += 1
        self._wait(seconds)
        return self.n


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_works_are_measured_in_turns() -> None:
    plan = Plan(repetitions=3, rounds=4, slice_s=0.0005, gap=1.0)
    few, many = Packets(10, spin), Packets(100, spin)
    measured = in_turns([few, many], plan)
    assert few.calls == many.calls == 1 + 3 * 4
    assert measured.kept == 2 * 3 * 4
    assert [len(costs) for costs in measured.costs] == [3, 3]
    assert measured.median(0) >= 0.0005e9 / 10
    assert measured.median(0) > measured.median(1)
    assert measured.ratios(0, 1) == [a / b for a, b in zip(*measured.costs, strict=True)]


def test_a_busy_machine_is_told() -> None:
    with pytest.raises(Disturbed, match="0 of 40 slices"):
        in_turns([Packets(1, time.sleep)], Plan(repetitions=1, rounds=2, slice_s=0.0005))


def test_tables_replace_what_stands_between_the_markers() -> None:
    figures = {
        "date": "2000-01-01", "machine": "a machine",
        "macswap": [{"device": "net_ring0", "ours_ns": 4.0, "c_ns": 5.0, "speed": 1.25, "spread": [1.2, 1.3], "wanted": 0.9,
                     "lost": [0, 0], "kept": 8, "discarded": 2}],
        "rates": [{**ROW, "device": "loopback", "cores": "0", "median": 1234567.0}],
        "starts": [{**ROW, "what": "later starts", "wanted": 1.5}],
    }  # fmt: skip
    text = "".join(f"before\n<!-- {name} -->\nold\n<!-- end -->\nafter\n" for name in sections(figures))
    once = page(text, figures)
    assert "old" not in once
    assert once.count("before\n") == once.count("after\n") == 4
    assert "1.25 (1.20 to 1.30)" in once
    assert "2 of 10" in once
    assert "1,234,567" in once
    assert page(once, figures) == once
    with pytest.raises(ValueError, match="machine"):
        page("", figures)


def test_the_page_has_a_place_for_every_table() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    for name in ("machine", "macswap", "traffic", "rates", "starts"):
        assert text.count(f"<!-- {name} -->") == 1
