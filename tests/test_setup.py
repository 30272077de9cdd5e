"""What the Makefile says when it cannot go on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent / "Makefile"
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def make_as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` without privileges, in a directory it may not write to, with the Makefile on stdin."""
    command = [*(NOBODY if os.geteuid() == 0 else []), "make", "-s", "-C", "/", "-f", "-", *arguments]
    outermost = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, input=MAKEFILE.read_text(), capture_output=True, text=True, check=False, timeout=60, env=outermost
    )


@pytest.mark.parametrize("python", ["", "false"])
def test_a_machine_without_venv_is_told_what_to_install(python: str) -> None:
    done = make_as_nobody(".venv/bin/python", f"PYTHON={python}")
    said, failed = done.stderr.splitlines()
    assert said == "make: Python >= 3.11 with the venv module is missing; install it: sudo apt-get install python3-venv"
    assert failed.startswith("make: ***")
    assert done.returncode == 2
