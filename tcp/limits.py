"""What all connections of an engine share: sizes and time limits."""

from __future__ import annotations

import numpy as np

from dpdk_io.memory import aligned
from tcp.block import Block

LIMITS = np.dtype(
    [
        ("mss", "<u4"),
        ("rcv_wnd", "<u4"),
        ("rto_initial", "<u4"),
        ("rto_min", "<u4"),
        ("rto_max", "<u4"),
        ("syn_retries", "<u4"),
        ("retries", "<u4"),
        ("user_timeout_ms", "<u4"),
        ("time_wait_ms", "<u4"),
        ("fin_wait_2_ms", "<u4"),
        ("idle_ms", "<u4"),
        ("delack_ms", "<u4"),
        ("boards", "<i8"),
    ]
)

_DEFAULTS = {
    "mss": 1460,
    "rcv_wnd": 65535,
    "rto_initial": 1000,
    "rto_min": 200,
    "rto_max": 60_000,
    "syn_retries": 6,
    "retries": 15,
    "user_timeout_ms": 0,
    "time_wait_ms": 60_000,
    "fin_wait_2_ms": 60_000,
    "idle_ms": 0,
    "delack_ms": 40,
    "boards": 0,
}


def new_limits(**values: int) -> Block:
    """A LIMITS record with *values* in place of the defaults.

    `mss` is the payload in bytes that our side can receive in one segment, and sends at most; `rcv_wnd` (bytes, below 65536) what
    it advertises. `rto_*`, `*_ms`: milliseconds; 0 is no limit for `user_timeout_ms`, `fin_wait_2_ms` and `idle_ms`. `delack_ms`
    is how long an ACK may wait for company, 0: not at all. `*retries` are timeouts after the first transmission, below 256.
    `boards` is the address of a pool of boards, 0: there are none.
    Raises ValueError for an unknown name or a value out of range.
    """
    unknown = sorted(set(values) - set(_DEFAULTS))
    if unknown:
        raise ValueError(f"unknown limit {unknown[0]}: there are {', '.join(_DEFAULTS)}")
    array = aligned(1, LIMITS)
    for name, value in (_DEFAULTS | values).items():
        top = _TOPS.get(name, 0xFFFFFFFF)
        if not _BOTTOMS.get(name, 0) <= value <= top:
            raise ValueError(f"limit {name} must be within {_BOTTOMS.get(name, 0)}..{top}, not {value}")
        array[0][name] = value
    return Block(array[0], (array,))


_BOTTOMS = {"mss": 64, "rto_initial": 1, "rto_min": 1, "rto_max": 1}
_TOPS = {
    "boards": (1 << 63) - 1,
    "mss": 65535,
    "rcv_wnd": 65535,
    "rto_initial": 60_000,
    "rto_min": 60_000,
    "rto_max": 60_000,
    "delack_ms": 499,
    "syn_retries": 255,
    "retries": 255,
}
