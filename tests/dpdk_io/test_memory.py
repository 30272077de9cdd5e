"""Words in memory against Python's own integers, and the compile policy's foreign calls."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdk_io import memory as m
from dpdk_io.jit import JIT, kernel, native

WORDS = st.integers(-(1 << 63), (1 << 63) - 1)
MASK = (1 << 64) - 1
RECORD = np.dtype([("first", "u4"), ("second", "u8")])


@kernel
def loads(address, out):
    out[0] = m.load8(address)
    out[1] = m.load16(address)
    out[2] = m.load32(address)
    out[3] = m.load64(address)
    out[4] = m.be16(address)
    out[5] = m.be32(address)
    out[6] = m.be64(address)


@given(st.binary(min_size=9, max_size=9), st.integers(0, 1))
def test_loads_extend_with_zeros_in_the_order_they_say(data: bytes, start: int) -> None:
    memory, out = np.frombuffer(data, np.uint8).copy(), np.zeros(7, np.int64)
    loads(memory.ctypes.data + start, out)
    data = data[start:]
    little = [int.from_bytes(data[:size], "little", signed=size == 8) for size in (1, 2, 4, 8)]
    big = [int.from_bytes(data[:size], "big", signed=size == 8) for size in (2, 4, 8)]
    assert out.tolist() == little + big


@kernel
def stores(address, value):
    m.store8(address, value)
    m.store16(address + 1, value)
    m.store32(address + 3, value)
    m.store64(address + 7, value)
    m.put_be16(address + 15, value)
    m.put_be32(address + 17, value)


@given(WORDS)
def test_stores_truncate(value: int) -> None:
    memory = np.full(22, 0xAA, np.uint8)
    stores(memory.ctypes.data, value)
    parts = [(1, "little"), (2, "little"), (4, "little"), (8, "little"), (2, "big"), (4, "big")]
    expected = b"".join((value & (1 << size * 8) - 1).to_bytes(size, order) for size, order in parts)  # type: ignore[arg-type]
    assert memory.tobytes() == expected + b"\xaa"


@kernel
def arithmetic(a, b, n, out):
    out[0] = m.mul64(a, b)
    out[1] = m.add64(a, b)
    out[2] = m.shr64(a, n)
    out[3] = m.add_around(a, b)


@given(WORDS, WORDS, st.integers(0, 63))
def test_arithmetic_wraps_at_64_bits(a: int, b: int, n: int) -> None:
    out = np.zeros(4, np.int64)
    arithmetic(a, b, n, out)
    around = (a & MASK) + (b & MASK)
    around -= MASK if around > MASK else 0
    assert [int(x) & MASK for x in out] == [a * b & MASK, a + b & MASK, (a & MASK) >> n, around]


@kernel
def parts(a, b, out):
    out[0] = m.div64(a, b)
    out[1] = m.bit_length(m.shr64(a, 1))


@given(WORDS, st.integers(1, (1 << 63) - 1))
def test_quotients_and_lengths_are_those_of_unsigned_words(a: int, b: int) -> None:
    out = np.zeros(2, np.int64)
    parts(a, b, out)
    assert [int(x) & MASK for x in out] == [(a & MASK) // b, ((a & MASK) >> 1).bit_length()]


@kernel
def halves(a, b, n, out):
    out[0] = m.high64(a, b)
    out[1] = m.rotate32(a & 0xFFFFFFFF, n)


@given(WORDS, WORDS, st.integers(1, 31))
def test_high_halves_and_rotations_are_those_of_unsigned_words(a: int, b: int, n: int) -> None:
    out = np.zeros(2, np.int64)
    halves(a, b, n, out)
    low = a & 0xFFFFFFFF
    assert [int(x) & MASK for x in out] == [(a & MASK) * (b & MASK) >> 64, (low << 32 | low) >> n & 0xFFFFFFFF]


@kernel
def bits(x):
    return m.bits_of(x)


@given(st.floats(allow_nan=False))
def test_bits_of_a_float(x: float) -> None:
    assert int(bits(x)) == int(np.float64(x).view(np.int64))


@given(st.integers(0, 200), st.integers(0, 9), st.integers(0, 9))
def test_copies_just_what_it_should(size: int, source: int, target: int) -> None:
    given = np.random.default_rng(size).integers(1, 256, 210, dtype=np.uint8)
    memory = np.zeros(220, np.uint8)
    m.copy(memory.ctypes.data + target, given.ctypes.data + source, size)
    assert memory[target : target + size].tobytes() == given[source : source + size].tobytes()
    assert not memory[:target].any()
    assert not memory[target + size :].any()


WIDE = np.dtype([("small", "i2"), ("word", "u4"), ("ratio", "f8"), ("row", "u1", (3,))])


@kernel
def change_wide(records, index):
    record = m.row(records, index)
    record.word = record.small - 1
    record.small += 40_000
    record.ratio *= 0.5
    record.row[1] = record.row[0] + 1
    return record.word + (1 << 40)


def test_fields_read_as_64_bits_and_are_truncated_when_written() -> None:
    records = np.zeros(2, WIDE).view(np.recarray)
    records[1].small, records[1].ratio, records[1].row[0] = -30_000, 3.0, 7
    if JIT:
        assert change_wide(records, 1) == (1 << 32) - 30_001 + (1 << 40)
        assert records[1].tolist()[:3] == (10_000, (1 << 32) - 30_001, 1.5)
        assert records[1].row.tolist() == [7, 8, 0]
        assert records[0].tolist()[:3] == (0, 0, 0.0)
    else:
        with pytest.raises(OverflowError):
            change_wide(records, 1)


@kernel
def change(address):
    record = m.record_at(address, RECORD)
    record.second = m.i64(record.first) + 1


@kernel
def change_behind(address):
    m.next_row(m.record_at(address, RECORD)).second = 7


def test_a_record_leads_to_the_one_behind_it() -> None:
    records = m.aligned(3, RECORD)
    change_behind(records.ctypes.data + RECORD.itemsize)
    assert records.second.tolist() == [0, 0, 7]


def test_a_record_is_reached_by_reference() -> None:
    records = m.aligned(2, RECORD)
    records[1].first = 0xFFFFFFFF
    change(records.ctypes.data + RECORD.itemsize)
    assert records.tolist() == [(0, 0), (0xFFFFFFFF, 1 << 32)]


@given(st.integers(1, 5), st.sampled_from([8, 64, 4096]))
def test_aligned_arrays_start_where_they_should_and_hold_zeros(count: int, alignment: int) -> None:
    array = m.aligned(count, RECORD, alignment)
    assert array.ctypes.data % alignment == 0
    assert array.tolist() == [(0, 0)] * count


@kernel
def increment_locked(lock, counter, times):
    for _ in range(times):
        while m.exchange(lock, 1) != 0:
            pass
        m.store64(counter, m.load64(counter) + 1)
        m.store_release(lock, 0)


def test_exchange_is_atomic_between_threads() -> None:
    memory = m.aligned(16, np.int64)
    times = 100_000 if JIT else 300
    lock, counter = memory.ctypes.data, memory.ctypes.data + 64
    increment_locked(lock, counter, 1)
    threads = [threading.Thread(target=increment_locked, args=(lock, counter, times)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory[8] == 2 * times + 1


@kernel
def copied(target, source, size):
    m.prefetch(source)
    m.copy(target, source, size)


def test_copy_moves_exactly_so_many_bytes() -> None:
    source, target = np.arange(20, dtype=np.uint8), np.zeros(20, np.uint8)
    copied(target.ctypes.data + 1, source.ctypes.data, 7)
    assert target.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, *[0] * 12]


@kernel
def two_readings():
    return m.rdtsc(), m.rdtsc()


def test_the_cycle_counter_moves_on() -> None:
    first, second = two_readings()
    assert 0 < first <= second < two_readings()[0]


_abs = native("labs", "i64", "i64")


@kernel
def absolute(value):
    return _abs(value)


def test_c_functions_are_called_by_symbol() -> None:
    assert absolute(-(1 << 40)) == 1 << 40


@pytest.mark.skipif(JIT, reason="guards are for Python mode")
def test_guarded_memory_refuses_what_lies_outside() -> None:
    memory = np.zeros(16, np.uint8)
    address = memory.ctypes.data
    with m.guard((address, 8)):
        m.store64(address, 1)
        for refused in (lambda: m.load8(address + 8), lambda: m.store16(address + 7, 1), lambda: m.copy(address, address + 4, 5)):
            with pytest.raises(IndexError):
                refused()
    assert m.load8(address + 8) == 0
