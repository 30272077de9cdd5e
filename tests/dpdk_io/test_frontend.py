"""What is left of numba's front end: enough for kernels, and nothing of the shortcuts outlasts the compiling."""

from __future__ import annotations

import gc
import operator
from typing import Any

import pytest
from numba import types
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from dpdk_io.frontend import quickly
from dpdk_io.jit import kernel

WIDE = False


@kernel
def narrow(pair):
    if WIDE:
        return pair.no_such_field
    a, b = pair
    return min(a, b) + pair[0]


@kernel
def of_two(a, b):
    total = 0
    for k in range(a):
        total += narrow((k, b))
    return total


@kernel
def with_a_mistake(n):
    return n.no_such_field


@kernel
def caller_of_a_mistake(n):
    return with_a_mistake(n)


def traces() -> list[Any]:
    return [gc.isenabled(), "resolve_function_type" in vars(cpu_target.typing_context)]


def test_a_kernel_has_loops_tuples_and_branches_that_are_never_taken() -> None:
    assert of_two(4, 2) == sum(min(k, 2) + k for k in range(4))
    assert traces() == [True, False]


def test_a_mistake_is_named_and_leaves_no_trace() -> None:
    with pytest.raises(NumbaError, match="no_such_field"):
        caller_of_a_mistake(1)
    assert traces() == [True, False]


def test_a_call_is_resolved_once_for_its_types(monkeypatch: pytest.MonkeyPatch) -> None:
    typing = cpu_target.typing_context
    add = typing.resolve_value_type(operator.add)
    asked: list[Any] = []
    resolve = typing.resolve_function_type

    def counting(self: Any, func: Any, args: Any, kws: Any) -> Any:
        asked.append(args)
        return resolve(func, args, kws)

    monkeypatch.setattr(type(typing), "resolve_function_type", counting)
    with quickly():
        words, floats = (types.int64, types.int64), (types.float64, types.int64)
        found = [typing.resolve_function_type(add, args, {}).return_type for args in (words, floats, words, floats)]
    assert found == [types.int64, types.float64] * 2
    assert asked == [words, floats]
