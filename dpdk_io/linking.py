"""Kernels as parts of what calls them: linked, but neither optimised nor emitted as machine code of their own.

numba makes of every function a library that is linked with all it calls, optimised as a whole and emitted, at every level of a
call tree again. A kernel that only compiled code calls needs none of it: LLVM optimises it where it ends up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target


class _NoEnvironment:
    """Takes the place of a code generator that would look up a function's environment in the process."""

    def set_env(self, name: str, env: Any) -> None:
        """Functions without Python objects never look at theirs."""


class Part(JITCodeLibrary):
    """A library that is only ever linked into another one."""

    codegen = _NoEnvironment()

    def finalize(self) -> None:
        """Link what is called, once each, and leave it at that."""
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """0: there is no machine code."""
        self._ensure_finalized()
        return 0


class RarePart(Part):
    """A part that is hardly ever called: LLVM keeps it, and the way to it, out of the way of everything else."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Mark what is defined."""
        for function in ir_module.functions:
            if not function.is_declaration:
                function.attributes.add("cold")
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)


class Whole(JITCodeLibrary):
    """A library in which everything that was linked is its own: LLVM may take it apart, and sees that no kernel raises.

    Nor may two libraries share what both have linked: each was optimised for itself.
    """

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


@contextmanager
def made_as(library: type[JITCodeLibrary]) -> Iterator[None]:
    """Within the block numba's libraries are of this kind; other threads that want to compile wait."""
    with global_compiler_lock:
        codegen = cpu_target.target_context.codegen()
        before = codegen._library_class
        codegen._library_class = library
        try:
            yield
        finally:
            codegen._library_class = before
