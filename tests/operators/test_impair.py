"""impair: what happens to how many packets, to which, in which order, and that nothing of it gets lost uncounted."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpdk_io.jit import JIT
from dpdk_io.mbuf import DATA_ROOM
from operators.delay_line import DelayLine
from operators.impair import delayed, impair
from operators.parse import parse
from operators.to_kernel import to_kernel
from pipeline import GroupBy, Pipeline, PipelineError, Stage
from pipeline.testing import MBUFS, Bench
from tests.operators.frames import BUILT
from tests.operators.impairments import Bad, Model

MANY = 5_000 if JIT else 1_000
ROUND = 64


@pytest.fixture(scope="module")
def bad() -> Bad:
    return Bad()


def frame(number: int = 0, size: int = 60) -> bytes:
    return bytes(12) + number.to_bytes(4, "big") + bytes(size - 16)


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(data[12:16], "big") for data in frames]


def fates(bad: Bad, count: int = 400) -> list[tuple[str, bytes]]:
    """What becomes of *count* frames."""
    return [(o.verdict, o.frame) for k in range(0, count, ROUND) for o in bad.send(*map(frame, range(k, k + ROUND)))]


def about(count: int, of: int, probability: float) -> bool:
    """Within four standard deviations."""
    return abs(count - of * probability) <= 4 * sqrt(of * probability * (1 - probability))


def test_without_parameters_it_does_nothing(bad: Bad) -> None:
    bad.reset()
    assert bad.passed(*map(frame, range(40))) == [frame(k) for k in range(40)]
    assert bad.counters() == {}


@pytest.mark.parametrize("probability", [0.001, 0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(
    ("name", "counter"), [("loss", "lost"), ("corrupt", "corrupted"), ("duplicate", "duplicated"), ("reorder", "reordered")]
)
def test_as_many_as_asked_for(bad: Bad, name: str, counter: str, probability: float) -> None:
    bad.reset(**{name: probability, "seed": 11, **({"delay": 1.0} if name == "reorder" else {})})
    if name == "reorder":
        assert bad.passed() == []
        bad.state.reorder = 0.0
        bad.send(frame())
        bad.state.reorder = probability
        bad.line.record.capacity = 1
    came: Counter[str] = Counter()
    for _ in range(0, MANY, ROUND):
        came.update(o.verdict for o in bad.send(*[frame()] * ROUND, turns=2))
    seen = -(-MANY // ROUND) * ROUND
    assert about(bad.counters().get(counter, 0), seen, probability)
    lost = bad.counters().get("lost", 0) + bad.counters().get("line_full", 0)
    assert came["drop"] == lost
    assert came["slow"] == seen - lost + bad.counters().get("duplicated", 0)
    assert {name: n for name, n in bad.bench.core.drops().items() if n} == (
        {f"impair.{'lost' if name == 'loss' else 'line_full'}": lost} if lost else {}
    )
    bad.line.take_held()


def test_losses_do_not_depend_on_each_other(bad: Bad) -> None:
    """As many pairs of neighbours are lost as there must be, and none of them is in step with the seed's neighbour."""
    bad.reset(loss=0.3, seed=5)
    lost = [verdict == "drop" for verdict, _ in fates(bad, MANY)]
    pairs = sum(a and b for a, b in zip(lost, lost[1:], strict=False))
    assert about(pairs, len(lost) - 1, 0.09)
    bad.reset(loss=0.3, seed=6)
    other = [verdict == "drop" for verdict, _ in fates(bad, MANY)]
    assert about(sum(a and b for a, b in zip(lost, other, strict=True)), len(lost), 0.09)


def test_the_same_seed_is_the_same_fate(bad: Bad) -> None:
    params = {"loss": 0.1, "corrupt": 0.2, "seed": 42}
    bad.reset(**params)
    first = fates(bad)
    bad.reset(**params)
    assert fates(bad) == first
    for other in ({"seed": 43}, {"core": 1}):
        bad.reset(**{**params, **other})
        assert fates(bad) != first


def test_another_trouble_leaves_the_lost_ones_as_they_are(bad: Bad) -> None:
    bad.reset(loss=0.2)
    alone = [verdict for verdict, _ in fates(bad)]
    bad.reset(loss=0.2, corrupt=0.5)
    assert [verdict for verdict, _ in fates(bad)] == alone


def test_corruption_is_one_bit_behind_the_macs_anywhere(bad: Bad) -> None:
    bad.reset(corrupt=1.0)
    bits = Counter()
    for _ in range(30):
        for data in bad.passed(*[frame(size=60)] * ROUND):
            changed = int.from_bytes(data, "little") ^ int.from_bytes(frame(size=60), "little")
            assert changed.bit_count() == 1
            bits[changed.bit_length() - 1] += 1
    assert min(bits) >= 96
    assert max(bits) < 480
    assert len(bits) > 300


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13])
def test_runts_are_not_read_beyond_their_end(size: int) -> None:
    bench = Bench(Pipeline("r", [delayed, impair(corrupt=1.0), to_kernel], {"delay_line": DelayLine}), fenced=True)
    (outcome,) = bench.run([bytes(size)])
    assert len(outcome.frame) == size
    assert outcome.frame.count(0) == size - (size > 12)


