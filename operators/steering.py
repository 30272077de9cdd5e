"""What the cores of a run share to get each packet to the core that owns it: rings between them, and the rule of ownership."""

from __future__ import annotations

import numpy as np

from dpdk_io import toeplitz
from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, be64, i64
from dpdk_io.ring import Ring

BY_PORT, BY_ADDRESS, BY_HASH = range(3)
RULES = {"port": BY_PORT, "ip": BY_ADDRESS, "rss": BY_HASH}
"""The rules by the names a configuration uses."""

MOST_CORES = 64
_RING_SIZE = 2048

STEERING = np.dtype(
    [
        ("index", "i8"), ("cores", "i8"), ("rule", "i8"), ("block", "i8"), ("blocks", "i8"), ("first_ip", "i8"),
        ("prefix_ip6", "i8"), ("first_ip6", "i8"), ("ips6", "i8"),
        ("hash_table", "i8"), ("to", "i8", (MOST_CORES,)), ("come", "i8", (MOST_CORES,)),
    ]
)  # fmt: skip
"""index: this core's; block, blocks: size and number of port blocks, or size of an address block; first_ip: core 0's first
address; prefix_ip6, first_ip6: the halves of its first IPv6 address; ips6: how many each core has; to, come: ring addresses."""


class Steering:
    """The rule *rule* for *cores* cores. `of(index)` is the one record array of core *index*, the resource `steering`."""

    def __init__(
        self, rule: str, cores: int, *, block: int = 1, first_ip: int = 0, first_ip6: int = 0, ips6: int = 1,
        key: bytes = toeplitz.SYMMETRIC_KEY,
    ) -> None:  # fmt: skip
        self._table = toeplitz.table(key, toeplitz.FLOW_BYTES_IP6)
        self._rings = [[Ring(_RING_SIZE) for _ in range(cores)] for _ in range(cores)]
        self._records = [aligned(1, STEERING) for _ in range(cores)]
        for index, array in enumerate(self._records):
            record = array[0]
            record.index, record.cores, record.rule = index, cores, RULES[rule]
            record.block, record.blocks, record.first_ip = block, 0x10000 // block, first_ip
            record.prefix_ip6, record.first_ip6 = _signed(first_ip6 >> 64), _signed(first_ip6)
            record.ips6 = ips6
            record.hash_table = self._table.ctypes.data
            record.to[:cores] = [ring.address for ring in self._rings[index]]
            record.come[:cores] = [rings[index].address for rings in self._rings]

    def of(self, index: int) -> np.ndarray:
        """The record of core *index*."""
        return self._records[index]

    def waiting(self) -> int:
        """Packets handed over and not yet taken."""
        return sum(len(ring) for rings in self._rings for ring in rings)


def _signed(word: int) -> int:
    """The low 64 bits of *word* as an int64."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


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


@kernel
def owner_ip6(steering, src, dst, sport, dport):
    """`owner` for IPv6; *src* and *dst* are where the addresses lie."""
    rule = i64(steering.rule)
    if rule == BY_PORT:
        core = i64(steering.blocks) - 1 - dport // i64(steering.block)
    elif rule == BY_ADDRESS:
        within = be64(dst + 8) - i64(steering.first_ip6) if be64(dst) == i64(steering.prefix_ip6) else i64(-1)
        core = within // i64(steering.ips6)
    else:
        core = toeplitz.flow_hash_ip6(i64(steering.hash_table), src, dst, sport, dport) % i64(steering.cores)
    return core if 0 <= core < i64(steering.cores) else i64(-1)
