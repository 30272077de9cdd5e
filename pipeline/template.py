"""The text of a generated poll loop around the operators: what is the same for every pipeline."""

HEAD = '''"""Pipeline {name!r}, generated: its source is in pipeline/codegen.py."""

from dpdk_io.idle import wait
from dpdk_io.jit import entry, kernel
from dpdk_io.mbuf import data, data_len, pkt_len
from dpdk_io.memory import i64, load64, load_acquire, prefetch, rdtsc, record_at, store64
from {driver} import alloc_bulk, free_bulk, rx_burst, tx_burst
from pipeline.outbox import (
    BURST, CORE, QUEUES, SPARE, has_slow, leave, note_sent, queue_address, queue_count, remove_front, set_queue_count,
)
from pipeline.verdicts import DROP, NEXT, SLOW, TX
from {kernels} import (
{imports}
)


@kernel
def release(out, pool, first):
    """Free the packets in the queues of the verdicts from *first* on."""
    for verdict in range(first, QUEUES):
        free_bulk(pool, queue_address(out, verdict), queue_count(out, verdict))
        set_queue_count(out, verdict, i64(0))


@entry
def poll(out, until, slow_after, {parameters}):
    core = record_at(out, CORE)
    port, queue, pool = i64(core.port), i64(core.queue), i64(core.pool)
    burst = i64(core.burst)
    release(out, pool, i64(SLOW))
    idle = i64(0)
    while True:
        now = rdtsc()
        if load_acquire(out) != 0 or now >= until or (now >= slow_after and has_slow(out)):
            return
        core.turns += 1
        spare = i64(core.spare_count)
        if spare < SPARE:
            core.spare_count = spare + alloc_bulk(pool, i64(core.spare) + spare * 8, SPARE - spare)
        work = i64(0)
'''

RECEIVE = """\
        n = i64(0)
        if queue_count(out, TX) < 1024 or i64(core.tx_stalled) > 64:
            n = rx_burst(port, queue, burst, BURST)
        core.rx_packets += n
        core.rx_last = n
"""

TAIL = '''\
        ready = queue_count(out, TX)
        if ready > 0:
            sent = tx_burst(port, queue, queue_address(out, TX), ready)
            core.tx_packets += sent
            work += sent
            note_sent(out, sent, now)
            if sent == ready:
                set_queue_count(out, TX, i64(0))
            else:
                remove_front(out, TX, sent)
        dropped = queue_count(out, DROP)
        if dropped > 0:
            free_bulk(pool, queue_address(out, DROP), dropped)
            set_queue_count(out, DROP, i64(0))
        if work + n > 0:
            idle = i64(0)
            core.busy_cycles += rdtsc() - now
        else:
            core.idle_turns += 1
            idle += 1
            wait(i64(core.idle_policy), idle, i64(core.idle_after))


@entry
def finish(out, tries):
    """Send what is queued, trying *tries* times; then free that, every other queue and the spare mbufs."""
    core = record_at(out, CORE)
    port, queue, pool = i64(core.port), i64(core.queue), i64(core.pool)
    for _ in range(tries):
        ready = queue_count(out, TX)
        if ready == 0:
            break
        sent = tx_burst(port, queue, queue_address(out, TX), ready)
        core.tx_packets += sent
        remove_front(out, TX, sent)
    core.tx_unsent += queue_count(out, TX)
    release(out, pool, i64(DROP))
    free_bulk(pool, i64(core.spare), i64(core.spare_count))
    core.spare_count = 0
'''
