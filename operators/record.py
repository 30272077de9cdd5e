"""record: a line for each packet in a ring that Python reads while the pipeline runs.

Pipeline("watch", [parse, record, macswap], resources={"records": lambda core: Records(4096)})
core.resources["records"].read()
"""

from __future__ import annotations

import numpy as np

from dpdk_io.mbuf import pkt_len
from dpdk_io.memory import aligned, load64, record_at, store64
from pipeline import NEXT, operator

RECORD = np.dtype(
    [
        ("at", "i8"), ("length", "u4"), ("src", "u4"), ("dst", "u4"), ("sport", "u2"), ("dport", "u2"), ("vlan", "u2"),
        ("ethertype", "u2"), ("kind", "u1"), ("l4_proto", "u1"), ("tcp_flags", "u1"), ("ip_version", "u1"),
    ]
)  # fmt: skip
"""at: the time in cycles (`dpdk_io.clock`); length: of the whole frame; the others as parse has them, in host byte order."""
_SEEN, _CAPACITY, _ROWS, _SIZE = 0, 8, 64, 32
assert RECORD.itemsize == _SIZE


class Records:
    """The last *capacity* records of one core. `address` is what the operator takes as the resource `records`."""

    def __init__(self, capacity: int = 4096) -> None:
        self._memory = aligned(_ROWS + capacity * RECORD.itemsize, np.uint8)
        self._rows = np.asarray(self._memory[_ROWS:]).view(RECORD)
        self._counts = np.asarray(self._memory[:_ROWS]).view(np.int64)
        self._counts[_CAPACITY // 8] = capacity
        self.address: int = self._memory.ctypes.data

    @property
    def seen(self) -> int:
        """Packets recorded so far, those overwritten included."""
        return int(self._counts[_SEEN])

    def read(self) -> np.ndarray:
        """A copy of the records, oldest first. While the pipeline runs, the oldest ones may be newer than they should."""
        seen, capacity = self.seen, len(self._rows)
        return self._rows[:seen].copy() if seen <= capacity else np.roll(self._rows, -(seen % capacity))


@operator(reads=("src", "dst", "sport", "dport", "vlan", "ethertype", "kind", "l4_proto", "tcp_flags", "ip_version"))
def record(mbuf, meta, now, records):
    """Write time, length, addresses and ports of each packet to the ring *records*, over the oldest."""
    seen = load64(records + _SEEN)
    row = record_at(records + _ROWS + seen % load64(records + _CAPACITY) * _SIZE, RECORD)
    row.at = now
    row.length = pkt_len(mbuf)
    row.src = meta.src
    row.dst = meta.dst
    row.sport = meta.sport
    row.dport = meta.dport
    row.vlan = meta.vlan
    row.ethertype = meta.ethertype
    row.kind = meta.kind
    row.l4_proto = meta.l4_proto
    row.tcp_flags = meta.tcp_flags
    row.ip_version = meta.ip_version
    store64(records + _SEEN, seen + 1)
    return NEXT