def test_what_a_copy_has_no_room_for_is_counted(bad: Bad) -> None:
    bad.reset(duplicate=1.0)
    (outcome,) = bad.send(bytes(3000), turns=1)
    assert (outcome.verdict, len(outcome.frame)) == ("slow", 3000)
    (first, second) = bad.send(bytes(DATA_ROOM), turns=1)
    assert (first.frame, second.frame) == (bytes(DATA_ROOM), bytes(DATA_ROOM))
    assert bad.counters() == {"uncopied": 1, "duplicated": 1}


def test_a_delay_keeps_the_order_and_passes_once(bad: Bad) -> None:
    bad.reset(delay=0.02)
    assert bad.passed(*map(frame, range(50))) == []
    bad.advance(0.0199)
    assert bad.passed(turns=2) == []
    bad.advance(0.0002)
    assert numbers(bad.passed(turns=2)) == list(range(50))
    assert bad.counters() == {}


def test_a_rate_lets_packets_through_one_by_one_and_a_full_queue_loses_the_last(bad: Bad) -> None:
    """1 Mbit/s are 8 ms for 1000 bytes; 3000 bytes may wait."""
    bad.reset(rate=1e6, queue=3000)
    assert bad.passed(*[frame(k, 1000) for k in range(6)]) == []
    came = []
    for _ in range(5):
        bad.advance(0.0080001)
        came.append(numbers(bad.passed(turns=1)))
    assert came == [[0], [1], [2], [], []]
    assert bad.counters() == {"queue_full": 3}
    assert bad.passed(frame(7, 1400)) == []
    bad.advance(0.0112)
    assert numbers(bad.passed(turns=1)) == [7]


def test_a_full_line_loses_what_comes(bad: Bad) -> None:
    bad.reset(delay=1.0, capacity=5)
    verdicts = [o.verdict for o in bad.send(*map(frame, range(8)))]
    assert verdicts == ["keep"] * 5 + ["drop"] * 3
    assert bad.counters() == {"line_full": 3}
    bad.advance(1.1)
    assert numbers(bad.passed(turns=1)) == list(range(5))


def test_full_bursts_do_not_starve_what_is_due(bad: Bad) -> None:
    """Sixteen of every burst are for those that were held."""
    bad.reset(delay=0.001)
    bad.send(*map(frame, range(200)), burst=16)
    bad.advance(0.002)
    came = [o for o in bad.send(*[frame(9999)] * 160, burst=16) if o.verdict == "slow"]
    assert numbers([o.frame for o in came]) == list(range(160))
    bad.advance(1)
    bad.send(turns=20)


# No moment falls on another, and no frames fill a queue to the byte: cycles and seconds would differ about what comes first.
PARAMS = st.fixed_dictionaries(
    {"seed": st.integers(0, 3)},
    optional={
        "loss": st.sampled_from([0.1, 0.5]),
        "corrupt": st.sampled_from([0.2, 1.0]),
        "duplicate": st.sampled_from([0.3, 1.0]),
        "reorder": st.sampled_from([0.2, 0.9]),
        "delay": st.sampled_from([0.503, 2.003]),
        "jitter": st.sampled_from([0.25, 0.5]),
        "rate": st.sampled_from([1009.0, 4993.0]),
        "queue": st.sampled_from([60, 470]),
    },
).map(lambda params: {**params, **({"jitter": 0.0} if not params.get("delay") else {})})
COURSE = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.1, 0.7, 3.0])), max_size=12)


@settings(deadline=None, max_examples=200 if JIT else 60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PARAMS, COURSE, st.integers(1, 30), st.integers(0, 2))
def test_it_does_what_the_slow_model_does(
    bad: Bad, params: dict[str, float], course: list[tuple[int, float]], capacity: int, core: int
) -> None:
    bad.reset(core, capacity, **params)
    model = Model(params, capacity, core)
    number = 0
    for count, pause in course:
        for _ in range(count):
            number += 1
            sent = frame(number, 60 + number % 7)
            # What is due comes behind what the port brings in the same turn, and here nothing is due but copies.
            at_once = model.receive(sent)
            expected = [] if at_once is None else [at_once]
            assert bad.passed(sent, turns=1) == expected + model.due()
        bad.advance(pause)
        model.now += pause
        assert bad.passed(turns=3) == model.due()
    assert bad.counters() == model.counters
    assert len(bad.line) == len(model.held)
    bad.line.take_held()


def test_what_is_held_at_the_end_is_freed_and_counted() -> None:
    line = DelayLine(capacity=900)
    bench = Bench([delayed, impair(delay=10.0), to_kernel], resources={"delay_line": lambda core: line})
    bench.run([frame()] * 300)
    bench.core.finish()
    bench._turn(False)
    assert bench.core.drops()["left_held"] == 300
    assert len(line) == 0
    assert int(bench._words[4]) + int(bench.core.record.spare_count) == MBUFS


def test_in_an_arm_it_impairs_what_takes_that_arm() -> None:
    line = DelayLine(rate=1e15)
    steps = [delayed, parse, GroupBy("l4_proto", {17: [impair(delay=1.0)]}), to_kernel]
    bench = Bench(steps, resources={"delay_line": lambda core: line})
    verdicts = [o.verdict for o in bench.run([bytes(BUILT["tcp"]), bytes(BUILT["udp"])])]
    assert verdicts == ["slow", "keep"]
    line._entries[0] = 0
    assert [o.frame for o in bench.run([], turns=1)] == [bytes(BUILT["udp"])]


def test_it_stands_in_the_first_stage() -> None:
    with pytest.raises(PipelineError, match="known in the first stage only; put it before Stage"):
        Pipeline("p", [delayed, Stage(), impair, to_kernel], {"delay_line": DelayLine})
