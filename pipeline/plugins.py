"""Finding operators that are installed, and pipelines by name or file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.operator import Operator, nearest
from pipeline.pipeline import Pipeline

GROUP = "te_apps.operators"
"""The entry-point group in which a package names its operators: `name = "module:operator"`."""


def discover() -> dict[str, Operator]:
    """Every installed operator by its entry point's name. PipelineError names the package whose entry point does not load."""
    found: dict[str, Operator] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        owner = point.dist.name if point.dist else "unknown"
        try:
            made = point.load()
        except Exception as error:
            raise PipelineError(f"operator {point.name!r} of package {owner!r} does not load: {error}; mend or uninstall it") from error
        if not isinstance(made, Operator):
            raise PipelineError(f"operator {point.name!r} of package {owner!r} is a {type(made).__name__}, not an operator")
        found[point.name] = made
    return found


def load(target: str) -> Pipeline:
    """The pipeline named FILE.py:NAME or MODULE:NAME; NAME may be a Pipeline or a function that returns one."""
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise PipelineError(f"{target!r}: name a pipeline as FILE.py:NAME or MODULE:NAME")
    module = _module(place)
    made = getattr(module, name, None)
    if made is None:
        names = [n for n, v in vars(module).items() if isinstance(v, Pipeline)]
        raise PipelineError(f"{place} has no {name!r}{nearest(name, names)}")
    if callable(made) and not isinstance(made, Pipeline):
        made = made()
    if not isinstance(made, Pipeline):
        raise PipelineError(f"{target} is a {type(made).__name__}, not a Pipeline")
    return made


def _module(place: str) -> Any:
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except PipelineError:
        raise
    except ModuleNotFoundError as error:
        raise PipelineError(f"no module {error.name!r}: install it, or name a file as FILE.py:NAME") from error
    except Exception as error:
        raise PipelineError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise PipelineError(f"no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PipelineError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
