"""What becomes of a kernel in what calls it: a part of it, its own, and out of the way when it is rare."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from llvmlite.binding import Linkage
from numba.core.registry import cpu_target

from dpdk_io.callback import Callback
from dpdk_io.jit import kernel, rare


@rare
def halve_often(n):
    steps = 0
    while n > 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@kernel
def first(n):
    return halve_often(n) + 1


@kernel
def second(n):
    return halve_often(n) + 2


@kernel
def both(n):
    return first(n) + second(n)


@kernel
def linked_twice(a, b, c, d):
    return both(a) + first(b) + c + d


@rare
def at_most_rarely(n):
    return min(n, 7.5)


@kernel
def at_most(n):
    return at_most_rarely(n) + min(n + 1, 7.5)


def linked(caller: Any, name: str) -> Any:
    """The function *name* as it was linked into *caller*."""
    library = next(iter(caller.overloads.values())).library
    found = [f for f in library.get_defined_functions() if name in f.name and "cpython" not in f.name]
    assert len(found) == 1
    return found[0]


def test_what_a_kernel_links_is_its_own() -> None:
    """Two libraries that show each other what they have linked would call each other's, optimised for somebody else."""
    assert (first(27), second(27)) == (112, 113)
    assert [linked(caller, "halve_often").linkage for caller in (first, second)] == [Linkage.internal] * 2


def test_what_is_reached_on_several_ways_is_linked_once() -> None:
    assert both(27) == 225
    assert linked(both, "halve_often").linkage == Linkage.internal


def test_a_library_that_is_no_whole_gets_all_that_a_kernel_calls() -> None:
    callback = Callback(linked_twice, answers=True)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(callback.address)
    assert function(27, 27, 1, 2) == 225 + 112 + 3


def test_what_is_rare_is_kept_apart() -> None:
    first(27)
    attributes = b" ".join(linked(first, "halve_often").attributes).split()
    assert {b"cold", b"noinline"} <= set(attributes)


def test_what_numba_compiles_for_a_rare_kernel_is_not_rare() -> None:
    """Whoever calls its `min` after that would else call it, and count as rare there."""
    assert at_most(9) == 15.0
    library = next(iter(at_most.overloads.values())).library
    assert [f.name for f in library.get_defined_functions() if "ol_min" in f.name] == []


def test_threads_compile_one_after_the_other() -> None:
    kernels = [kernel(eval(f"lambda n: n * {k}")) for k in range(8)]
    before = cpu_target.target_context.codegen()._library_class
    results: dict[int, int] = {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: int(kernels[k](3))})) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: 3 * k for k in range(8)}
    assert cpu_target.target_context.codegen()._library_class is before
