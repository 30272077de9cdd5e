"""CUBIC: RFC 9438, in integers. Windows are in bytes, times in ms, except where a name says us.

The time that counts is that in which the congestion window was what held the sender back; `cold.cubic_t` adds it up.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.seq import MASK

NOT_BEGUN = 0xFFFFFFFF
"""In `cold.cubic_k`: congestion avoidance begins with the next ACK."""
_LONGEST = 100_000
"""From K, in ms: further away the cubic only says "much more", and its cube would not fit 64 bits."""


@kernel
def cube_root(n):
    """The largest integer whose cube is not above *n*, which is below 2^62."""
    root = i64(0)
    bit = i64(1) << 20
    while bit:
        if (root | bit) * (root | bit) * (root | bit) <= n:
            root |= bit
        bit >>= 1
    return root


@kernel
def time_to_plateau(w_max, cwnd, mss):
    """K of section 4.2: how long after a reduction to *cwnd* the window is *w_max* again; C = 0.4."""
    if w_max <= cwnd:
        return i64(0)
    return cube_root((w_max - cwnd) * 2_500_000_000 // mss)


@kernel
def cubic_window(t, k, w_max, mss):
    """W_cubic(t) of section 4.2."""
    t = min(max(t - k, -_LONGEST), _LONGEST)
    return w_max + t * t * t // 2500 * mss // 1_000_000


@kernel
def cubic_reduce(cold, window):
    """A loss at *window*: the next plateau, with fast convergence (section 4.7); the new slow start threshold, beta = 0.7."""
    cold.w_max = window * 17 // 20 if window < i64(cold.w_max) else window
    cold.cubic_k = NOT_BEGUN
    return window * 7 // 10


@kernel
def cubic_after_timeout(cold):
    """Section 4.8: the plateau is where the next congestion avoidance begins."""
    cold.w_max = 0
    cold.cubic_k = NOT_BEGUN


@kernel
def cubic_grow(cold, mss, acked, rtt_us, now):
    """*acked* bytes more were acknowledged in congestion avoidance; the new window (sections 4.2 to 4.5)."""
    cwnd = i64(cold.cwnd)
    if i64(cold.cubic_k) == NOT_BEGUN:
        _begin(cold, cwnd, mss, now)
    t = min(i64(cold.cubic_t) + ((now - i64(cold.cubic_last)) & MASK), MASK)
    cold.cubic_t = t
    cold.cubic_last = now & MASK
    acked = min(acked, cwnd)
    friendly = _grow_as_reno(cold, cwnd, mss, acked)
    k, w_max = i64(cold.cubic_k), i64(cold.w_max)
    if cubic_window(t // 1000, k, w_max, mss) < friendly:
        return max(cwnd, friendly)
    target = min(max(cubic_window((t + rtt_us) // 1000, k, w_max, mss), cwnd), cwnd * 3 // 2)
    rest = i64(cold.grown) + (target - cwnd) * acked
    cold.grown = rest % cwnd
    return cwnd + rest // cwnd


@kernel
def _begin(cold, cwnd, mss, now):
    """Congestion avoidance begins at *cwnd*."""
    cold.w_max = max(i64(cold.w_max), cwnd)
    cold.cubic_k = time_to_plateau(i64(cold.w_max), cwnd, mss)
    cold.cubic_t = 0
    cold.cubic_last = now & MASK
    cold.w_est = cwnd
    cold.grown = 0
    cold.est_grown = 0


@kernel
def _grow_as_reno(cold, cwnd, mss, acked):
    """W_est of section 4.3: what Reno would have by now; alpha is 9/17 until the window is what it was."""
    per_window = mss * 9 // 17 if i64(cold.w_est) < i64(cold.prior_cwnd) else mss
    rest = i64(cold.est_grown) + per_window * acked
    cold.est_grown = rest % cwnd
    cold.w_est = i64(cold.w_est) + rest // cwnd
    return i64(cold.w_est)
