"""What `--impair` and `[run.impair]` mean."""

from __future__ import annotations

from typing import Any

import pytest

from apps.config import Impairment
from apps.impaired import behind
from apps.impairvalues import impairment
from apps.load import load_run, load_traffic
from operators.impair import impair
from operators.macswap import macswap
from pipeline import Pipeline


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("loss=1%", {"loss": 0.01}),
        ("loss=0.5,corrupt=100%,duplicate=0,reorder=.5%,delay=1s", {"loss": 0.5, "corrupt": 1.0, "reorder": 0.005, "delay": 1.0}),
        ("delay=20ms, jitter=100us", {"delay": 0.02, "jitter": 0.0001}),
        ("delay=0,rate=1.5Gbit,queue=64k", {"rate": 1.5e9, "queue": 64_000}),
        ("rate=500kbit,queue=1500,limit=100,seed=9", {"rate": 5e5, "queue": 1500, "limit": 100, "seed": 9}),
    ],
)
def test_text(text: str, meant: dict[str, Any]) -> None:
    made = impairment(text, "--impair")
    for name, value in vars(Impairment(**meant)).items():
        assert getattr(made, name) == pytest.approx(value), name


def test_a_table_and_its_text_are_the_same() -> None:
    table = {"loss": 0.01, "delay": "20ms", "rate": "10mbit", "queue": 5000, "limit": 64, "seed": 3}
    text = "loss=1%,delay=20ms,rate=10mbit,queue=5000,limit=64,seed=3"
    assert impairment(table, "run.impair") == impairment(text, "--impair")


def test_it_reaches_every_app() -> None:
    for load in (load_traffic, load_run):
        config, _ = load(None, {"impair": "loss=1%"})
        assert config.impair == Impairment(loss=0.01)
        assert load(None, {})[0].impair is None


def test_defaults_are_those_of_the_operator() -> None:
    defaults = {name: default for name, (_, default) in impair.params.items()}
    assert {name: value for name, value in vars(Impairment()).items() if name != "limit"} == defaults


def test_each_core_of_each_device_has_troubles_of_its_own() -> None:
    """Were they alike, what two devices are sent would be lost at the same places."""
    pipelines = [behind(Impairment(loss=0.1), Pipeline("swap", [macswap]), first) for first in (0, 2)]
    numbers = [int(pipeline.resources["delay_line"](core).record.core) for pipeline in pipelines for core in range(2)]
    assert numbers == [0, 1, 2, 3]
