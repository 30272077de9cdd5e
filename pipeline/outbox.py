"""One core's own memory: the burst, the verdict queues, the spare mbufs, and the counters of its loop.

Kernels know it as `out`, the address of a CORE record. `take` and `send` are how an operator emits a packet of its own.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.expect import likely
from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64, load64, record_at, store64
from pipeline.verdicts import DROP, KEEP, NAMES, SLOW, TX

BURST = 32
"""Packets received at a time."""
QUEUE = 2048
"""Packets a verdict queue holds."""
QUEUES = len(NAMES)
"""A queue for each verdict; those of NEXT and KEEP stay empty."""
_MOST_WAITING = QUEUE // 4
REFILL = 64
"""Mbufs are taken from the pool so many at a time."""
SPARE = 512
"""Mbufs ready to be taken at the start of every turn, but for what makes no whole refill or the pool has not: an initial window
for every packet of a burst, and more."""
KEPT = SPARE + 2 * REFILL
"""With so many of them, mbufs that are dropped go back to the pool; with fewer they become spare ones at once."""

CORE = np.dtype(
    [
        ("stop", "i8"),
        ("port", "i8"),
        ("queue", "i8"),
        ("pool", "i8"),
        ("burst", "i8"),
        ("queues", "i8"),
        ("spare", "i8"),
        ("spare_count", "i8"),
        ("queued", "i8", (QUEUES,)),
        ("idle_policy", "i8"),
        ("idle_after", "i8"),
        ("tx_stalled", "i8"),
        ("tx_stalled_at", "i8"),
        ("tx_patience", "i8"),
        ("tx_dead", "i8"),
        ("rx_last", "i8"),
        ("rx_more", "i8"),
        ("rx_packets", "i8"),
        ("rx_bytes", "i8"),
        ("tx_packets", "i8"),
        ("tx_full", "i8"),
        ("queue_full", "i8"),
        ("no_mbuf", "i8"),
        ("bad_verdict", "i8"),
        ("end", "i8"),
        ("unhandled", "i8"),
        ("too_long", "i8"),
        ("tx_unsent", "i8"),
        ("left_held", "i8"),
        ("turns", "i8"),
        ("idle_turns", "i8"),
        ("busy_cycles", "i8"),
        ("started_at", "i8"),
    ]
)
"""`stop` is first: the control thread sets it while the loop runs. `rx_more`: the port brought as much as was asked for, and may
have more. `tx_stalled` counts turns in which the port took none of the packets there were, `tx_stalled_at` is when they began;
after `tx_patience` cycles the port is `tx_dead`."""

DROPS = ("tx_full", "queue_full", "no_mbuf", "bad_verdict", "end", "unhandled", "too_long", "tx_unsent", "left_held")
"""The counters of CORE that count lost packets: tx queue full, slow or user queue full, no mbuf to emit with, a verdict that does
not exist, nobody's packet at the end of the pipeline, left for Python without a callback for the verdict, from outside and too
long for an mbuf, not accepted by the port when the run ended, still held by a resource then."""

_QUEUED = CORE.fields["queued"][1]  # type: ignore[index]


@kernel
def take(out):
    """An empty mbuf to build a packet in, or 0 when there is none (counted as no_mbuf)."""
    core = record_at(out, CORE)
    count = i64(core.spare_count)
    if count == 0:
        core.no_mbuf += 1
        return i64(0)
    core.spare_count = count - 1
    return load64(i64(core.spare) + (count - 1) * 8)


@kernel
def has_spare(out):
    """Would `take` give an mbuf now?"""
    return i64(record_at(out, CORE).spare_count) > 0


@kernel
def room(out):
    """How many packets can still be sent in this turn. Nobody waits for a dead port: what it is sent is lost (tx_full)."""
    core = record_at(out, CORE)
    spare = i64(core.spare_count)
    return spare if i64(core.tx_dead) else min(spare, QUEUE - load64(out + _QUEUED + TX * 8))


@kernel
def behind(out):
    """Is the port behind with what it was sent? Who would send of its own accord waits then: were half the queue full, nothing
    would be received. A dead port is not waited for."""
    return load64(out + _QUEUED + TX * 8) >= _MOST_WAITING and not i64(record_at(out, CORE).tx_dead)


@rare
def leave(out, verdict, mbuf):
    """Put a packet into its verdict's queue; into the drop queue, counted, when that is full or the verdict does not exist."""
    if verdict == KEEP:
        return
    core = record_at(out, CORE)
    if verdict < DROP or verdict >= QUEUES:
        core.bad_verdict += 1
        verdict = i64(DROP)
    count = load64(out + _QUEUED + verdict * 8)
    if count >= QUEUE:
        if verdict == TX:
            core.tx_full += 1
        else:
            core.queue_full += 1
        verdict = i64(DROP)
        count = load64(out + _QUEUED + verdict * 8)
    store64(i64(core.queues) + (verdict * 2 * QUEUE + count) * 8, mbuf)
    store64(out + _QUEUED + verdict * 8, count + 1)


