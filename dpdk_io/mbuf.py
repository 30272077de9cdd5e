"""The packet buffer: DPDK's `struct rte_mbuf`, read and written from compiled code and seen through numpy.

The embedded loopback device uses the same layout, so operators never know which kind they hold. An mbuf is named by its
address, an int64. Offsets are those of DPDK 22.11 (rte_mbuf_core.h); `dpdk_io.shim` checks them against the installed headers.
"""

from __future__ import annotations

import ctypes

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import i64, load16, load32, load64, store16, store32, store64

MBUF = np.dtype(
    {
        "names": [
            "buf_addr", "buf_iova", "data_off", "refcnt", "nb_segs", "port", "ol_flags", "packet_type", "pkt_len",
            "data_len", "vlan_tci", "rss", "buf_len", "pool", "next", "tx_offload",
        ],
        "formats": ["u8", "u8", "u2", "u2", "u2", "u2", "u8", "u4", "u4", "u2", "u2", "u4", "u2", "u8", "u8", "u8"],
        "offsets": [0, 8, 16, 18, 20, 22, 24, 32, 36, 40, 42, 44, 54, 56, 64, 72],
        "itemsize": 128,
    }
)  # fmt: skip
assert MBUF.itemsize == 128

HEADROOM = 128
"""Bytes before the frame in a fresh mbuf (RTE_PKTMBUF_HEADROOM)."""
DATA_ROOM = 2048
"""Bytes for the frame in one mbuf, after the headroom."""

_BUF_ADDR, _DATA_OFF, _REFCNT, _NB_SEGS, _POOL = 0, 16, 18, 20, 56
_OL_FLAGS, _PKT_LEN, _DATA_LEN, _RSS, _BUF_LEN = 24, 36, 40, 44, 54
_TX_OFFLOAD, _CHECKSUMS = 72, 1 << 55 | 1 << 54 | 1 << 52
"""RTE_MBUF_F_TX_IPV4, ..._IP_CKSUM, ..._TCP_CKSUM."""
_BORROWED = 1 << 62 | 1 << 61
"""RTE_MBUF_F_INDIRECT, RTE_MBUF_F_EXTERNAL: the buffer is not the mbuf's own."""
NEXT = 64
"""Offset of the address of the next segment, 0 in the last one."""


@kernel
def data(mbuf):
    """The address of the frame's first byte."""
    return load64(mbuf + _BUF_ADDR) + load16(mbuf + _DATA_OFF)


@kernel
def usual_data(mbuf):
    """Where the frame of a received mbuf starts as a rule: for a prefetch."""
    return load64(mbuf + _BUF_ADDR) + HEADROOM


@kernel
def data_len(mbuf):
    """Bytes of the frame in this segment: all that may be read from `data(mbuf)` on."""
    return load16(mbuf + _DATA_LEN)


@kernel
def pkt_len(mbuf):
    """Bytes of the whole frame, over all its segments."""
    return load32(mbuf + _PKT_LEN)


@kernel
def nb_segs(mbuf):
    """Segments the frame is spread over; 1 for every frame up to DATA_ROOM bytes."""
    return load16(mbuf + _NB_SEGS)


@kernel
def is_lone(mbuf):
    """Is it one segment that nobody else refers to, in a buffer of its own?"""
    return load32(mbuf + _REFCNT) == 1 << 16 | 1 and load64(mbuf + _OL_FLAGS) & _BORROWED == 0 and load64(mbuf + NEXT) == 0


@kernel
def pool_of(mbuf):
    """The address of the mempool it is from; 0 on the embedded loopback device."""
    return load64(mbuf + _POOL)


@kernel
def rss_hash(mbuf):
    """The hash the device computed, where it does."""
    return load32(mbuf + _RSS)


@kernel
def tailroom(mbuf):
    """Bytes the frame can grow by."""
    return load16(mbuf + _BUF_LEN) - load16(mbuf + _DATA_OFF) - load16(mbuf + _DATA_LEN)


@kernel
def set_length(mbuf, length):
    """Make the frame *length* bytes long, in one segment. The caller knows that they fit."""
    store32(mbuf + _PKT_LEN, length)
    store16(mbuf + _DATA_LEN, length)


@kernel
def clear(mbuf):
    """An empty frame in one segment without offloads, whatever the mbuf held; pool and reference count stay."""
    store16(mbuf + _DATA_OFF, HEADROOM)
    store16(mbuf + _NB_SEGS, i64(1))
    store64(mbuf + _OL_FLAGS, i64(0))
    store32(mbuf + _PKT_LEN, i64(0))
    store16(mbuf + _DATA_LEN, i64(0))
    store64(mbuf + NEXT, i64(0))


@kernel
def leave_checksums(mbuf, l2_len, l3_len):
    """Let the device compute the IPv4 and TCP checksums, the headers before TCP being so many bytes long. The packet's IPv4
    checksum must be 0 and its TCP checksum that of the pseudo header."""
    store64(mbuf + _OL_FLAGS, load64(mbuf + _OL_FLAGS) | _CHECKSUMS)
    store64(mbuf + _TX_OFFLOAD, l2_len | (l3_len << 7))


def header(mbuf: int) -> np.recarray:
    """The mbuf at address *mbuf* as one MBUF record, by reference. For tests and debugging."""
    memory = (ctypes.c_uint8 * MBUF.itemsize).from_address(mbuf)
    return np.frombuffer(memoryview(memory), MBUF).view(np.recarray)[0]


def frame(mbuf: int) -> np.ndarray:
    """The first segment's bytes as a uint8 array, without a copy; valid until the mbuf is freed. For tests and debugging."""
    fields = header(mbuf)
    memory = (ctypes.c_uint8 * int(fields.data_len)).from_address(int(fields.buf_addr) + int(fields.data_off))
    return np.frombuffer(memoryview(memory), np.uint8)
