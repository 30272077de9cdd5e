"""impair and delayed: a network that loses, damages, doubles, delays and reorders what a pipeline receives, the same for the
same seed.

Pipeline("far", [delayed, impair(loss=0.01, delay=0.02), macswap], resources={"delay_line": DelayLine})

The fate of the n-th packet that a core receives depends on the seed, the core and n alone, and each kind of trouble draws for
itself: with another kind added, the same packets are lost.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.mbuf import data, nb_segs, pkt_len, set_length, tailroom
from dpdk_io.memory import add64, copy, i64, load8, mul64, record_at, shr64, store8, store64
from operators import wire
from operators.delay_line import LINE, hold, next_due
from pipeline import DROP, KEEP, NEXT, operator, source, take
from pipeline.outbox import leave

_LOSS, _CORRUPT, _BIT, _DUPLICATE, _REORDER, _JITTER, _REORDER_COPY, _JITTER_COPY = range(8)
"""What is drawn for a packet."""
_DRAWS = 8
_COPY = _REORDER_COPY - _REORDER

_MACS = wire.ETH_SRC + 6

_GOLDEN, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""The increment and the multipliers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as int64."""

COUNTERS = ("seen", "lost", "corrupted", "duplicated", "uncopied", "reordered", "queue_full", "line_full")
"""What happened to how many packets: the counters of `impair`."""


@operator(
    state=[("seen", "i8"), ("corrupted", "i8"), ("duplicated", "i8"), ("uncopied", "i8"), ("reordered", "i8"), ("free_at", "i8")],
    params={
        "loss": ("f8", 0.0), "delay": ("f8", 0.0), "jitter": ("f8", 0.0), "reorder": ("f8", 0.0), "duplicate": ("f8", 0.0),
        "corrupt": ("f8", 0.0), "rate": ("f8", 0.0), "queue": ("i8", 150_000), "seed": ("i8", 1),
    },
    drops=("lost", "queue_full", "line_full"),
)  # fmt: skip
def impair(mbuf, pkt, length, from_port, state, now, out, delay_line):
    """Lose, damage, double, delay and reorder packets from the port; needs the source `delayed`.

    In this order: *loss*, *corrupt* (one bit behind the MAC addresses), *duplicate*: probabilities. *rate*: bits a second, for
    which *queue* bytes wait at most. *delay* and *jitter*: seconds; jitter is evenly spread to both sides, and does not keep the
    order. *reorder*: the probability that a packet goes on at once, past those that are held.
    """
    if not from_port:
        return NEXT
    number = i64(state.seen)
    state.seen = number + 1
    fate = _fate(i64(state.seed), i64(record_at(delay_line, LINE).core), number)
    if _happens(fate, _LOSS, state.loss):
        state.lost += 1
        return DROP
    if length > _MACS and _happens(fate, _CORRUPT, state.corrupt):
        _flip(pkt + _MACS, i64(_draw(fate, _BIT) * ((length - _MACS) * 8)))
        state.corrupted += 1
    if _happens(fate, _DUPLICATE, state.duplicate):
        _duplicate(state, delay_line, fate, mbuf, now, out)
    return _carry(state, delay_line, fate, mbuf, now)


@source(state=[("released", "i8")], reserve=16)
def delayed(burst, room, state, now, delay_line):
    """Bring back the packets that `impair` held and whose time has come."""
    count = i64(0)
    while count < room:
        mbuf = next_due(delay_line, now)
        if mbuf == 0:
            break
        store64(burst + count * 8, mbuf)
        count += 1
    state.released += count
    return count


@kernel
def _mix(word):
    """The output function of SplitMix64."""
    word = mul64(word ^ shr64(word, 30), _FIRST)
    word = mul64(word ^ shr64(word, 27), _SECOND)
    return word ^ shr64(word, 31)


@kernel
def _fate(seed, core, number):
    """Where the draws for a core's packet *number* begin."""
    return add64(_mix(add64(_mix(seed), core)), mul64(number * _DRAWS, _GOLDEN))


@kernel
def _draw(fate, kind):
    """A number from 0 up to, not including, 1."""
    return shr64(_mix(add64(fate, mul64(kind, _GOLDEN))), 11) * 2.0**-53


@kernel
def _happens(fate, kind, probability):
    return probability > 0.0 and _draw(fate, kind) < probability


@kernel
def _flip(address, bit):
    """Change one bit."""
    store8(address + (bit >> 3), load8(address + (bit >> 3)) ^ 1 << (bit & 7))


@kernel
def _duplicate(state, delay_line, fate, mbuf, now, out):
    """A copy of the packet, which then goes the way of every packet; one without delay comes in the next turn."""
    size = pkt_len(mbuf)
    if nb_segs(mbuf) != 1:
        state.uncopied += 1
        return
    fresh = take(out)
    if fresh == 0:
        state.uncopied += 1
        return
    if size > tailroom(fresh):
        state.uncopied += 1
        leave(out, i64(DROP), fresh)
        return
    copy(data(fresh), data(mbuf), size)
    set_length(fresh, size)
    state.duplicated += 1
    verdict = _carry(state, delay_line, add64(fate, mul64(_COPY, _GOLDEN)), fresh, now)
    if verdict == NEXT:
        verdict = _hold(state, delay_line, now, fresh)
    leave(out, verdict, fresh)


@kernel
def _carry(state, delay_line, fate, mbuf, now):
    """Over the link and down the line, or past all that are held; the packet's verdict."""
    line = record_at(delay_line, LINE)
    if _happens(fate, _REORDER, state.reorder):
        state.reordered += i64(i64(line.held) > 0)
        return i64(NEXT)
    at = now
    if state.rate > 0.0:
        at = _transmitted(state, line.hertz, pkt_len(mbuf), now)
        if at < 0:
            state.queue_full += 1
            return i64(DROP)
    seconds = state.delay
    if state.jitter > 0.0:
        seconds += state.jitter * (2.0 * _draw(fate, _JITTER) - 1.0)
    at += i64(max(seconds, 0.0) * line.hertz)
    return i64(NEXT) if at == now else _hold(state, delay_line, at, mbuf)


@kernel
def _transmitted(state, hertz, size, now):
    """When the link has sent a packet of *size* bytes, behind those it still has to send; -1 when too many bytes wait."""
    start = max(now, i64(state.free_at))
    if start > now and (start - now) * state.rate / (8.0 * hertz) + size > i64(state.queue):
        return i64(-1)
    start += i64(size * 8.0 * hertz / state.rate)
    state.free_at = start
    return start


@kernel
def _hold(state, delay_line, at, mbuf):
    """Hold the packet until *at*, noting whether it overtakes another; the packet's verdict."""
    overtakes = at < i64(record_at(delay_line, LINE).latest)
    if not hold(delay_line, at, mbuf):
        state.line_full += 1
        return i64(DROP)
    state.reordered += i64(overtakes)
    return i64(KEEP)