@kernel
def depart(out, tx, ready, verdict, mbuf):
    """`leave` for the loop itself, which keeps the count of the TX queue, at *tx*, in *ready*; its new value."""
    if likely(verdict == TX and ready < QUEUE):
        store64(tx + ready * 8, mbuf)
        return ready + 1
    if verdict == DROP:
        _drop(out, mbuf)
        return ready
    if verdict == KEEP:
        return ready
    set_queue_count(out, i64(TX), ready)
    leave(out, verdict, mbuf)
    return ready


@kernel
def depart_counted(out, tx, ready, verdict, mbuf, counters):
    """`depart` with an operator's verdict, counted in the one of the words at *counters* that is the verdict's."""
    if likely(verdict == TX):
        count(counters + TX * 8)
    elif verdict == DROP:
        count(counters + DROP * 8)
    elif verdict == KEEP:
        count(counters + KEEP * 8)
    else:
        count(counters + (verdict & QUEUES - 1) * 8)
    return depart(out, tx, ready, verdict, mbuf)


@kernel
def _drop(out, mbuf):
    """Into the drop queue, which is emptied every turn and holds more than a turn can bring."""
    count = load64(out + _QUEUED + DROP * 8)
    store64(i64(record_at(out, CORE).queues) + (DROP * 2 * QUEUE + count) * 8, mbuf)
    store64(out + _QUEUED + DROP * 8, count + 1)


@kernel
def send(out, mbuf):
    """Send a packet that was built in an mbuf from `take`."""
    count = load64(out + _QUEUED + TX * 8)
    if count < QUEUE:
        store64(queue_address(out, i64(TX)) + count * 8, mbuf)
        store64(out + _QUEUED + TX * 8, count + 1)
    else:
        leave(out, i64(TX), mbuf)


@kernel
def note_sent(out, sent, now):
    """After an attempt to send: whether the port still takes packets."""
    core = record_at(out, CORE)
    if sent > 0:
        core.tx_stalled = 0
        core.tx_dead = 0
        return
    if i64(core.tx_stalled) == 0:
        core.tx_stalled_at = now
    core.tx_stalled += 1
    core.tx_dead = i64(now - i64(core.tx_stalled_at) > i64(core.tx_patience))


@kernel
def count(counter):
    """One more, in the 64-bit word at *counter*."""
    add(counter, i64(1))


@kernel
def add(counter, n):
    """*n* more, in the 64-bit word at *counter*."""
    store64(counter, load64(counter) + n)


@kernel
def nth(burst, place):
    """Which entry of the burst is at *place*, from 0."""
    return (place - burst) >> 3


@kernel
def queue_address(out, verdict):
    """Where the queue of *verdict* starts."""
    return i64(record_at(out, CORE).queues) + verdict * 2 * QUEUE * 8


@kernel
def queue_count(out, verdict):
    """How many packets the queue of *verdict* holds."""
    return load64(out + _QUEUED + verdict * 8)


@kernel
def set_queue_count(out, verdict, count):
    """After packets have been taken from the front or the back."""
    store64(out + _QUEUED + verdict * 8, count)


@kernel
def has_slow(out):
    """Are there packets for Python?"""
    waiting = i64(0)
    for verdict in range(SLOW, QUEUES):
        waiting += load64(out + _QUEUED + verdict * 8)
    return waiting != 0


@kernel
def remove_front(out, verdict, count):
    """Drop the first *count* entries of a queue: they belong to somebody else now."""
    if count == 0:
        return
    total = queue_count(out, verdict)
    base = queue_address(out, verdict)
    for i in range(total - count):
        store64(base + i * 8, load64(base + (count + i) * 8))
    set_queue_count(out, verdict, total - count)
