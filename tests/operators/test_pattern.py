"""The pattern: what is written and what is believed at any place, against a model that is slow and obvious."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from operators.pattern import differs, fill, start_of

STEP = 0x9E3779B97F4A7C15
PAD = 16
memory = aligned(4096, np.uint8)

numbers = st.integers(-(2**63), 2**63 - 1)
offsets = st.one_of(st.integers(0, 100), st.integers(2**31 - 50, 2**31 + 50), st.integers(0, 2**42))
lengths = st.one_of(st.integers(0, 40), st.integers(0, 1600))


def model(number: int, offset: int, length: int) -> bytes:
    """SplitMix64's finalizer, then one word after the other, byte by byte."""
    word = (number + STEP) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    start = word ^ word >> 31
    return bytes((start + k // 8 * STEP) % 2**64 >> 8 * (k % 8) & 0xFF for k in range(offset, offset + length))


@given(numbers, offsets, lengths, st.integers(0, 7))
def test_what_is_written_is_what_the_model_says_and_no_byte_more(number: int, offset: int, length: int, at: int) -> None:
    memory[:] = 0xAA
    fill(memory.ctypes.data + PAD + at, offset, length, start_of(number))
    whole = memory.tobytes()
    assert whole[PAD + at : PAD + at + length] == model(number, offset, length)
    assert set(whole[: PAD + at]) | set(whole[PAD + at + length :]) == {0xAA}


@given(numbers, offsets, lengths, st.integers(0, 7), st.data())
def test_any_wrong_byte_shows(number: int, offset: int, length: int, at: int, data: st.DataObject) -> None:
    memory[:] = 0x55
    place = memory.ctypes.data + PAD + at
    memory[PAD + at : PAD + at + length] = np.frombuffer(model(number, offset, length), np.uint8)
    assert not differs(place, offset, length, start_of(number))
    if length:
        memory[PAD + at + data.draw(st.integers(0, length - 1))] ^= data.draw(st.integers(1, 255))
        assert differs(place, offset, length, start_of(number))


@given(numbers, st.integers(0, 2**40), st.integers(8, 200), st.integers(1, 2**20))
def test_whatever_is_out_of_place_shows(number: int, offset: int, length: int, by: int) -> None:
    fill(memory.ctypes.data, offset, length, start_of(number))
    assert differs(memory.ctypes.data, offset + by, length, start_of(number))
