"""The embedded mempool: every mbuf is in one place, whoever frees it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdk_io import mbuf as mb
from dpdk_io.errors import UsageError
from dpdk_io.idle import sched_yield
from dpdk_io.jit import JIT, kernel
from dpdk_io.mempool import Mempool, alloc_bulk, free_bulk, reuse
from dpdk_io.ring import Ring, pop_burst, push_burst

CORES = 3
STEPS = st.lists(
    st.tuples(st.sampled_from(["alloc", "free", "chain"]), st.integers(0, CORES - 1), st.integers(0, 12)), max_size=40
)


def alloc(pool: Mempool, core: int, n: int) -> list[int]:
    words = np.zeros(max(n, 1), np.int64)
    got = alloc_bulk(pool.pool(core), words.ctypes.data, n)
    assert got in (0, n)
    return words[:got].tolist()


def free(pool: Mempool, core: int, mbufs: list[int]) -> None:
    words = np.array([*mbufs, 0], np.int64)
    free_bulk(pool.pool(core), words.ctypes.data, len(mbufs))


def chain(mbufs: list[int]) -> list[int]:
    """Make one packet of *mbufs*; its first segment."""
    for segment, after in zip(mbufs, [*mbufs, 0][1:], strict=True):
        mb.header(segment).next = after
    return mbufs[:1]


@given(st.integers(1, 40), st.sampled_from([0, 1, 4, 16]), STEPS)
def test_no_mbuf_is_lost_or_given_twice(count: int, cache: int, steps: list[tuple[str, int, int]]) -> None:
    pool, out = Mempool(count, CORES, cache), list[int]()
    for step, core, n in steps:
        if step == "alloc":
            out += alloc(pool, core, n)
            assert len(out) == len(set(out)) <= count
        else:
            back, out = out[:n], out[n:]
            free(pool, core, chain(back) if step == "chain" else back)
        assert pool.available() == count - len(out)
    free(pool, 0, out)
    assert pool.available() == count


def test_an_mbuf_is_reused_as_if_it_was_fresh_but_not_a_chain() -> None:
    pool = Mempool(3, 1, 4)
    single, *chained = alloc(pool, 0, 3)
    mb.set_length(single, 60)
    chain(chained)
    assert reuse(pool.pool(0), single)
    assert not reuse(pool.pool(0), chained[0])
    assert mb.pkt_len(single) == mb.data_len(single) == 0
    assert pool.available() == 0
    assert mb.header(chained[0]).next == chained[1]


def test_all_or_none() -> None:
    pool = Mempool(10, 1, 4)
    assert alloc(pool, 0, 11) == []
    assert len(alloc(pool, 0, 10)) == 10
    assert alloc(pool, 0, 1) == []


def test_what_was_freed_last_is_given_first() -> None:
    pool = Mempool(100, 1, 8)
    (last,) = alloc(pool, 0, 1)
    free(pool, 0, [last])
    assert alloc(pool, 0, 1) == [last]


def test_mbufs_come_cleared_and_with_room_of_their_own() -> None:
    pool = Mempool(4, 1, 0)
    mbufs = alloc(pool, 0, 4)
    for mbuf in mbufs:
        mb.header(mbuf).data_off = 3
        mb.header(mbuf).ol_flags = 1
        mb.set_length(mbuf, 77)
    free(pool, 0, chain(mbufs))
    mbufs = alloc(pool, 0, 4)
    for value, mbuf in enumerate(mbufs):
        header = mb.header(mbuf)
        names = ("data_off", "refcnt", "nb_segs", "ol_flags", "pkt_len", "data_len", "next")
        assert [int(header[name]) for name in names] == [mb.HEADROOM, 1, 1, 0, 0, 0, 0]
        assert mb.tailroom(mbuf) == mb.DATA_ROOM
        mb.set_length(mbuf, mb.DATA_ROOM)
        mb.frame(mbuf)[:] = value
    assert [set(mb.frame(mbuf).tolist()) for mbuf in mbufs] == [{0}, {1}, {2}, {3}]
    assert all(mb.header(mbuf).nb_segs == 1 for mbuf in mbufs)


def test_neighbours_do_not_share_sets_of_the_first_cache() -> None:
    mbufs = sorted(alloc(pool := Mempool(64, 1), 0, 64))
    assert len({mbuf // 64 % 64 for mbuf in mbufs}) == 64
    assert pool.available() == 0


@kernel
def allocate_and_hand_over(pool, ring, words, count):
    done = 0
    while done < count:
        if alloc_bulk(pool, words, 8) == 0:
            sched_yield()
            continue
        sent = 0
        while sent < 8:
            sent += push_burst(ring, words + 8 * sent, 8 - sent)
        done += 8


@kernel
def take_over_and_free(pool, ring, words, count):
    done = 0
    while done < count:
        got = pop_burst(ring, words, 8)
        free_bulk(pool, words, got)
        done += got
        if got == 0:
            sched_yield()


def test_one_core_allocates_and_another_frees() -> None:
    pool, ring, words = Mempool(512, 2, 16), Ring(64), np.zeros((2, 64), np.int64)
    count = 400_000 if JIT else 2_000
    work = [(allocate_and_hand_over, 0), (take_over_and_free, 1)]
    threads = [
        threading.Thread(target=run, args=(pool.pool(core), ring.address, words[core].ctypes.data, count)) for run, core in work
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.available() == 512
    assert len({*alloc(pool, 0, 480)}) == 480


def test_more_mbufs_than_memory_are_refused() -> None:
    with pytest.raises(UsageError, match="lower mbuf_cnt"):
        Mempool(1 << 40, 1)


@pytest.mark.parametrize(("count", "cores", "cache"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_impossible_pools_are_refused(count: int, cores: int, cache: int) -> None:
    with pytest.raises(UsageError, match="use at least"):
        Mempool(count, cores, cache)
