"""Threads that poll: started together, pinned, stopped together, and what goes wrong in one of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from dpdk_io.errors import UsageError
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import store64
from dpdk_io.ports import Port, open_ports
from operators.macswap import macswap
from operators.to_kernel import to_kernel
from pipeline import SLOW, Core, Pipeline, Run, room, send, take, tick

PROCESSORS = sorted(os.sched_getaffinity(0))


@tick(params={"packets": ("u8", 0)})
def feed(out, state):
    """Emit packets while there are any to be emitted."""
    if state.packets == 0 or room(out) == 0:
        return 0
    mbuf = take(out)
    set_length(mbuf, 60)
    store64(data(mbuf), 0)
    store64(data(mbuf) + 6, 0)
    send(out, mbuf)
    state.packets -= 1
    return 1


CIRCLE = Pipeline("circle", [feed, macswap])
TO_PYTHON = Pipeline("to_python", [feed, to_kernel])


@pytest.fixture
def port() -> Iterator[Port]:
    with open_ports(["loopback"], [0, 1]) as ports:
        yield ports[0]


def wait_until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def fed(pipeline: Pipeline, port: Port, queue: int, packets: int, **options: object) -> Core:
    core = Core(pipeline, port, queue, queue, **options)
    core.states[0][0].packets = packets
    return core


def test_each_core_runs_on_its_processor_and_counts(port: Port) -> None:
    cores = [fed(CIRCLE, port, queue, 10) for queue in (0, 1)]
    seen: dict[str, set[int]] = {}

    @contextmanager
    def attach() -> Iterator[None]:
        seen[threading.current_thread().name] = os.sched_getaffinity(threading.get_native_id())
        yield

    first, last = PROCESSORS[0], PROCESSORS[-1]
    with Run([(first, [cores[0]]), (last, [cores[1]])], attach) as run:
        wait_until(lambda: all(core.counters()["rx_packets"] > 1000 for core in run.cores))
        assert run.running
    assert not run.running
    assert seen == {f"poll-{first}": {first}, f"poll-{last}": {last}}
    for core in cores:
        counters = core.counters()
        assert counters["tx_packets"] == counters["rx_packets"] + 10
        assert counters["turns"] > counters["idle_turns"]
    stats = port.stats()
    assert stats["tx_packets"] == sum(core.counters()["tx_packets"] for core in cores)


def test_cores_may_share_a_thread(port: Port) -> None:
    cores = [fed(CIRCLE, port, queue, 5) for queue in (0, 1)]
    with Run([(PROCESSORS[0], cores)]):
        wait_until(lambda: all(core.counters()["rx_packets"] > 100 for core in cores))
    assert [t.name for t in threading.enumerate() if t.name.startswith("poll-")] == []


def test_an_error_in_a_callback_stops_the_run_and_is_raised(port: Port) -> None:
    def fail(frame: np.ndarray) -> None:
        raise ZeroDivisionError("in the callback")

    def run_and_stop() -> None:
        """`start` raises it too, if the callback fails before this thread has seen that all have begun."""
        run.start()
        wait_until(lambda: not run.running)
        run.stop()

    healthy, failing = fed(CIRCLE, port, 0, 1), fed(TO_PYTHON, port, 1, 1, callbacks={SLOW: fail})
    run = Run([(PROCESSORS[0], [healthy]), (PROCESSORS[-1], [failing])])
    with pytest.raises(ZeroDivisionError, match="in the callback"):
        run_and_stop()
    assert [t.name for t in threading.enumerate() if t.name.startswith("poll-")] == []


def test_a_thread_that_cannot_begin_stops_the_others(port: Port) -> None:
    @contextmanager
    def attach() -> Iterator[None]:
        if threading.current_thread().name == f"poll-{PROCESSORS[-1]}":
            raise OSError("no place for this thread")
        yield

    run = Run([(PROCESSORS[0], [fed(CIRCLE, port, 0, 1)]), (PROCESSORS[-1], [fed(CIRCLE, port, 1, 1)])], attach)
    with pytest.raises(OSError, match="no place for this thread"):
        run.start()
    assert [t.name for t in threading.enumerate() if t.name.startswith("poll-")] == []


def test_stopping_twice_is_harmless_and_gives_all_mbufs_back(port: Port) -> None:
    core = fed(TO_PYTHON, port, 0, 100)
    with Run([(PROCESSORS[0], [core])]) as run:
        wait_until(lambda: core.counters()["unhandled"] == 100)
    run.stop()
    assert core.record.spare_count == 0
    assert core.drops()["unhandled"] == 100


def test_frames_from_outside_are_sent(port: Port) -> None:
    waiting = [b"\x01" * 60, b"\x02" * 5000, b"\x03" * 60]
    seen: list[bytes] = []
    core = Core(
        TO_PYTHON, port, 0, callbacks={SLOW: lambda f: seen.append(bytes(f))}, inject=lambda: waiting.pop(0) if waiting else None
    )
    with Run([(PROCESSORS[0], [core])]):
        wait_until(lambda: len(seen) == 2)
    assert seen == [b"\x01" * 60, b"\x03" * 60]
    assert core.drops()["too_long"] == 1


def test_a_processor_that_is_not_there_is_refused(port: Port) -> None:
    with pytest.raises(UsageError, match=r"core 4095 is not available here: choose from \d"):
        Run([(4095, [Core(CIRCLE, port, 0)])])
