"""Client ports: shuffled once, then reused first in, first out, so that a port rests as long as possible.

One queue per local address.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64, load16, store16
from tcp.block import Block

PORTS = np.dtype({"names": ["ring", "capacity", "head", "free"], "formats": ["<i8", "<i8", "<i8", "<i8"], "itemsize": 64})
"""ring: address of 16-bit ports; head: position of the next one to take; free: how many may be taken."""


@kernel
def take_port(ports):
    """The port that has rested longest (host byte order), or -1 when all are in use."""
    free = i64(ports.free)
    if free == 0:
        return -1
    head = i64(ports.head)
    following = head + 1
    ports.head = 0 if following == i64(ports.capacity) else following
    ports.free = free - 1
    return load16(i64(ports.ring) + head * 2)


@kernel
def give_port(ports, port):
    """Give *port* back; it must have been taken from this queue."""
    free = i64(ports.free)
    capacity = i64(ports.capacity)
    tail = i64(ports.head) + free
    if tail >= capacity:
        tail -= capacity
    store16(i64(ports.ring) + tail * 2, port)
    ports.free = free + 1


def new_ports(numbers: Sequence[int], seed: int, addresses: int = 1) -> Block:
    """*addresses* queues of the ports *numbers*, each shuffled by *seed* in a way of its own.

    `record` is the first queue's; `arrays[0]` holds the PORTS records of all of them, 64 bytes each.
    Raises ValueError when a port is not within 1..65535, or is there twice.
    """
    if not len(numbers) or len(set(numbers)) != len(numbers) or not 1 <= min(numbers) <= max(numbers) <= 65535:
        raise ValueError("client ports must be different numbers within 1..65535, and at least one")
    records = aligned(addresses, PORTS)
    rings = aligned(addresses * len(numbers), np.dtype([("port", "<u2")]))
    rng = np.random.default_rng(seed)
    for i in range(addresses):
        first = i * len(numbers)
        rings.port[first : first + len(numbers)] = rng.permutation(np.asarray(numbers, np.uint16))
        records[i].ring = rings.ctypes.data + first * 2
        records[i].capacity = records[i].free = len(numbers)
    return Block(records[0], (records, rings))
