"""When a run gives its targets up for dead."""

from __future__ import annotations

import pytest

from apps.config import Timeouts
from apps.silence import Silence, patience_s


def test_a_syn_is_waited_for_until_one_limit_or_the_other() -> None:
    assert patience_s(Timeouts()) == 100.0
    assert patience_s(Timeouts(user_ms=0)) == 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60
    assert patience_s(Timeouts(user_ms=0, syn_retries=0)) == 1.0
    assert patience_s(Timeouts(user_ms=2500)) == 2.5


@pytest.mark.parametrize(
    ("looks", "lasts"),
    [
        ([(5, 0, 0.0), (5, 1, 9.9)], False),
        ([(5, 0, 0.0), (5, 1, 10.0)], True),
        ([(5, 0, 0.0), (5, 0, 50.0)], False),
        ([(5, 0, 0.0), (6, 1, 9.0), (6, 1, 30.0)], False),
        ([(5, 0, 0.0), (6, 1, 9.0), (6, 2, 18.0), (6, 2, 19.0)], True),
        ([(0, 0, 0.0), (0, 3, 10.0)], True),
        ([(0, 0, 0.0), (0, 3, 10.0), (1, 3, 11.0)], False),
    ],
)
def test_silence_is_time_without_a_word_and_connections_given_up_in_it(looks: list[tuple[int, int, float]], lasts: bool) -> None:
    silence = Silence(10.0)
    assert [silence.lasts(*look) for look in looks][-1] == lasts
