"""What all connections of an engine share: sizes, time limits and options."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import aligned, i64
from tcp.block import Block
from tcp.connection import CLOSED, ECN_OK, FIN_WAIT_2, IN_ORDER_ONLY, SACK_OK, STATE_NAMES, TIME_WAIT, TS_OK, WS_OK
from tcp.header import MSS_WORD, SACK_PERMITTED_WORD, SYN_OPTIONS_LEN, WSCALE_WORD
from tcp.ip6 import FIRST_NUMBER
from tcp.rto import UNIT
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE

LIMITS = np.dtype(
    [
        ("mss", "<u4"),
        ("rcv_wnd", "<u4"),
        ("widest", "<u4"),
        ("rto_initial", "<u4"),
        ("rto_min", "<u4"),
        ("rto_max", "<u4"),
        ("syn_retries", "<u4"),
        ("retries", "<u4"),
        ("r1", "<u4"),
        ("user_timeout_ms", "<u4"),
        ("time_wait_ms", "<u4"),
        ("fin_wait_2_ms", "<u4"),
        ("idle_ms", "<u4"),
        ("delack_ms", "<u4"),
        ("options", "<u4"),
        ("ecn", "<u4"),
        ("in_order_only", "<u4"),
        ("keep_time_wait", "<u4"),
        ("ts_offset", "<u4"),
        ("challenges", "<u4"),
        ("challenge_limit", "<u4"),
        ("min_mtu", "<u4"),
        ("keepalive_ms", "<u4"),
        ("keepalive_interval_ms", "<u4"),
        ("keepalive_probes", "<u4"),
        ("congestion", "<u4"),
        ("nagle", "<u4"),
        ("boards", "<i8"),
        ("bits", "<u4"),  # of a connection that begins,
        ("rcv_shift", "<u4"),  # and the scale of its window
        ("scaled_wnd", "<u4"),  # which is so wide with it,
        ("syn_wnd", "<u4"),  # and so wide in a SYN
        ("syn_options", "<i8"),  # over IPv4, in memory's order: MSS and SACK permitted,
        ("syn_scale", "<u4"),  # and the window scale;
        ("syn_sum", "<u4"),  # what they, and their length, add to the checksum
        ("quiet_ms", "<u4"),  # how long a connection may be idle before something happens
        ("patience", "<u4", (len(STATE_NAMES),)),  # ms, by state: with nothing in flight
        ("rcv_edge", "<u4"),  # bytes: with more left of a window it need not move
        ("rto_least", "<u4"),  # ms
        ("rto_quick", "<u4"),  # see rto.measure
        ("challenge_second", "<u4"),  # the second
        ("challenges_sent", "<u4"),  # in which so many were sent
    ]
)
IP6_LONGER = 20
"""Bytes by which the IPv6 header is longer than IPv4's."""

_DEFAULTS = {
    "mss": 1460,
    "rcv_wnd": 65535,
    "widest": 0,
    "rto_initial": 1000,
    "rto_min": 200,
    "rto_max": 60_000,
    "syn_retries": 7,
    "retries": 15,
    "r1": 3,
    "user_timeout_ms": 0,
    "time_wait_ms": 60_000,
    "fin_wait_2_ms": 60_000,
    "idle_ms": 0,
    "delack_ms": 40,
    "options": OPT_WSCALE | OPT_SACK_PERMITTED,
    "ecn": 0,
    "in_order_only": 0,
    "keep_time_wait": 0,
    "ts_offset": 0,
    "challenges": 10,
    "challenge_limit": 1000,
    "min_mtu": 552,
    "keepalive_ms": 0,
    "keepalive_interval_ms": 75_000,
    "keepalive_probes": 9,
    "congestion": 1,
    "nagle": 0,
    "boards": 0,
}


