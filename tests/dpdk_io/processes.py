"""Starting the programs of `programs.py`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).with_name("programs.py")


def start(name: str, *words: str, jit: bool = False, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    """Start a program, interpreted unless *jit*; *before* goes in front of the command."""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "0" if jit else "1", **environment}
    return subprocess.Popen(
        [*before, sys.executable, str(PROGRAMS), name, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it reported; AssertionError when it failed, or when anything else was printed."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    (line,) = out.splitlines()
    return json.loads(line)


def run(name: str, *words: str, **options: Any) -> dict[str, Any]:
    """Start a program and return what it reported."""
    return finish(start(name, *words, **options))
