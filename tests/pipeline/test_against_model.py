"""Pipelines that hypothesis makes, against a model that takes one packet at a time through the steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dpdk_io.jit import JIT
from pipeline import DROP, NEXT, SLOW, TX, USER1, GroupBy, Operator, Stage
from pipeline.testing import Bench
from pipeline.verdicts import NAMES
from tests.pipeline.toys import CHOICE, KEY, add_key, bounce, frame, leave_if, mark, read_key, show

VERDICTS = st.sampled_from([DROP, TX, SLOW, USER1])
PACKET_STEPS = st.one_of(
    st.builds(mark, value=st.integers(0, 255)),
    st.builds(add_key, by=st.integers(0, 3)),
    st.builds(leave_if, modulus=st.integers(2, 7), verdict=VERDICTS),
    st.just(show),
)


def groups(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[GroupBy]:
    arms = st.dictionaries(st.integers(0, 4), st.one_of(st.lists(steps, max_size=2), VERDICTS), min_size=1, max_size=3)
    return st.builds(GroupBy, st.just("key"), arms, st.lists(steps, max_size=2))


INNER = st.one_of(PACKET_STEPS, groups(PACKET_STEPS))
TOP = st.one_of(INNER, groups(INNER), st.just(Stage()))
FRAMES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 255)), min_size=1, max_size=70)


class Model:
    """Interprets the steps; counts as the loop does."""

    def __init__(self) -> None:
        self.left: Counter[tuple[str, int]] = Counter()
        self.arms: Counter[tuple[str, str]] = Counter()
        self.stage = 0

    def run(self, steps: Sequence[Any], data: bytearray, meta: dict[str, int]) -> int:
        for step in steps:
            verdict = NEXT
            if isinstance(step, Operator):
                verdict = self.apply(step, data, meta)
                if verdict != NEXT:
                    self.left[step.name, verdict] += 1
            elif isinstance(step, Stage):
                self.stage += 1
            elif isinstance(step, GroupBy):
                verdict = self.group(step, data, meta)
            if verdict != NEXT:
                return verdict
        return NEXT

    def group(self, step: GroupBy, data: bytearray, meta: dict[str, int]) -> int:
        found = meta[step.key] in step.arms
        arm = step.arms[meta[step.key]] if found else step.otherwise
        self.arms[step.key, str(meta[step.key]) if found else "otherwise"] += 1
        return arm if isinstance(arm, int) else self.run(arm, data, meta)

    def apply(self, step: Operator, data: bytearray, meta: dict[str, int]) -> int:
        def append(*values: int) -> None:
            for value in values:
                data[data[0] + 1] = value
                data[0] += 1

        match step.name:
            case "mark":
                append(step.values["value"])
            case "read_key":
                meta |= {"key": data[KEY], "origin": data[KEY + 2] << 8 | data[KEY + 3]}
            case "add_key":
                meta["key"] = (meta["key"] + step.values["by"]) % 256
            case "show":
                append(meta["key"], meta["origin"] % 256)
            case "leave_if":
                return step.values["verdict"] if data[CHOICE] % step.values["modulus"] == 0 else NEXT
            case "bounce":
                return TX
        return NEXT


@settings(deadline=None, max_examples=6 if JIT else 200, derandomize=JIT, phases=[Phase.generate] if JIT else list(Phase))
@given(st.lists(TOP, min_size=3, max_size=8), FRAMES, st.sampled_from([1, 5, 32]))
def test_a_pipeline_does_what_its_steps_say_packet_by_packet(
    middle: list[Any], choices: list[tuple[int, int]], burst: int
) -> None:
    steps = [read_key, *middle, Stage(), show, bounce]
    frames = [frame(key, choice, number) for number, (key, choice) in enumerate(choices)]
    bench = Bench(steps)
    outcomes = bench.run(frames, burst=burst)
    model = Model()
    sent: list[tuple[int, int, bytes]] = []
    for outcome, data in zip(outcomes, frames, strict=True):
        changed = bytearray(data)
        model.stage = 0
        verdict = model.run(steps, changed, {})
        assert outcome.verdict == NAMES[verdict]
        assert outcome.frame == (b"" if verdict == DROP else changed)
        if verdict == TX:
            sent.append((outcome.number // burst, model.stage, outcome.frame))
    assert_counters(bench, model)
    assert bench.sent == [data for _, _, data in sorted(sent, key=lambda s: s[:2])]


def assert_counters(bench: Bench, model: Model) -> None:
    left: Counter[tuple[str, int]] = Counter()
    for step, row in zip(bench.pipeline.operators, bench.core.left, strict=True):
        for verdict, count in enumerate(row.tolist()):
            left[step.name, verdict] += count
    assert left == model.left
    arms: Counter[tuple[str, str]] = Counter()
    for arm, count in zip(bench.pipeline.code.arms, bench.core.arms.tolist(), strict=False):
        arms[arm.key, arm.value] += count
    assert arms == model.arms


def test_metadata_follows_its_packet_through_every_stage() -> None:
    """Packets leave at every stage, so that the others move up; each shows its own number at the end."""
    thin = [leave_if(modulus=m) for m in (2, 3, 5)]
    bench = Bench([read_key, thin[0], Stage(), show, thin[1], Stage(), thin[2], add_key(by=1), Stage(), Stage(), show, bounce])
    outcomes = bench.run([frame(n, n, n) for n in range(256)], burst=32)
    gone = {n for n in range(256) if n % 2 == 0 or n % 3 == 0 or n % 5 == 0}
    assert {o.number for o in outcomes if o.verdict == "drop"} == gone
    for outcome in outcomes:
        n = outcome.number
        if n not in gone:
            assert list(outcome.frame[1:5]) == [n, n, (n + 1) % 256, n]


def test_an_arm_that_is_a_verdict_is_counted_and_its_drops_have_a_name() -> None:
    bench = Bench([read_key, GroupBy("key", {1: DROP, 2: TX, 3: NEXT, 4: []}, otherwise=SLOW), bounce])
    outcomes = bench.run([frame(key) for key in (1, 1, 2, 3, 4, 9)], burst=6)
    assert [o.verdict for o in outcomes] == ["drop", "drop", "tx", "tx", "tx", "slow"]
    assert bench.core.arms.tolist() == [2, 1, 1, 1, 1]
    assert bench.core.drops()["key.1"] == 2
