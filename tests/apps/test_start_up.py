"""What the command does to start quickly has ended when the run begins, and the user's own settings win."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from apps import cli

PROGRAM = "import os; from apps.cli import main; main(['--version']); print(os.environ['OPENBLAS_NUM_THREADS'])"


@pytest.mark.parametrize(("own", "seen"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")], ids=["ours", "the user's"])
def test_threads_for_algebra(own: dict[str, str], seen: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | own
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == seen


def test_garbage_is_collected_while_a_pipeline_runs() -> None:
    during: list[bool] = []

    def start(settings: SimpleNamespace) -> SimpleNamespace:
        during.append(gc.isenabled())
        return SimpleNamespace(exit_code=0)

    gc.disable()
    try:
        cli._finish(start, SimpleNamespace(quiet=True, json=False), [])
    finally:
        gc.enable()
        gc.unfreeze()
    assert during == [True]


@pytest.mark.parametrize("arguments", [["--version"], ["--no-such-option"], ["trafficengine", "no_such_file.toml"]])
def test_garbage_is_collected_afterwards(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(arguments)
    assert gc.isenabled()
