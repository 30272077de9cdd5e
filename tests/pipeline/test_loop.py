"""The loop's edges: packets that operators make, keep, hand to Python or give a wrong verdict; full queues; no mbuf lost."""

from __future__ import annotations

import numpy as np
import pytest

from dpdk_io.errors import UsageError
from dpdk_io.jit import JIT
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import store8, store64
from pipeline import (
    DROP,
    KEEP,
    NEXT,
    SLOW,
    TX,
    USER0,
    USER1,
    USER2,
    Core,
    Pipeline,
    PipelineError,
    operator,
    room,
    send,
    source,
    take,
    tick,
)  # fmt: skip
from pipeline.outbox import QUEUE, SPARE, leave
from pipeline.testing import MBUFS, Bench, run
from tests.pipeline.toys import bounce, frame, hold, leave_if, mark, marks


@operator(params={"copies": ("u2", 1)})
def multiply(out, state):
    """Emit so many packets for each one that comes."""
    for k in range(state.copies):
        mbuf = take(out)
        if mbuf == 0:
            break
        set_length(mbuf, 60)
        store8(data(mbuf), k)
        send(out, mbuf)
    return DROP


@tick(state=[("turns", "u8")])
def beat(out, state):
    """Emit a packet every third turn, where there is room."""
    state.turns += 1
    if state.turns % 3 != 0 or room(out) == 0:
        return 0
    mbuf = take(out)
    set_length(mbuf, 60)
    store8(data(mbuf), state.turns)
    send(out, mbuf)
    return 1


@source(params={"packets": ("u2", 0)})
def well(out, burst, room, state):
    """Bring so many packets, in bursts as they fit."""
    n = min(room, state.packets)
    for k in range(n):
        mbuf = take(out)
        set_length(mbuf, 60)
        store8(data(mbuf), 0)
        store64(burst + k * 8, mbuf)
    state.packets -= n
    return n


@operator(params={"verdict": ("i8", 0)})
def say(state):
    """Return whatever it is told."""
    return state.verdict


@operator
def choose_by_length(length, table, offset):
    """Look the verdict up in resources."""
    return table[length % 4] + offset


def free_mbufs(bench: Bench) -> int:
    return int(bench._words[4]) + int(bench.core.record.spare_count)


def test_packets_of_its_own_are_sent_before_or_instead() -> None:
    bench = Bench([multiply(copies=3), bounce])
    outcomes = bench.run([frame()])
    assert [o.verdict for o in outcomes] == ["drop", "tx", "tx", "tx"]
    assert [(o.number, len(o.frame), o.frame[0]) for o in outcomes[1:]] == [(-1, 60, 0), (-1, 60, 1), (-1, 60, 2)]
    bench.run([frame()] * 50)
    assert (len(bench.sent), bench.core.counters()["no_mbuf"]) == (150, 0)
    assert free_mbufs(bench) == MBUFS


def test_a_turn_has_so_many_mbufs_and_says_when_they_are_used_up() -> None:
    bench = Bench([multiply(copies=20), bounce])
    bench.run([frame()] * 32, burst=32)
    assert len(bench.sent) == SPARE
    assert bench.core.counters()["no_mbuf"] == 32 - SPARE // 20
    bench.run([], turns=1)
    assert free_mbufs(bench) == MBUFS


def test_ticks_run_every_turn_and_emit() -> None:
    bench = Bench([beat, bounce])
    bench.run([frame()], turns=11)
    assert [f[0] for f in bench.sent if len(f) == 60] == [3, 6, 9, 12]
    assert bench.core.states[0][0].turns == 12
    assert bench.core.counters()["turns"] == 12


def test_a_source_fills_what_the_port_leaves_of_the_burst() -> None:
    bench = Bench([well(packets=40), mark(value=7), bounce])
    outcomes = bench.run([frame()] * 30, burst=30, turns=2)
    assert [o.number for o in outcomes] == [*range(30), *[-1] * 40]
    assert all(marks(o.frame) == [7] for o in outcomes)
    counters = bench.core.counters()
    assert (counters["rx_packets"], counters["rx_bytes"], counters["tx_packets"]) == (30, 30 * 64, 70)


def test_kept_packets_are_the_operators() -> None:
    bench = Bench([leave_if(modulus=2, verdict=KEEP), hold])
    outcomes = bench.run([frame(choice=c) for c in range(4)])
    assert [o.verdict for o in outcomes] == ["keep"] * 4
    assert bench.core.left[:, KEEP].tolist() == [2, 2]
    assert free_mbufs(bench) == MBUFS - 4


