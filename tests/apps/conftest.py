"""A command line whose engine only notes what it was asked to run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from apps.cli import main
from apps.result import CoreResult, Result


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    started: list[Any]
    """The configurations runs were started with."""


CommandLine = Callable[..., Outcome]


@pytest.fixture
def te_apps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    started: list[Any] = []

    def run(config: Any) -> Result:
        started.append(config)
        return Result("fake", config.devices, [CoreResult(core=core) for core in config.cores], 1.0)

    for app in ("trafficengine", "macswap"):
        module = ModuleType(f"apps.{app}")
        module.__dict__["run"] = run
        monkeypatch.setitem(sys.modules, f"apps.{app}", module)

    def call(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err, list(started))

    return call


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], str]:
    """Writes a configuration; the path of the file."""

    def write(text: str) -> str:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return str(path)

    return write
