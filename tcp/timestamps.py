"""Timestamps: RFC 7323 sections 3 to 5. Our clock is the engine's, in milliseconds."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import div64, i64
from tcp.segment import OPT_TIMESTAMPS, RST
from tcp.seq import MASK, distance

_OUTDATED_MS = 24 * 24 * 3600 * 1000
"""After 24 days without a segment the peer's clock may have wrapped (section 5.5)."""
_LONGEST_TRIP_MS = 60_000

FRESH, MISSING, OLD = range(3)


@kernel
def ts_clock(limits, now):
    """TSval of a segment that leaves at *now* (us)."""
    return (div64(now, 1000) + i64(limits.ts_offset)) & MASK


@rare
def judge(cold, seg, now):
    """FRESH; MISSING, which is dropped in silence (section 3.2); or OLD, which is not acceptable (PAWS, section 5.3 R1).

    An RST is always FRESH.
    """
    if i64(seg.tcp_flags) & RST:
        return i64(FRESH)
    if not i64(seg.opts) & OPT_TIMESTAMPS:
        return i64(MISSING)
    outdated = (div64(now, 1000) - i64(cold.ts_recent_at)) & MASK > _OUTDATED_MS
    return i64(FRESH if outdated or distance(i64(seg.ts_val), i64(cold.ts_recent)) >= 0 else OLD)


@rare
def keep_timestamp(cold, seg, now):
    """Of an acceptable segment: TS.Recent becomes its TSval if it begins where the last ACK of ours was, or before (5.3 R3)."""
    if i64(seg.opts) & OPT_TIMESTAMPS and distance(i64(seg.seq), i64(cold.last_ack_sent)) <= 0:
        cold.ts_recent = i64(seg.ts_val)
        cold.ts_recent_at = div64(now, 1000) & MASK


@rare
def trip(seg, limits, now):
    """The round trip in us that the segment's TSecr tells (section 4.1), at least 1; 0: none that can be."""
    ms = distance(ts_clock(limits, now), i64(seg.ts_ecr))
    if not i64(seg.opts) & OPT_TIMESTAMPS or i64(seg.ts_ecr) == 0 or not 0 <= ms <= _LONGEST_TRIP_MS:
        return i64(0)
    return max(ms * 1000, 1)
