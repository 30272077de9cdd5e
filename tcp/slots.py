"""Free connection slots: last in, first out, because the slot freed last is still in the cache."""

from __future__ import annotations

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64, load32, store32
from tcp.block import Block

SLOTS = np.dtype({"names": ["stack", "free", "capacity"], "formats": ["<i8", "<i8", "<i8"], "itemsize": 64})
"""stack: address of the 32-bit slot numbers; free: how many of them are free."""

_SLOT = np.dtype([("slot", "<u4")])
SLOT_BYTES = _SLOT.itemsize


@kernel
def take_slot(slots):
    """A free slot, or -1."""
    free = i64(slots.free) - 1
    if free < 0:
        return -1
    slots.free = free
    return load32(i64(slots.stack) + free * 4)


@kernel
def give_slot(slots, slot):
    """Give *slot* back; it must have been taken."""
    free = i64(slots.free)
    store32(i64(slots.stack) + free * 4, slot)
    slots.free = free + 1


def new_slots(capacity: int) -> Block:
    """The slots 0 .. *capacity* - 1, all free; they are taken in this order."""
    if not 1 <= capacity < 1 << 32:
        raise ValueError(f"there can be 1 to {(1 << 32) - 1} slots, not {capacity}")
    record = aligned(1, SLOTS)
    stack = aligned(capacity, _SLOT)
    stack.slot[:] = np.arange(capacity - 1, -1, -1, dtype=np.uint32)
    record[0].stack = stack.ctypes.data
    record[0].free = record[0].capacity = capacity
    return Block(record[0], (record, stack))
