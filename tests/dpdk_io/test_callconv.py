"""Kernels called by kernels: whatever they return arrives, and they cannot raise."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numba.core.errors import NumbaError

from dpdk_io.jit import JIT, kernel, rare
from dpdk_io.memory import aligned, i64, store64


@rare
def sum_and_product(a, b):
    return a + b, a * b


@rare
def is_larger(a, b):
    return a > b


@rare
def halved(a):
    return a / 2


@rare
def put(address, value):
    store64(address, value)


@rare
def first_above(limit, n):
    for k in range(n):
        if k > limit:
            return k
    return -1


@kernel
def everything(a, b, address):
    total, product = sum_and_product(a, b)
    put(address, total)
    put(address + 8, product + (1 if is_larger(a, b) else 0))
    return i64(halved(a)) + first_above(b, a)


@kernel
def raises(a):
    if a < 0:
        raise ValueError("below zero")
    return a


@kernel
def calls_one_that_raises(a):
    return raises(a) + 1


@kernel
def of_array(array, k):
    view = array
    if k < 0:
        view = array[1:]
    return view[k] + len(view)


@kernel
def over_array(array, n):
    total = 0
    for k in range(n):
        total += of_array(array, k)
    return total


def test_an_array_stays_its_callers() -> None:
    array = np.arange(10)
    references = sys.getrefcount(array)
    assert over_array(array, 10) == 45 + 100
    assert sys.getrefcount(array) == references


def test_what_kernels_return_arrives() -> None:
    words = aligned(2, "i8")
    address = words.ctypes.data
    assert everything(9, 4, address) == 4 + 5
    assert (int(words[0]), int(words[1])) == (13, 37)
    assert everything(-9, 4, address) == -4 - 1
    assert (int(words[0]), int(words[1])) == (-5, -36)


def test_kernels_that_raise_are_refused() -> None:
    """By what compiles them; in Python they raise."""
    with pytest.raises(NumbaError if JIT else ValueError, match="kernels cannot raise" if JIT else "below zero"):
        calls_one_that_raises(-1)
