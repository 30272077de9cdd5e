"""The delay line against a list that is sorted whenever it is asked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.delay_line import DelayLine, hold, next_due

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.integers(0, 20)),
        st.tuples(st.just("due"), st.integers(0, 25)),
        st.tuples(st.just("empty"), st.just(0)),
    ),
    max_size=120,
)


@settings(deadline=None, max_examples=300)
@given(STEPS, st.integers(1, 40))
def test_packets_leave_by_their_time_and_then_as_they_came(steps: list[tuple[str, int]], capacity: int) -> None:
    line = DelayLine(capacity=capacity)
    model: list[tuple[int, int]] = []
    for mbuf, (what, time) in enumerate(steps, 1):
        if what == "hold":
            fits = len(model) < capacity
            assert hold(line.address, time, mbuf) == fits
            model += [(time, mbuf)] if fits else []
        elif what == "due":
            while due := sorted(entry for entry in model if entry[0] <= time)[:1]:
                assert next_due(line.address, time) == due[0][1]
                model.remove(due[0])
            assert next_due(line.address, time) == 0
        else:
            assert sorted(line.take_held()) == sorted(number for _, number in model)
            model.clear()
        assert len(line) == len(model)
