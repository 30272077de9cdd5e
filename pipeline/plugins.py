"""Finding operators that are installed, and pipelines by name or file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from dpdk_io.errors import TeError
from pipeline.errors import PipelineError
from pipeline.fields import nearest
from pipeline.operator import Operator
from pipeline.pipeline import Pipeline

GROUP = "te_apps.operators"
"""The entry-point group in which a package names its operators: `name = "module:operator"`."""


def discover() -> dict[str, Operator]:
    """Every installed operator by its entry point's name. PipelineError names the package whose entry point does not load, or
    the packages of which two offer the same name."""
    found: dict[str, Operator] = {}
    owners: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        owner = point.dist.name if point.dist else "unknown"
        if owners.setdefault(point.name, owner) != owner:
            raise PipelineError(
                f"packages {owners[point.name]!r} and {owner!r} both offer an operator {point.name!r}; uninstall one"
            )
        try:
            made = point.load()
        except Exception as error:
            raise PipelineError(
                f"operator {point.name!r} of package {owner!r} does not load: {error}; mend or uninstall it"
            ) from error
        if not isinstance(made, Operator):
            raise PipelineError(f"operator {point.name!r} of package {owner!r} is of type {type(made).__name__}, not an operator")
        found[point.name] = made
    return found


def load(target: str) -> Pipeline:
    """The pipeline named FILE.py:NAME or MODULE:NAME; NAME may be a Pipeline or a function that returns one.

    Modules are looked for in the current directory too, and FILE.py may import its neighbours. PipelineError says in one line
    what is wrong.
    """
    made = named(target, "pipeline", lambda value: isinstance(value, Pipeline))
    if callable(made) and not isinstance(made, Pipeline):
        made = _made(target, made)
    if not isinstance(made, Pipeline):
        raise PipelineError(f"{target} is of type {type(made).__name__}, not a Pipeline")
    return made


def named(target: str, kind: str, is_one: Callable[[Any], bool]) -> Any:
    """The object named FILE.py:NAME or MODULE:NAME. *kind* is what it should be, *is_one* finds its likes for the message."""
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise PipelineError(f"{target!r}: name a {kind} as FILE.py:NAME or MODULE:NAME")
    module = _module(place)
    made = getattr(module, name, None)
    if made is None:
        names = [n for n, v in vars(module).items() if is_one(v)]
        raise PipelineError(f"{place} has no {name!r}{nearest(name, names) if names else f', nor any other {kind.capitalize()}'}")
    return made


def _made(target: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except TeError:
        raise
    except Exception as error:
        raise PipelineError(f"{target} does not return a Pipeline: {type(error).__name__}: {error}") from error


def _module(place: str) -> Any:
    try:
        if place.endswith(".py"):
            return _from_file(Path(place))
        _search("")
        return importlib.import_module(place)
    except TeError:
        raise
    except ModuleNotFoundError as error:
        raise PipelineError(f"no module {error.name!r}: install it, or name a file as FILE.py:NAME") from error
    except Exception as error:
        raise PipelineError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _search(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _from_file(path: Path) -> Any:
    """Execute the file as a module of a name of its own: it may be called as any other module is."""
    if not path.is_file():
        raise PipelineError(f"no file {str(path)!r}")
    name = f"te_pipeline_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PipelineError(f"{str(path)!r} is no Python file")
    _search(str(path.parent.resolve()))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
