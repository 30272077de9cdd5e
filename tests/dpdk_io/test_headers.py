"""Header fields at once against the same ones one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.headers import matcher, taker
from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, guard, row

FIELDS = {"word": (8, 4), "port": (3, 2), "octet": (0, 1), "other": (20, 4), "last": (30, 2)}
LAYOUT = [("word", "u4"), ("port", "u2"), ("octet", "u1"), ("fixed", "u1"), ("other", "u4"), ("last", "u2"), ("more", "u2")]
TOGETHER = np.dtype(
    {
        "names": [name for name, _ in LAYOUT],
        "formats": [kind for _, kind in LAYOUT],
        "offsets": [4, 8, 10, 11, 20, 24, 26],
        "itemsize": 64,
    }
)
BETWEEN = np.dtype([LAYOUT[2], ("kept", "u2"), *LAYOUT[:2], *LAYOUT[3:], ("rest", "u8", (3,))])
FAR = np.dtype([*LAYOUT[:4], ("more", "u8", (4,)), *LAYOUT[4:6]])
SHORT = np.dtype(LAYOUT)

_take = taker(FIELDS, beside=("fixed", "more"))
_is_wanted = matcher({0: (0x45, 0xFF), 6: (0, 0x3F), 15: (6, 0x7F)})


@kernel
def take(records, address):
    _take(row(records, 1), address)


@kernel
def is_wanted(address):
    return _is_wanted(address)


@pytest.mark.parametrize("dtype", [TOGETHER, BETWEEN, FAR, SHORT])
@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_fields_are_taken_and_others_kept(dtype: np.dtype, octets: bytes) -> None:
    records = aligned(3, dtype)
    records.view(np.uint8)[:] = 0xA5
    before = records.copy()
    headers = np.frombuffer(octets, np.uint8).copy()
    with guard((headers.ctypes.data, 32)):
        take(records, headers.ctypes.data)
    for name in dtype.names or ():
        if name in FIELDS:
            first, size = FIELDS[name]
            before[1][name] = int.from_bytes(octets[first : first + size], "big")
        elif name in ("fixed", "more"):
            before[1][name] = records[1][name]
    assert all(np.array_equal(records[name], before[name]) for name in dtype.names or ())


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16), st.booleans(), st.integers(0, 127))
def test_a_pattern_is_the_bits_that_count(octets: bytes, wanted: bool, flaw: int) -> None:
    memory = np.frombuffer(octets, np.uint8).copy()
    if wanted:
        memory[0], memory[6], memory[15] = 0x45, memory[6] & 0xC0, 6 | memory[15] & 0x80
        memory[flaw // 8] ^= 1 << flaw % 8
    expected = memory[0] == 0x45 and not memory[6] & 0x3F and memory[15] & 0x7F == 6
    with guard((memory.ctypes.data, 16)):
        assert bool(is_wanted(memory.ctypes.data)) == expected
