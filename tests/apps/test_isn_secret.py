"""The secret of initial sequence numbers is kept, privately, and made anew when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.isn_secret import isn_secret


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TE_APPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.conformance("rfc9293:MUST-9")
def test_it_is_the_same_in_every_run_and_nobody_elses(cache: Path) -> None:
    first = isn_secret()
    assert first == isn_secret()
    assert first is not None
    assert all(0 <= word < 1 << 63 for word in first)
    assert (cache / "isn-secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in cache.iterdir()] == ["isn-secret"]


def test_a_damaged_one_is_replaced(cache: Path) -> None:
    before = isn_secret()
    (cache / "isn-secret").write_bytes(b"short")
    assert isn_secret() not in (before, None)
    assert (cache / "isn-secret").stat().st_size == 16


def test_without_a_place_to_keep_it_there_is_none(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "isn-secret").mkdir()
    assert isn_secret() is None