@pytest.mark.parametrize(
    ("verdict", "name", "counter"),
    [
        (NEXT, "drop", "end"), (DROP, "drop", None), (TX, "tx", None), (SLOW, "slow", None), (USER0, "user0", None),
        (USER2, "user2", None), (8, "drop", "bad_verdict"), (-1, "drop", "bad_verdict"), (1 << 40, "drop", "bad_verdict"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_way_out(saying: Bench, verdict: int, name: str, counter: str | None) -> None:
    before = saying.core.counters()
    saying.core.states[0][0].verdict = verdict
    (outcome,) = saying.run([frame()])
    assert outcome.verdict == name
    after = saying.core.counters()
    lost = [c for c in ("end", "bad_verdict", "tx_full", "queue_full", "no_mbuf", "unhandled") if after[c] != before[c]]
    assert lost == ([counter] if counter else [])
    saying.run([], turns=1)
    assert free_mbufs(saying) == MBUFS


@pytest.fixture(scope="module")
def saying() -> Bench:
    return Bench([say])


def test_packets_for_python_reach_the_callback_and_are_freed_after() -> None:
    seen: list[tuple[str, bytes]] = []
    callbacks = {
        SLOW: lambda f: seen.append(("slow", bytes(f))),
        USER1: lambda f: seen.append(("user1", bytes(f))),
    }
    bench = Bench([leave_if(modulus=2, verdict=SLOW), leave_if(modulus=3, verdict=USER1), bounce], callbacks=callbacks)
    long = bytes(41) + b"\x02" + bytes(5000)
    bench.run([frame(choice=2), frame(choice=3), frame(choice=1), long], burst=4)
    assert seen == [("slow", frame(choice=2)), ("slow", long), ("user1", frame(choice=3))]
    bench.run([], turns=1)
    assert free_mbufs(bench) == MBUFS
    assert bench.core.drops()["unhandled"] == 0


def test_packets_that_nobody_handles_are_counted(saying: Bench) -> None:
    core = Core(saying.pipeline, saying, 0)
    core.compile()
    saying._words[0] = core.address
    core.states[0][0].verdict = USER1
    for k in range(3):
        saying._give(frame(), k, 2048)
        core.record.stop = 0
        core.poll(1.0)
    assert core.drops()["unhandled"] == 3
    core.finish()


def test_full_queues_of_all_four_callbacks_are_freed_once_each() -> None:
    """Together they hold more than the drop queue could take."""
    bench = Bench([say])
    core = bench.core
    bench.run([], turns=1)
    mbufs = bench._take(4)
    waiting = (SLOW, USER0, USER1, USER2)
    for part, verdict in zip(np.array_split(mbufs, 4), waiting, strict=True):
        core._queues[verdict * 2 * QUEUE : verdict * 2 * QUEUE + len(part)] = part
        core.record.queued[verdict] = len(part)
    bench._turn(False)
    assert free_mbufs(bench) == MBUFS
    assert core.record.queued.tolist() == [0] * 8


def test_a_full_queue_drops_by_name() -> None:
    bench = Bench([say])
    bench.core.states[0][0].verdict = USER1
    bench.core.record.queued[TX] = 0
    bench.run([], turns=1)
    address, outbox = frame_of(bench), bench.core.address
    for _ in range(QUEUE + 3):
        leave(outbox, USER1, address)
    assert bench.core.counters()["queue_full"] == 3
    assert (bench.core.record.queued[USER1], bench.core.record.queued[DROP]) == (QUEUE, 3)
    for _ in range(QUEUE + 2):
        leave(outbox, TX, address)
    assert bench.core.counters()["tx_full"] == 2


def frame_of(bench: Bench) -> int:
    """Any mbuf of the device."""
    return int(bench._take(4)[0])


def test_resources_come_by_name_shared_or_one_for_each_core() -> None:
    table = np.array([TX, DROP, SLOW, USER0])
    made: list[int] = []

    def offset(index: int) -> int:
        made.append(index)
        return 0

    outcomes = run([choose_by_length], [bytes(60), bytes(61), bytes(62), bytes(63)], resources={"table": table, "offset": offset})
    assert [o.verdict for o in outcomes] == ["tx", "drop", "slow", "user0"]
    assert made == [0]


def test_resources_may_be_called_as_the_loops_own_variables_are() -> None:
    @operator
    def look(pool, queue, n):
        """Names that the generated loop uses too."""
        return pool + queue + n

    assert [o.verdict for o in run([look], [frame()] * 2, resources={"pool": 1, "queue": 1, "n": 0}, burst=2)] == ["tx", "tx"]


def test_state_counts_on_and_parameters_change_without_compiling() -> None:
    bench = Bench([leave_if(modulus=2), bounce])
    source = bench.pipeline.generated("pipeline.testing").path
    assert [o.verdict for o in bench.run([frame(choice=3)])] == ["tx"]
    bench.core.states[0][0].modulus = 3
    assert [o.verdict for o in bench.run([frame(choice=3), frame(choice=6)])] == ["drop", "drop"]
    assert bench.core.states[0][0].gone == 2
    assert Pipeline("bench", [leave_if(modulus=9), bounce]).generated("pipeline.testing").path == source


def test_a_kernel_that_cannot_be_compiled_is_named() -> None:
    @operator
    def wrong(pkt):
        """Asks a number for something that it has not."""
        return pkt.colour

    with pytest.raises(PipelineError if JIT else AttributeError) as caught:
        run([wrong], [frame()])
    if JIT:
        assert "\n" not in str(caught.value)
        assert "bench does not compile: Unknown attribute 'colour' of type int64" in str(caught.value)
        assert "test_loop.py" in str(caught.value)


def test_wrong_options_of_a_core_are_told() -> None:
    bench = Bench([bounce])
    with pytest.raises(UsageError, match="idle policy 'nap'; there are spin, yield, sleep"):
        Core(bench.pipeline, bench, 0, idle="nap")
    with pytest.raises(UsageError, match="callback for 2: only SLOW, USER0, USER1 and USER2"):
        Core(bench.pipeline, bench, 0, callbacks={TX: print})
