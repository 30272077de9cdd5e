"""What operators declare about records, checked: field names and types, and that kernels use only what is declared."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from pipeline.errors import PipelineError

Field = tuple[str, Any] | tuple[str, Any, Any]
"""Name, dtype, and for an array its shape."""


def nearest(word: str, words: Collection[str]) -> str:
    """The end of an error message: the word that was probably meant, or all there are."""
    close = get_close_matches(word, list(words), 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(sorted(words))}" if words else "; there are none"


def field_type(owner: str, field: Field) -> np.dtype:
    """The dtype of one declared field. PipelineError when the declaration is none."""
    try:
        name, dtype, *shape = field
        made = np.dtype((dtype, *shape) if shape else dtype)
    except (TypeError, ValueError) as error:
        raise PipelineError(f"{owner}: {field!r} declares no field; write (name, dtype) or (name, dtype, shape)") from error
    if not isinstance(name, str) or not name.isidentifier():
        raise PipelineError(f"{owner}: field name {name!r}: use letters, digits and _")
    if hasattr(np.record, name):
        raise PipelineError(f"{owner}: field {name!r} is an attribute of numpy records; choose another name")
    if made.hasobject or made.itemsize == 0:
        raise PipelineError(f"{owner}: field {name!r} is a {made}; use numbers of fixed size, or arrays of them")
    return made


def check_fields(owner: str, fields: Sequence[Field]) -> None:
    """PipelineError for a field that is none, or for two of one name in one record."""
    seen: set[str] = set()
    for field in fields:
        field_type(owner, field)
        if field[0] in seen:
            raise PipelineError(f"{owner}: field {field[0]!r} is declared twice; state, params and drops share one record")
        seen.add(field[0])


def check_use(
    owner: str, function: Callable[..., Any], argument: str, readable: Collection[str], writable: Collection[str]
) -> None:
    """PipelineError when *function* uses fields of *argument* that it does not declare; functions it calls are not searched."""
    for node in ast.walk(_tree(function)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == argument:
            stored = isinstance(node.ctx, ast.Store)
            if node.attr not in (writable if stored else readable):
                verb = "writes" if stored else "reads"
                raise PipelineError(
                    f"{owner} {verb} {argument}.{node.attr}, which it does not declare"
                    f"{nearest(node.attr, writable if stored else readable)}"
                )


def check_returns(owner: str, function: Callable[..., Any]) -> None:
    """PipelineError when *function* can end without a value."""
    tree = _tree(function)
    ends = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is None]
    definitions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if ends or (definitions and not _returns(definitions[0].body)):
        raise PipelineError(f"{owner} can end without returning anything; return a verdict, or for a tick or source a number")


def _returns(body: Sequence[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _returns(last.body) and _returns(last.orelse)
    return isinstance(last, ast.Return) or (isinstance(last, ast.While) and isinstance(last.test, ast.Constant))


def _tree(function: Callable[..., Any]) -> ast.AST:
    """The syntax tree of *function*, empty where its source cannot be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return ast.Module([], [])
