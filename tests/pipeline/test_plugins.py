"""Pipelines by name, and operators that packages offer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import PipelineError, discover, load

FILE = """
from pipeline import Pipeline
from operators.macswap import macswap
import te_neighbour
mine = Pipeline("mine", [macswap])
number = 7
def made():
    return mine
def broken():
    return 1 / 0
def other():
    return 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "queue.py").write_text(FILE)
    (tmp_path / "te_neighbour.py").write_text("")
    (tmp_path / "te_broken.py").write_text("1 / 0\n")
    (tmp_path / "te_missing.py").write_text("import te_nowhere\n")
    (tmp_path / "te_module.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.mark.parametrize("target", ["queue.py:mine", "./queue.py:made", "te_module:mine", "te_module:made"])
def test_a_pipeline_is_found_by_file_or_module(folder: Path, target: str) -> None:
    import queue

    assert load(target).name == "mine"
    assert sys.modules["queue"] is queue


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("queue.py", "'queue.py': name a pipeline as FILE.py:NAME or MODULE:NAME"),
        (":mine", "':mine': name a pipeline as"),
        ("queue.py:mien", "queue.py has no 'mien'; did you mean 'mine'?"),
        ("queue.py:number", "queue.py:number is of type int, not a Pipeline"),
        ("queue.py:broken", "queue.py:broken does not return a Pipeline: ZeroDivisionError: division by zero"),
        ("queue.py:other", "queue.py:other is of type int, not a Pipeline"),
        ("nowhere.py:mine", "no file 'nowhere.py'"),
        ("te_nowhere_at_all:mine", "no module 'te_nowhere_at_all': install it, or name a file as FILE.py:NAME"),
        ("te_missing.py:mine", "no module 'te_nowhere'"),
        ("te_broken.py:mine", "te_broken.py cannot be imported: ZeroDivisionError: division by zero"),
        ("te_neighbour:mine", "te_neighbour has no 'mine', nor any other Pipeline"),
    ],
)
def test_what_is_no_pipeline_is_told_in_one_line(folder: Path, target: str, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        load(target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def offer(folder: Path, package: str, line: str) -> None:
    """An installed package with one entry point."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[te_apps.operators]\n{line}\n")
    sys.path.insert(0, str(folder))


def test_operators_of_packages_are_found(folder: Path) -> None:
    offer(folder, "te-one", "te_swap = operators.macswap:macswap")
    assert discover()["te_swap"].name == "macswap"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "te_x = te_nowhere:x",
            "operator 'te_x' of package 'te-bad' does not load: No module named 'te_nowhere'; mend or uninstall it",
        ),
        ("te_x = te_broken:x", "operator 'te_x' of package 'te-bad' does not load: division by zero"),
        ("te_x = te_module:number", "operator 'te_x' of package 'te-bad' is of type int, not an operator"),
    ],
)
def test_a_package_that_offers_no_operator_is_named(folder: Path, line: str, message: str) -> None:
    offer(folder, "te-bad", line)
    with pytest.raises(PipelineError) as caught:
        discover()
    assert message in str(caught.value)


def test_two_packages_with_one_name_are_named(folder: Path) -> None:
    offer(folder, "te-one", "te_swap = operators.macswap:macswap")
    offer(folder, "te-two", "te_swap = operators.drop:drop")
    with pytest.raises(PipelineError, match="packages 'te-one' and 'te-two' both offer an operator 'te_swap'; uninstall one"):
        discover()
