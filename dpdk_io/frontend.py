"""numba's front end, as far as kernels need it.

numba's own list of passes is made for much more, and what it has found out about a call it finds out again at the next. For the
hundreds of small functions of a pipeline, both together take a third of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import types
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)

from dpdk_io.callconv import KernelLowering

_PASSES = (
    (TranslateByteCode, "analyzing bytecode"),
    (FixupArgs, "fix up args"),
    (IRProcessing, "processing IR"),
    (DeadBranchPrune, "dead branch pruning"),
    (GenericRewrites, "nopython rewrites"),
    (ReconstructSSA, "ssa"),
    (NopythonTypeInference, "nopython frontend"),
    (PreLowerStripPhis, "remove phis nodes"),
    (KernelLowering, "native lowering"),
    (NoPythonBackend, "nopython mode backend"),
)


class KernelCompiler(CompilerBase):
    """Compiles a kernel for compiled callers.

    Left out are passes for what kernels do not have: references to count, `with`, closures and comprehensions, literal_unroll,
    functions that numba (not LLVM) inlines, exceptions with arguments, expressions of whole arrays; and those for annotated
    listings.
    """

    def define_pipelines(self) -> list[PassManager]:
        """One list of passes, and nothing to fall back on."""
        passes = PassManager("kernel")
        for each, description in _PASSES:
            passes.add_pass(each, description)
        passes.finalize()
        return [passes]


@contextmanager
def quickly() -> Iterator[None]:
    """Within the block numba resolves the call of a built-in function or an intrinsic once for all calls with the same types of
    arguments, and Python does not look for garbage. What compiling leaves behind stays: looking through it would take more than
    a second for a large pipeline, and the most memory in use at a time is no more than with collecting.
    """
    typing = cpu_target.typing_context
    if "resolve_function_type" in vars(typing):
        yield
        return
    typing.resolve_function_type = _remembering(typing.resolve_function_type)
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        del typing.resolve_function_type
        gc.freeze()
        if collecting:
            gc.enable()


def _remembering(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """*resolve*, a typing context's method, asked once for the same function with the same types. Failures are not kept."""
    found: dict[Any, Any] = {}

    def resolve_function_type(func: Any, args: Any, kws: Any) -> Any:
        if not isinstance(func, types.Function):
            return resolve(func, args, kws)
        key = func, tuple(args), tuple(dict(kws).items())
        if key not in found:
            found[key] = resolve(func, args, kws)
        return found[key]

    return resolve_function_type
