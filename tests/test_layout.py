"""The shape of the house: who imports whom, who sets compile flags, who prints, what is public (docs/architecture.md)."""

from __future__ import annotations

import ast
import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "dpdk_io": ("dpdk_io",),
    "tcp": ("tcp", "dpdk_io.jit", "dpdk_io.expect", "dpdk_io.memory", "dpdk_io.errors"),
    "pipeline": ("pipeline", "dpdk_io"),
    "operators": ("operators", "pipeline", "tcp", "dpdk_io"),
    "apps": ("apps", "operators", "pipeline", "tcp", "dpdk_io"),
}
COMPILERS = {"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil", "jit_module", "CPUDispatcher"}


def trees(room: str) -> Iterator[tuple[Path, ast.Module]]:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} has no files"
    for file in files:
        yield file.relative_to(ROOT), ast.parse(file.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module, or name out of one, that *tree* imports, dotted; also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def uses_of(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Where *tree* takes one of *names* out of numba, by import or by attribute."""
    for name in imported(tree):
        if name.startswith("numba.") and name.rsplit(".", 1)[1] in names:
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value).split(".")[0] in ("numba", "nb"):
            yield ast.unparse(node)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_lies_below(room: str) -> None:
    wrong = [
        f"{file}: {name}"
        for file, tree in trees(room)
        for name in imported(tree)
        if inside(name, tuple(MAY_IMPORT)) and not inside(name, MAY_IMPORT[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_compile_flags_are_set_in_one_file(room: str) -> None:
    users = {str(file) for file, tree in trees(room) for _ in uses_of(tree, COMPILERS)}
    assert users == ({"dpdk_io/jit.py"} if room == "dpdk_io" else set())


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room != "apps"])
def test_only_apps_print(room: str) -> None:
    prints = [
        f"{file}:{node.lineno}"
        for file, tree in trees(room)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"))
    ]
    assert prints == []


def public_names(package: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room != "apps"])
def test_public_names_are_listed_and_documented(room: str) -> None:
    package = importlib.import_module(room)
    listed = list(package.__all__)
    assert len(listed) == len(set(listed))
    assert {name for name in listed if not inspect.ismodule(getattr(package, name))} == public_names(package)
    callables = {name: getattr(package, name) for name in listed if callable(getattr(package, name))}
    assert [name for name, value in callables.items() if not inspect.getdoc(getattr(value, "py_func", value))] == []


def test_every_package_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {
        str(file.parent.relative_to(ROOT)).replace("/", ".") for room in MAY_IMPORT for file in (ROOT / room).rglob("*.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages
