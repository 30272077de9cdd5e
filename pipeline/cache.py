"""Generated source in a real file, whose name says what it reaches, so that numba's disk cache can be trusted.

numba notices when the generated file changes, not when a kernel it calls does. The file's name therefore holds a digest of the
source and of every function and constant reachable from its kernels: an edit anywhere makes a new file.
"""

from __future__ import annotations

import dis
import enum
import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numba
import numpy as np

from dpdk_io import frontend, jit, linking, reference
from dpdk_io.cache import cache_dir


def digest(source: str, functions: list[Any]) -> str:
    """16 hex digits over *source*, everything reachable from *functions*, the versions and flags that shape the machine code."""
    h = hashlib.sha256(f"{sys.version} {np.__version__} {numba.__version__} {jit.BOUNDSCHECK}\n{source}".encode())
    for policy in (frontend, jit, linking, reference):
        h.update(inspect.getsource(policy).encode())
    seen: set[int] = set()
    for function in functions:
        for line in _describe(function, seen):
            h.update(line.encode())
    return h.hexdigest()[:16]


def _describe(value: Any, seen: set[int]) -> Iterator[str]:
    """A line for every piece of code and every constant reachable from *value*."""
    value = _plain(value)
    if isinstance(value, types.FunctionType):
        if id(value) not in seen:
            seen.add(id(value))
            yield from _describe_function(value, seen)
    elif isinstance(value, type) and issubclass(value, enum.Enum):
        yield repr([(member.name, member.value) for member in value])
    elif isinstance(value, int | float | complex | str | bytes | type(None) | np.generic):
        yield repr(value)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _describe(item, seen)
    elif isinstance(value, dict):
        yield from _describe(list(value.items()), seen)
    elif isinstance(value, frozenset):
        yield from sorted(repr(item) for item in value)
    else:
        yield _describe_object(value)


def _describe_object(value: Any) -> str:
    if isinstance(value, np.dtype):
        return repr((value, value.itemsize, value.fields))
    if isinstance(value, np.ndarray):
        return repr((value.dtype, value.shape, value.tobytes()))
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, numba.types.ExternalFunction):
        return f"{value.symbol}{value.sig}"
    return getattr(value, "__qualname__", type(value).__qualname__)


def _plain(value: Any) -> Any:
    """The Python function behind an operator, a dispatcher or an intrinsic."""
    for attribute in ("kernel", "py_func", "_defn"):
        value = getattr(value, attribute, value)
    return value


def _describe_function(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    yield from _describe_code(function.__code__, function.__globals__, seen)
    for cell in function.__closure__ or ():
        yield from _describe(cell.cell_contents, seen)
    yield repr((function.__defaults__, function.__kwdefaults__))


def _describe_code(code: types.CodeType, names: Mapping[str, Any], seen: set[int]) -> Iterator[str]:
    yield repr((code.co_name, code.co_code.hex(), code.co_varnames, code.co_names))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _describe_code(constant, names, seen)
        else:
            yield repr(constant)
    for name in _globals_of(code):
        value = names.get(name)
        if isinstance(value, types.ModuleType):
            for attribute in code.co_names:
                if value.__name__.partition(".")[0] not in ("numpy", "numba", "llvmlite"):
                    yield from _describe(getattr(value, attribute, None), seen)
        elif value is not None:
            yield f"{name}="
            yield from _describe(value, seen)


def _globals_of(code: types.CodeType) -> list[str]:
    """`co_names` without the names of attributes, which some unrelated global may bear too."""
    loaded = {instruction.argval for instruction in dis.get_instructions(code) if instruction.opname == "LOAD_GLOBAL"}
    return sorted(loaded)


class Generated:
    """A generated module on disk and imported."""

    def __init__(self, name: str, text: str, kernels: Mapping[str, Any]) -> None:
        """*text* has the placeholder KERNELS where it imports the *kernels* from."""
        tag = digest(text, [*kernels.values(), *_imported(text)])
        self.path = cache_dir() / f"{name}_{tag}.py"
        self.source = text.replace("KERNELS", f"te_kernels_{tag}")
        self._kernels_name = f"te_kernels_{tag}"
        self._kernels = kernels

    @property
    def compiled_before(self) -> bool:
        """Is machine code for it on disk? (It may be for another processor.)"""
        return any((self.path.parent / "__pycache__").glob(f"{self.path.stem}.*.nbc"))

    def load(self) -> types.ModuleType:
        """Write the file atomically when it is missing, and import it."""
        if self.path.stem in sys.modules:
            return sys.modules[self.path.stem]
        if not self.path.exists():
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, suffix=".py")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.source)
            os.replace(temporary, self.path)
        module = types.ModuleType(self._kernels_name)
        module.__dict__.update(self._kernels)
        sys.modules[self._kernels_name] = module
        spec = importlib.util.spec_from_file_location(self.path.stem, self.path)
        assert spec is not None
        assert spec.loader is not None
        generated = importlib.util.module_from_spec(spec)
        sys.modules[self.path.stem] = generated
        spec.loader.exec_module(generated)
        return generated


def _imported(text: str) -> list[Any]:
    """What the generated source itself imports, besides the operators' kernels."""
    names: dict[str, Any] = {}
    exec(compile(text[: text.index("from KERNELS")], "<imports>", "exec"), names)
    return [value for name, value in sorted(names.items()) if not name.startswith("__")]