def new_limits(**values: int) -> Block:
    """A LIMITS record with *values* in place of the defaults.

    `mss` is the payload in bytes that our side can receive in one segment over IPv4, and sends at most; over IPv6 it is 20 less,
    as what is the same is the packet. `rcv_wnd` (bytes) is what it advertises, without window scaling at most 65535; `widest`
    what an application may widen that to later. `rto_*`, `*_ms`: milliseconds; 0 is no limit for `user_timeout_ms`,
    `fin_wait_2_ms` and `idle_ms`. `delack_ms` is how long an ACK may wait for company, 0: not at all. `*retries` are timeouts
    after the first transmission, below 256. `boards` is the address of a pool of boards, 0: there are none.

    `options`: the OPT_ bits of what a SYN offers, and what is granted when the peer offers it. 1 for `ecn`: so is ECN (RFC 3168);
    for `in_order_only`: connections begin with that bit; for `keep_time_wait`: an RST does not end it (RFC 1337).
    `min_mtu`: bytes that every path is taken to let through, whatever routers say. `ts_offset` (ms) is added to the clock of
    timestamps. `challenges`: how many segments that are not acceptable a connection answers in five seconds, `challenge_limit`
    all connections in one. After `keepalive_ms` without a segment a connection that has nothing in flight is probed, every
    `keepalive_interval_ms`, and given up after `keepalive_probes` without an answer; 0: it is not, and `idle_ms` counts.

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
    _derive(array[0])
    return Block(array[0], (array,))


def _derive(limits: Any) -> None:
    """What follows from the settings."""
    options = int(limits.options)
    bits = WS_OK if options & OPT_WSCALE else 0
    bits |= SACK_OK if options & OPT_SACK_PERMITTED else 0
    bits |= TS_OK if options & OPT_TIMESTAMPS else 0
    limits.bits = bits | (ECN_OK if limits.ecn else 0) | (IN_ORDER_ONLY if limits.in_order_only else 0)
    limits.rcv_shift = max(max(int(limits.rcv_wnd), int(limits.widest)).bit_length() - 16, 0)
    limits.scaled_wnd = min(int(limits.rcv_wnd), 0xFFFF << int(limits.rcv_shift))
    limits.syn_wnd = min(int(limits.rcv_wnd), 0xFFFF)
    words = MSS_WORD | int(limits.mss), SACK_PERMITTED_WORD, WSCALE_WORD | int(limits.rcv_shift)
    octets = b"".join(word.to_bytes(4, "big") for word in words)
    limits.syn_options = int.from_bytes(octets[:8], "little", signed=True)
    limits.syn_scale = int.from_bytes(octets[8:], "little")
    limits.syn_sum = sum(words) + SYN_OPTIONS_LEN
    limits.quiet_ms = limits.keepalive_ms or limits.idle_ms
    limits.patience[:] = _patience(int(limits.quiet_ms))
    limits.patience[CLOSED] = 0
    limits.patience[FIN_WAIT_2] = _patience(int(limits.fin_wait_2_ms))
    limits.patience[TIME_WAIT] = _patience(int(limits.time_wait_ms)) or 1
    limits.rcv_edge = limits.rcv_wnd - min(int(limits.mss), min(int(limits.rcv_wnd), 0xFFFF) >> 1)
    limits.rto_least = min(limits.rto_min, limits.rto_max)
    limits.rto_quick = max(int(limits.rto_min) * 1000 // UNIT - 16, 0)


def _patience(ms: int) -> int:
    """Until after the tick that *ms* end in; 0 is no limit."""
    return min(ms + 1, 0xFFFFFFFF) if ms else 0


@kernel
def own_mss(conn, limits):
    """The payload in bytes that the peer of *conn* may send in one segment (RFC 9293 section 3.7.1)."""
    return mss_over(i64(conn.peer_ip), limits)


@inlined
def mss_over(peer_ip, limits):
    """The same for a peer with this address."""
    return i64(limits.mss) - IP6_LONGER if peer_ip >= FIRST_NUMBER else i64(limits.mss)


_BOTTOMS = {"mss": 64, "rto_initial": 1, "rto_min": 1, "rto_max": 1}
_TOPS = {
    "boards": (1 << 63) - 1,
    "mss": 65535,
    "rcv_wnd": 0xFFFF << 14,
    "widest": 0xFFFF << 14,
    "rto_initial": 60_000,
    "rto_min": 60_000,
    "rto_max": 60_000,
    "delack_ms": 499,
    "syn_retries": 255,
    "retries": 255,
    "keepalive_probes": 255,
    "options": OPT_WSCALE | OPT_SACK_PERMITTED | OPT_TIMESTAMPS,
    "ecn": 1,
    "in_order_only": 1,
    "keep_time_wait": 1,
    "r1": 255,
    "congestion": 1,
    "nagle": 1,
}
