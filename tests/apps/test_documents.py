"""docs/configuration.md and docs/result.md say what the code does: no key is missing, none is invented, defaults are true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import typer

from apps.cli import app
from apps.config import TcpOptions, Timeouts, TrafficConfig
from apps.result import CAUSES, COUNTERS, CoreResult, Result
from apps.schema import KEYS

DOCS = Path(__file__).parent.parent.parent / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
RESULT = (DOCS / "result.md").read_text()
ROW = re.compile(r"^\| `((?:run|engine)\.[\w.]+)` \| (?:`(--[\w-]+)`)? ?\| (.*?) \| (.*?) \| ", re.MULTILINE)


def options(command: str) -> set[str]:
    group = typer.main.get_command(app)
    found = group.commands[command].params  # type: ignore[attr-defined]
    return {name for parameter in found for name in parameter.opts if name.startswith("--")}


def test_every_key_is_documented_with_its_option() -> None:
    documented = {match[1]: match[2] for match in ROW.finditer(CONFIGURATION)}
    assert documented == {key.path: key.option for key in KEYS}


def test_defaults_are_those_of_the_code() -> None:
    plain = {field.name: field.default for field in fields(TrafficConfig)}
    plain |= {f"tcp.{field.name}": field.default for field in fields(TcpOptions)}
    plain |= {f"timeouts.{field.name}": field.default for field in fields(Timeouts)}
    documented = {match[1]: match[4].strip("`") for match in ROW.finditer(CONFIGURATION)}
    compared = 0
    for key in KEYS:
        default = plain.get(key.field)
        if key.field in ("connections", "max_open", "seed", "port_mask", "role") or not isinstance(default, int | str):
            continue
        assert documented[key.path] == (str(default).lower() if isinstance(default, bool) else str(default)), key.path
        compared += 1
    assert compared >= 20


def test_every_option_sets_a_key() -> None:
    of_keys = {key.option for key in KEYS if key.option}
    assert options("trafficengine") == of_keys | {"--map", "--json", "--quiet"}
    of_run = {key.option for key in KEYS if key.option and key.path.startswith("run.")}
    assert options("macswap") == of_run | {"--map", "--json", "--quiet"}
    assert options("run") == of_run | {"--map", "--json", "--quiet", "--config"}


def test_every_field_of_the_configuration_has_a_key() -> None:
    reporting = {"quiet", "json", "progress", "timeouts", "tcp"}
    assert {field.name for field in fields(TrafficConfig)} - reporting == {
        key.field for key in KEYS if not key.field.startswith(("timeouts.", "tcp.")) and key.field != "cps"
    }
    assert {f"tcp.{field.name}" for field in fields(TcpOptions)} == {k.field for k in KEYS if k.field.startswith("tcp.")}
    assert {f"timeouts.{field.name}" for field in fields(Timeouts)} == {k.field for k in KEYS if k.field.startswith("timeouts.")}


def test_every_key_of_the_result_is_documented() -> None:
    made = Result("x", ("null",), [CoreResult()], 1.0).to_json()
    named = set(re.findall(r"`(\w+)`", RESULT))
    top = re.search(r"\| key \| type \| is \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", RESULT)
    assert top is not None
    documented = [key for line in top[1].splitlines() for key in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(documented) == sorted(made)
    nested = [*made["connections"], *made["latency_us"]["connect"], *made["responses"], *made["packets"], *COUNTERS, *CAUSES]
    assert set(nested) <= named
