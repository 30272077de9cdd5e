"""What the cores of a run share to get each packet to the core that owns it: rings between them, and the rule of ownership."""

from __future__ import annotations

import numpy as np

from dpdk_io import toeplitz
from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64
from dpdk_io.ring import Ring

BY_PORT, BY_ADDRESS, BY_HASH = range(3)
RULES = {"port": BY_PORT, "ip": BY_ADDRESS, "rss": BY_HASH}
"""The rules by the names a configuration uses."""

MOST_CORES = 64
_RING_SIZE = 2048

STEERING = np.dtype(
    [
        ("index", "i8"), ("cores", "i8"), ("rule", "i8"), ("block", "i8"), ("blocks", "i8"), ("first_ip", "i8"),
        ("hash_table", "i8"), ("to", "i8", (MOST_CORES,)), ("come", "i8", (MOST_CORES,)),
    ]
)  # fmt: skip
"""index: this core's; block, blocks: size and number of port blocks, or size of an address block; first_ip: core 0's first
address; to, come: ring addresses."""


class Steering:
    """The rule *rule* for *cores* cores. `of(index)` is the one record array of core *index*, the resource `steering`."""

    def __init__(self, rule: str, cores: int, *, block: int = 1, first_ip: int = 0, key: bytes = toeplitz.SYMMETRIC_KEY) -> None:
        self._table = toeplitz.table(key)
        self._rings = [[Ring(_RING_SIZE) for _ in range(cores)] for _ in range(cores)]
        self._records = [aligned(1, STEERING) for _ in range(cores)]
        for index, array in enumerate(self._records):
            record = array[0]
            record.index, record.cores, record.rule = index, cores, RULES[rule]
            record.block, record.blocks, record.first_ip = block, 0x10000 // block, first_ip
            record.hash_table = self._table.ctypes.data
            record.to[:cores] = [ring.address for ring in self._rings[index]]
            record.come[:cores] = [rings[index].address for rings in self._rings]

    def of(self, index: int) -> np.ndarray:
        """The record of core *index*."""
        return self._records[index]

    def waiting(self) -> int:
        """Packets handed over and not yet taken."""
        return sum(len(ring) for rings in self._rings for ring in rings)


@kernel
def owner(steering, src, dst, sport, dport):
    """The index of the core that owns a TCP packet, or -1: nobody in particular."""
    rule = i64(steering.rule)
    if rule == BY_PORT:
        core = i64(steering.blocks) - 1 - dport // i64(steering.block)
    elif rule == BY_ADDRESS:
        core = (dst - i64(steering.first_ip)) // i64(steering.block)
    else:
        core = toeplitz.flow_hash(i64(steering.hash_table), src, dst, sport, dport) % i64(steering.cores)
    return core if 0 <= core < i64(steering.cores) else i64(-1)
