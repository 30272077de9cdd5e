"""handover: receive the packets that other cores handed to this one."""

from __future__ import annotations

from dpdk_io.memory import i64
from dpdk_io.ring import pop_burst
from pipeline import source


@source(state=[("received", "i8")])
def handover(burst, room, state, steering):
    """Take packets from the rings of the other cores, see `steer`."""
    count = i64(0)
    for core in range(i64(steering[0].cores)):
        if core != i64(steering[0].index) and count < room:
            count += pop_burst(i64(steering[0].come[core]), burst + count * 8, room - count)
    state.received += count
    return count
