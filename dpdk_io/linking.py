"""Kernels as parts of what calls them: linked, but neither optimised nor emitted as machine code of their own.

numba makes of every function a library that is linked with all it calls, optimised as a whole and emitted, at every level of a
call tree again. A kernel that only compiled code calls needs none of it: it is linked once, into the whole that is emitted, and
LLVM optimises it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from dpdk_io.callconv import is_kernel


class _NoEnvironment:
    """Takes the place of a code generator that would look up a function's environment in the process."""

    def set_env(self, name: str, env: Any) -> None:
        """Functions without Python objects never look at theirs."""


class Part(JITCodeLibrary):
    """A library that is only ever linked into another one. Its module has what is its own, and declares what it calls."""

    codegen = _NoEnvironment()
    _shared_module: Any

    def finalize(self) -> None:
        """Leave it at what there is."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """0: there is no machine code."""
        self._ensure_finalized()
        return 0

    def _optimize_functions(self, ll_module: Any) -> None:
        """LLVM does so in the whole, before it merges any into others."""

    def _get_module_for_linking(self) -> Any:
        """With all it calls: a library that is no `Whole` links no more than what it calls itself."""
        if self._shared_module is None:
            self._ensure_finalized()
            self._shared_module = linked([self])
        return self._shared_module


class ApartPart(Part):
    """A part that LLVM merges into nothing that calls it.

    What numba compiles on the way, like its `min`, is not kept apart: others call it too.
    """

    marks: tuple[str, ...] = ("noinline",)

    def add_ir_module(self, ir_module: Any) -> None:
        """Mark the kernel."""
        for function in ir_module.functions:
            if not function.is_declaration and is_kernel(function):
                for mark in self.marks:
                    function.attributes.add(mark)
        super().add_ir_module(ir_module)


class RarePart(ApartPart):
    """A part that is hardly ever called: LLVM keeps it, and the way to it, out of the way of everything else."""

    marks = ("cold", "noinline")


class Whole(JITCodeLibrary):
    """A library in which everything that was linked is its own: LLVM may take it apart, and sees that no kernel raises.

    Nor may two libraries share what both have linked: each was optimised for itself.
    """

    _linking_libraries: list[JITCodeLibrary]

    def finalize(self) -> None:
        """Link every part that is reached, once."""
        if self._linking_libraries:
            self._final_module.link_in(linked(self._linking_libraries))
            self._linking_libraries.clear()
        super().finalize()

    def _optimize_final_module(self) -> None:
        _relink(self._final_module, {Linkage.linkonce_odr}, Linkage.internal)
        super()._optimize_final_module()


def linked(libraries: Iterable[JITCodeLibrary]) -> Any:
    """A module of all that *libraries* define and, where they are parts, call; whoever links it takes what he needs.

    Linking takes time by what is linked already: equals are linked with each other.
    """
    modules = [_own(library) for library in _reached(libraries)]
    while len(modules) > 1:
        for module, other in zip(modules[::2], modules[1::2], strict=False):
            module.link_in(other)
        modules = modules[::2]
    _relink(modules[0], {Linkage.weak_odr}, Linkage.linkonce_odr)
    return modules[0]


def _relink(module: Any, before: set[Linkage], after: Linkage) -> None:
    """Give the functions defined in *module* whose linkage is one of *before* the linkage *after*."""
    for function in module.functions:
        if not function.is_declaration and function.linkage in before:
            function.linkage = after


def _reached(libraries: Iterable[JITCodeLibrary]) -> list[JITCodeLibrary]:
    """*libraries*, and what the parts among them call, and so on; each once."""
    found: dict[JITCodeLibrary, None] = {}
    waiting = list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in found:
            found[library] = None
            if isinstance(library, Part):
                waiting.extend(library._linking_libraries)
    return list(found)


def _own(library: JITCodeLibrary) -> Any:
    """A copy of what *library* defines; of one that is no `Part`, with all that it has linked.

    Its linkage is weak, for LLVM drops what else is linked before anything that calls it.
    """
    library._ensure_finalized()
    module = (library._final_module if isinstance(library, Part) else library._get_module_for_linking()).clone()
    _relink(module, {Linkage.external, Linkage.linkonce_odr}, Linkage.weak_odr)
    return module


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
