"""SYN cookies: what they tell, for whom, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcp.cookie import COOKIE_US, cookie, cookie_mss

KEYS = (0x0123456789ABCDEF, 0x7EDCBA9876543210)
TUPLE = (0x0A000002, 80, 0x0A000001, 40000)
NOW = 10**12 + 12345
WORDS = st.integers(0, 2**32 - 1)


SIZES = [(48, 48), (255, 48), (256, 256), (536, 536), (1219, 1024), (1220, 1220), (1459, 1440), (1460, 1460), (9000, 1460)]


@pytest.mark.parametrize(("mss", "told"), SIZES)
def test_it_tells_the_largest_size_not_above_the_peers(mss: int, told: int) -> None:
    assert cookie_mss(*KEYS, *TUPLE, 77, cookie(*KEYS, *TUPLE, 77, mss, NOW), NOW) == told


@given(WORDS, st.integers(0, 2**62), st.integers(0, COOKIE_US // 2))
def test_it_holds_for_half_its_time_at_least(seq: int, now: int, later: int) -> None:
    made = int(cookie(*KEYS, *TUPLE, seq, 1460, now))
    assert 0 <= made < 2**32
    assert cookie_mss(*KEYS, *TUPLE, seq, made, now + later) == 1460


@given(WORDS, st.integers(COOKIE_US, 15 * COOKIE_US))
def test_it_is_too_old_after_its_time(seq: int, later: int) -> None:
    assert cookie_mss(*KEYS, *TUPLE, seq, cookie(*KEYS, *TUPLE, seq, 1460, NOW), NOW + later) == 0


@pytest.mark.parametrize("bit", range(32))
def test_any_bit_counts(bit: int) -> None:
    made = int(cookie(*KEYS, *TUPLE, 77, 1460, NOW))
    assert cookie_mss(*KEYS, *TUPLE, 77, made ^ 1 << bit, NOW) == 0
    assert cookie_mss(*KEYS, *TUPLE, 77 ^ 1 << bit, made, NOW) == 0


@pytest.mark.parametrize("place", range(4))
def test_it_is_for_one_connection_and_one_secret(place: int) -> None:
    made = cookie(*KEYS, *TUPLE, 77, 1460, NOW)
    other = [value ^ (place == k) for k, value in enumerate(TUPLE)]
    assert cookie_mss(*KEYS, *other, 77, made, NOW) == 0
    assert cookie_mss(KEYS[0] ^ 1 << place, KEYS[1], *TUPLE, 77, made, NOW) == 0
    assert cookie_mss(KEYS[0], KEYS[1] ^ 1 << place, *TUPLE, 77, made, NOW) == 0


def test_cookies_look_random() -> None:
    """Nobody can tell the next one: the low 24 bits of those for consecutive ports differ in about half of their places."""
    made = [int(cookie(*KEYS, 0x0A000002, 80, 0x0A000001, port, 77, 1460, NOW)) & 0xFFFFFF for port in range(40000, 41000)]
    differing = [(one ^ two).bit_count() for one, two in zip(made, made[1:], strict=False)]
    assert 11 < sum(differing) / len(differing) < 13
    assert len(set(made)) > 990
