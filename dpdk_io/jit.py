"""The compile policy: every numba flag the project uses is set here, and nowhere else.

`kernel` is for functions that are called from other compiled code. They are never cached on their own:
numba's cache knows when a function's own file changed, not when a callee's did. `entry` is for the generated
files of `pipeline`, whose name holds a digest of everything they reach, and which numba therefore may cache.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from llvmlite import binding
from numba import types

from dpdk_io.frontend import KernelCompiler, quickly
from dpdk_io.linking import ApartPart, Part, RarePart, Whole, made_as

JIT = not numba.config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT=1: kernels are then plain Python, and the twins in `memory` serve them."""

BOUNDSCHECK = os.environ.get("TE_APPS_BOUNDSCHECK", "") == "1"

# Narrowed to the byte that changes, `record.bits |= 4` is a store the next load of `bits` cannot be served from: it would wait.
binding.set_option("te-apps", "-combiner-reduce-load-op-store-width=false")

_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": BOUNDSCHECK}

_NUMBA_TYPES = {
    "i64": types.int64, "u64": types.uint64, "i32": types.int32, "u32": types.uint32, "u16": types.uint16, "void": types.void,
}  # fmt: skip
_CTYPES: dict[str, Any] = {
    "i64": ctypes.c_int64, "u64": ctypes.c_uint64, "i32": ctypes.c_int32, "u32": ctypes.c_uint32, "u16": ctypes.c_uint16,
    "void": None,
}  # fmt: skip


def kernel(fn: Callable[..., Any]) -> Any:
    """Compile *fn* for use inside other compiled code; it can be called from Python too.

    Compiled callers get a version without the wrappers that calls from Python need, and with int64 for every integer argument:
    numba would otherwise make one version per literal and per width. Both halve the time a pipeline takes to compile.
    """
    return _compile(fn, Part, forceinline=False)


def rare(fn: Callable[..., Any]) -> Any:
    """A `kernel` for what hardly ever happens: code that calls it is laid out, and given registers, as if it did not."""
    return _compile(fn, RarePart, forceinline=False)


def apart(fn: Callable[..., Any]) -> Any:
    """A `kernel` that LLVM merges into no caller: for what takes many registers and only some packets need."""
    return _compile(fn, ApartPart, forceinline=False)


def inlined(fn: Callable[..., Any]) -> Any:
    """A `kernel` that LLVM merges into every caller: for what every packet passes, and is called from one place."""
    return _compile(fn, Part, forceinline=True)


def _compile(fn: Callable[..., Any], part: type[Part], *, forceinline: bool) -> Any:
    outer = _whole(numba.njit(**_FLAGS)(fn))
    if not JIT:
        return outer
    inner = numba.njit(
        pipeline_class=KernelCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=forceinline, **_FLAGS
    )(fn)

    def get_call_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        widened = {name: _widened(kind) for name, kind in kws.items()}
        with made_as(part):
            template, signature, args, kws = inner.get_call_template(tuple(map(_widened, args)), widened)
        # What is wanted exists by now; among the others numba would look for a likeness, and warn of records that begin alike.
        template.cases = [case for case in template.cases if case.args == tuple(args)] or template.cases
        return template, signature, args, kws

    outer.get_call_template = get_call_template
    outer.get_overload = inner.get_overload
    return outer


def _widened(kind: Any) -> Any:
    kind = types.unliteral(kind)
    return types.int64 if isinstance(kind, types.Integer) else kind


def entry(fn: Callable[..., Any]) -> Any:
    """Compile *fn*, the entry of a generated file, and keep the machine code on disk."""
    return _whole(numba.njit(cache=True, **_FLAGS)(fn))


def _whole(dispatcher: Any) -> Any:
    """Have *dispatcher* compile into libraries that keep what they link to themselves."""
    if not JIT:
        return dispatcher
    compile_it = dispatcher.compile

    def compile_whole(signature: Any) -> Any:
        with made_as(Whole), quickly():
            return compile_it(signature)

    dispatcher.compile = compile_whole
    return dispatcher


def compile_callback(fn: Callable[..., Any], answers: bool) -> tuple[Any, int]:
    """A C function of four int64 that calls *fn* and returns what it *answers*, else 0: what to keep alive, and its address."""
    inner = kernel(fn) if isinstance(fn, FunctionType) else fn

    def ask(a: int, b: int, c: int, d: int) -> int:
        return int(inner(a, b, c, d))

    def tell(a: int, b: int, c: int, d: int) -> int:
        inner(a, b, c, d)
        return 0

    signature = types.int64(types.int64, types.int64, types.int64, types.int64)
    with made_as(Whole), quickly():
        made = numba.cfunc(signature, **_FLAGS)(ask if answers else tell)
    return made, made.address


def load_library(path: str) -> ctypes.CDLL:
    """Load the shared library at *path* and make its symbols known to compiled code."""
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    binding.load_library_permanently(path)
    return library


def native(symbol: str, result: str, *arguments: str) -> Any:
    """The C function *symbol*, callable from kernels (and from Python when JIT is off).

    Types are named "i64", "u64", "i32", "u32", "u16" or "void". The library that holds the symbol must be loaded
    before compiled code that calls it runs; looking it up here is not needed.
    """
    if JIT:
        return types.ExternalFunction(symbol, _NUMBA_TYPES[result](*(_NUMBA_TYPES[a] for a in arguments)))

    @functools.cache
    def function() -> Any:
        found = getattr(ctypes.CDLL(None), symbol)
        found.restype = _CTYPES[result]
        found.argtypes = [_CTYPES[a] for a in arguments]
        return found

    return lambda *values: function()(*values)
