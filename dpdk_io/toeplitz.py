"""The Toeplitz hash by which devices choose a receive queue (RSS), as Microsoft's RSS specification defines it.

The hash is linear: each input byte contributes the exclusive-or of the key's windows at its bits. A table holds that for every
byte value at every position, so that a TCP/IPv4 flow costs twelve look-ups.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.errors import UsageError
from dpdk_io.jit import kernel
from dpdk_io.memory import load8, load32

DEFAULT_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)  # fmt: skip
"""The key of the specification's verification suite, which many devices start with."""

SYMMETRIC_KEY = bytes.fromhex("6d5a") * 20
"""The hash under this key is the same for both directions of a flow (Woo and Park, "Scalable TCP Session Monitoring with
Symmetric Receive-side Scaling", 2012): it repeats after 16 bits, and addresses and ports swap in multiples of 16."""

FLOW_BYTES = 12
"""Source and destination address and port of TCP or UDP over IPv4."""
FLOW_BYTES_IP6 = 36
"""The same over IPv6. A table for these serves both: its first positions are those of IPv4."""


def table(key: bytes, size: int = FLOW_BYTES) -> np.ndarray:
    """What each byte value at each of *size* positions contributes: uint32, shape (size, 256). Keep it while kernels use it."""
    if len(key) < size + 4:
        raise UsageError(f"a Toeplitz key of {len(key)} bytes is too short for {size} bytes of input: use at least {size + 4}")
    bits = int.from_bytes(key, "big")
    windows = [bits >> (len(key) * 8 - 32 - bit) & 0xFFFFFFFF for bit in range(size * 8)]
    columns = np.array(windows, np.uint32).reshape(size, 8)
    values = np.arange(256, dtype=np.uint32)
    made = np.zeros((size, 256), np.uint32)
    for bit in range(8):
        made ^= np.where(values >> (7 - bit) & 1, columns[:, bit : bit + 1], 0).astype(np.uint32)
    return made


@kernel
def flow_hash(table, src, dst, sport, dport):
    """The hash of a TCP or UDP flow over IPv4 as its receiver sees it; numbers in host order. *table* is a table's address."""
    value = 0
    for i in range(4):
        shift = 24 - 8 * i
        value ^= load32(table + (((i << 8) | ((src >> shift) & 0xFF)) << 2))
        value ^= load32(table + ((((4 + i) << 8) | ((dst >> shift) & 0xFF)) << 2))
    for i in range(2):
        shift = 8 - 8 * i
        value ^= load32(table + ((((8 + i) << 8) | ((sport >> shift) & 0xFF)) << 2))
        value ^= load32(table + ((((10 + i) << 8) | ((dport >> shift) & 0xFF)) << 2))
    return value


@kernel
def flow_hash_ip6(table, src, dst, sport, dport):
    """The same over IPv6, whose addresses are read from *src* and *dst*. *table* is one for FLOW_BYTES_IP6."""
    value = 0
    for i in range(16):
        value ^= load32(table + (((i << 8) | load8(src + i)) << 2))
        value ^= load32(table + ((((16 + i) << 8) | load8(dst + i)) << 2))
    for i in range(2):
        shift = 8 - 8 * i
        value ^= load32(table + ((((32 + i) << 8) | ((sport >> shift) & 0xFF)) << 2))
        value ^= load32(table + ((((34 + i) << 8) | ((dport >> shift) & 0xFF)) << 2))
    return value
