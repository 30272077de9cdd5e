"""The name of a generated file changes with everything that its machine code depends on, and with nothing else."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from pipeline.cache import digest

HELPER = """
import enum
import numpy as np
from dpdk_io.jit import kernel
from dpdk_io.memory import load8
LIMIT = 3
TABLE = np.arange(4)
SHAPE = np.dtype([("a", "u4"), ("b", "u2")])
PAIR = (1, (2, "x"))
class Colour(enum.IntEnum):
    RED = 1
@kernel
def deeper(x, y=5):
    return load8(x) + LIMIT + y
@kernel
def helper(x):
    return deeper(x) + TABLE[0] + SHAPE.itemsize + PAIR[0] + Colour.RED
def unrelated(x):
    return x
"""
USER = "from dpdk_io.jit import kernel\nimport te_helper\n@kernel\ndef user(x):\n    return te_helper.helper(x) + 1\n"

CHANGES = {
    "a kernel two calls away": ("+ LIMIT + y", "- LIMIT + y"),
    "a constant": ("LIMIT = 3", "LIMIT = 4"),
    "a default": ("y=5", "y=6"),
    "a table": ("np.arange(4)", "np.arange(1, 5)"),
    "a dtype's field": ('("b", "u2")', '("b", "u4")'),
    "a dtype's name": ('("b", "u2")', '("c", "u2")'),
    "a tuple": ('(2, "x")', '(2, "y")'),
    "an enumeration": ("RED = 1", "RED = 2"),
    "another primitive": ("import load8", "import load16 as load8"),
}
HARMLESS = {
    "a function that is not called": ("return x\n", "return -x\n"),
    "a comment": ("LIMIT = 3", "LIMIT = 3  # of three"),
    "a global called like an attribute": ("LIMIT = 3", "itemsize = 1\nLIMIT = 3"),
    "a line": ("@kernel\ndef helper", "\n\n@kernel\ndef helper"),
}


def tag(helper: str, source: str = "") -> str:
    modules = {}
    for name, text in (("te_helper", helper), ("te_user", USER)):
        module = types.ModuleType(name)
        sys.modules[name] = module
        exec(compile(text, f"/somewhere/{name}.py", "exec"), module.__dict__)
        modules[name] = module
    try:
        return digest(source, [modules["te_user"].user])
    finally:
        for name in modules:
            del sys.modules[name]


@pytest.mark.parametrize("change", CHANGES)
def test_an_edit_misses(change: str) -> None:
    old, new = CHANGES[change]
    assert old in HELPER
    assert tag(HELPER.replace(old, new)) != tag(HELPER)


@pytest.mark.parametrize("change", HARMLESS)
def test_an_unrelated_edit_hits(change: str) -> None:
    old, new = HARMLESS[change]
    assert old in HELPER
    assert tag(HELPER.replace(old, new)) == tag(HELPER)


def test_the_generated_source_counts() -> None:
    assert tag(HELPER, "a") != tag(HELPER, "b")


def test_frozen_sets_are_the_same_in_every_process() -> None:
    program = "from pipeline.cache import digest; print(digest('', [frozenset(['a', 'b', 'c', 'd', 'e'])]))"
    tags = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(tags) == 1
    assert len(tags.pop()) == 17


def test_constants_of_numpy_and_enumerations_are_told_apart() -> None:
    class Small(enum.Enum):
        A = 1

    numbers = [np.int64(1), np.int64(2), np.zeros(2), np.zeros(3), np.zeros(2, "f4"), Small, 1.0, True]
    values = [*numbers, "1", b"1", None, {"a": 1}, {"a": 2}]
    assert len({digest("", [value]) for value in values}) == len(values)


KERNEL = """
from pipeline import NEXT, TX, DROP, operator
from te_constants import LIMIT
@operator
def limited(length):
    \"\"\"Send short frames.\"\"\"
    return TX if length <= LIMIT else DROP
"""
PROGRAM = """
from te_kernel import limited
from pipeline.testing import Bench
bench = Bench([limited])
print(*(o.verdict for o in bench.run([bytes(60), bytes(70)])), bench.pipeline.generated("pipeline.testing").compiled_before)
"""


def test_an_edited_constant_in_another_file_reaches_the_machine_code(tmp_path: Path) -> None:
    (tmp_path / "te_kernel.py").write_text(KERNEL)
    results = []
    for limit in (64, 64, 80):
        (tmp_path / "te_constants.py").write_text(f"LIMIT = {limit}\n")
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "TE_APPS_CACHE": str(tmp_path / "cache")}
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        results.append(done.stdout.split()[:2])
    assert results == [["tx", "drop"], ["tx", "drop"], ["tx", "tx"]]
    assert len(list((tmp_path / "cache").glob("bench_*.py"))) == 2
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
