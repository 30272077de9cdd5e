"""The timer wheel: one deadline per connection slot, exact to the tick of 1 ms, for any timeout.

65,536 buckets of one tick each. An entry is linked in the bucket of its deadline, or in the last one if that is further away, and
stays there when its deadline moves later or is cancelled: that is one store. When its bucket comes up early, it moves on.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.expect import unlikely
from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import aligned, i64, load32, record_at, store32
from tcp.block import Block

BUCKETS = 1 << 16
_MASK = BUCKETS - 1
_LAST = 0xFFFFFFFF

WHEEL = np.dtype({"names": ["entries", "heads", "tick"], "formats": ["<i8", "<i8", "<i8"], "itemsize": 64})
"""entries, heads: addresses; tick: the first one (ms) whose bucket may hold something."""

ENTRY = np.dtype([("next", "<u4"), ("prev", "<u4"), ("deadline", "<u4"), ("linked", "<u4")])
"""next, prev: slot + 1, 0 = none; deadline: ms, 0 = none; linked: the tick whose bucket holds the entry, 0 = in none."""
_ENTRY_BYTES = ENTRY.itemsize
assert _ENTRY_BYTES == 16


@kernel
def _entry(wheel, slot):
    return record_at(i64(wheel.entries) + slot * _ENTRY_BYTES, ENTRY)


@inlined
def arm(wheel, slot, deadline):
    """Have `expired` return *slot* once, when it is called at *deadline* (ms) or later, and not before; 0: never."""
    entry = _entry(wheel, slot)
    entry.deadline = deadline
    # Linked in an earlier bucket, as is usual, it moves on when that comes up. Unlinked counts as linked in the last of all.
    if unlikely((i64(entry.linked) - 1) & _LAST >= deadline):
        _move(wheel, entry, slot, deadline)


@kernel
def _move(wheel, entry, slot, deadline):
    """Link *entry* where *deadline* wants it."""
    if deadline == 0:
        return
    if i64(entry.linked) != 0:
        _unlink(wheel, entry)
    _link(wheel, entry, slot, deadline, i64(wheel.tick))


@kernel
def expired(wheel, now):
    """A slot whose deadline has come at *now* (ms), disarmed, or -1. Call it until it is -1.

    However long the last call was ago, each bucket is looked at once; slots that are late by then come in no order.
    """
    tick = i64(wheel.tick)
    if now - tick >= BUCKETS:
        tick = now - BUCKETS + 1
    while tick <= now:
        wheel.tick = tick
        slot = _first_due(wheel, tick, now)
        if slot >= 0:
            return slot
        tick += 1
    return -1


@kernel
def _first_due(wheel, tick, now):
    """Empty the bucket of *tick* until something due comes out."""
    head = i64(wheel.heads) + (tick & _MASK) * 4
    node = load32(head)
    while node != 0:
        slot = node - 1
        entry = _entry(wheel, slot)
        _unlink(wheel, entry)
        deadline = i64(entry.deadline)
        if deadline > now:
            _link(wheel, entry, slot, deadline, tick)
        elif deadline != 0:
            entry.deadline = 0
            return slot
        node = load32(head)
    return -1


@inlined
def _link(wheel, entry, slot, deadline, tick):
    """Put *entry* first in the bucket of *deadline*, as far as the wheel reaches from *tick*."""
    at = min(max(deadline, tick), tick + _MASK)
    head = i64(wheel.heads) + (at & _MASK) * 4
    following = load32(head)
    if following != 0:
        _entry(wheel, following - 1).prev = slot + 1
    store32(head, slot + 1)
    entry.next = following
    entry.prev = 0
    entry.linked = at


@inlined
def _unlink(wheel, entry):
    following = i64(entry.next)
    before = i64(entry.prev)
    if following != 0:
        _entry(wheel, following - 1).prev = before
    if before != 0:
        _entry(wheel, before - 1).next = following
    else:
        store32(i64(wheel.heads) + (i64(entry.linked) & _MASK) * 4, following)
    entry.linked = 0


def new_wheel(capacity: int, now: int = 1) -> Block:
    """A wheel for the slots 0 .. *capacity* - 1 whose time starts at *now* (ms): 16 bytes a slot and 256 KiB."""
    record = aligned(1, WHEEL)
    entries = aligned(capacity, ENTRY)
    heads = aligned(BUCKETS, np.dtype([("head", "<u4")]))
    record[0].entries = entries.ctypes.data
    record[0].heads = heads.ctypes.data
    record[0].tick = max(now, 1)
    return Block(record[0], (record, entries, heads))
