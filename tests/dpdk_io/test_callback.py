"""Functions of the user's, called by address: they get what they are given, and what they return arrives."""

from __future__ import annotations

import numpy as np
import pytest

from dpdk_io.callback import Callback, call_back
from dpdk_io.jit import kernel
from dpdk_io.memory import store64


@kernel
def note(address, a, b, c):
    store64(address, a * 10000 + b * 100 + c)


@kernel
def largest(a, b, c, d):
    return max(max(a, b), max(c, d))


@kernel
def is_first(a, b, c, d):
    return a > b


def plain(a, b, c, d):
    return a - b - c - d


@kernel
def call(address, a, b, c, d):
    return call_back(address, a, b, c, d)


def test_arguments_arrive_in_order() -> None:
    words = np.zeros(1, np.int64)
    hook = Callback(note, answers=False)
    assert call(hook.address, words.ctypes.data, 1, 2, 3) == 0
    assert words[0] == 10203


@pytest.mark.parametrize(
    ("fn", "values", "answer"),
    [
        (largest, (1, 2**62, 3, -4), 2**62),
        (is_first, (2, 1, 0, 0), 1),
        (is_first, (1, 2, 0, 0), 0),
        (plain, (0, 1, 2, 2**40), -3 - 2**40),
    ],
)
def test_answers_arrive(fn, values: tuple[int, ...], answer: int) -> None:
    hook = Callback(fn, answers=True)
    assert call(hook.address, *values) == answer
