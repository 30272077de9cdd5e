"""Small operators for tests of pipelines: what they do shows in the frame, whose first byte counts the marks behind it.

Byte 40 on is the test's: what a frame holds there decides where it goes.
"""

from __future__ import annotations

from dpdk_io.memory import i64, load8, store8
from pipeline import DROP, KEEP, NEXT, TX, operator

SIZE = 64
MARKS, KEY, CHOICE = 0, 40, 41


@operator(params={"value": ("u1", 0)})
def mark(pkt, state):
    """Append *value* to the marks."""
    count = load8(pkt + MARKS)
    store8(pkt + MARKS + 1 + count, i64(state.value))
    store8(pkt + MARKS, count + 1)
    return NEXT


@operator(writes=[("key", "u1"), ("origin", "u4")])
def read_key(pkt, meta):
    """Put the frame's key, and all that says which frame it is, into the metadata."""
    meta.key = load8(pkt + KEY)
    meta.origin = load8(pkt + KEY + 2) << 8 | load8(pkt + KEY + 3)
    return NEXT


@operator(params={"by": ("u1", 1)}, reads=("key",), writes=[("key", "u1")])
def add_key(meta, state):
    """Add *by* to the key in the metadata."""
    meta.key = (i64(meta.key) + i64(state.by)) & 0xFF
    return NEXT


@operator(reads=("key", "origin"))
def show(pkt, meta):
    """Append the metadata to the marks: a packet that met another's would show it."""
    count = load8(pkt + MARKS)
    store8(pkt + MARKS + 1 + count, i64(meta.key))
    store8(pkt + MARKS + 2 + count, i64(meta.origin) & 0xFF)
    store8(pkt + MARKS, count + 2)
    return NEXT


@operator(params={"modulus": ("u1", 2), "verdict": ("u1", DROP)}, state=[("gone", "u8")])
def leave_if(pkt, state):
    """Give *verdict* to frames whose choice is a multiple of *modulus*."""
    if load8(pkt + CHOICE) % i64(state.modulus) == 0:
        state.gone += 1
        return i64(state.verdict)
    return NEXT


@operator
def bounce():
    """Send everything."""
    return TX


@operator
def hold():
    """Keep everything: as an operator that stores packets does."""
    return KEEP


def frame(key: int = 0, choice: int = 1, number: int = 0) -> bytes:
    """A frame without marks."""
    return bytes(KEY) + bytes([key, choice]) + number.to_bytes(2, "big") + bytes(SIZE - KEY - 4)


def marks(data: bytes) -> list[int]:
    """The marks of a frame."""
    return list(data[1 : 1 + data[0]])
