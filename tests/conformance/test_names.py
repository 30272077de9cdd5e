"""The names are those of the sources, claims are of names that apply, and the page tells what the tests claim."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.claims import Claims
from tests.conformance.table import PAGE, SOURCES, Name, names, page

ROOT = Path(__file__).parents[2]
COLLECT = """
import sys, pytest, json
from tests.conformance.claims import Claims
claims = Claims()
code = pytest.main(["-qq", "--collect-only", "-m", "conformance", "-p", "no:cacheprovider"], plugins=[claims])
json.dump([int(code), claims.held()], open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    import json

    target = tmp_path_factory.mktemp("claims") / "claims.json"
    subprocess.run([sys.executable, "-c", COLLECT, str(target)], cwd=ROOT, check=True, capture_output=True)
    code, held = json.loads(target.read_text())
    assert code == 0
    return held


def test_every_name_has_a_source_and_what_does_not_apply_a_reason() -> None:
    for name in names().values():
        assert name.source in SOURCES
        assert name.applies or name.note, name.name


def test_claims_are_of_names_that_apply(claimed: dict[str, list[str]]) -> None:
    known = names()
    assert sorted(set(claimed) - set(known)) == []
    assert [name for name in claimed if not known[name].applies] == []


def test_the_page_tells_what_the_tests_claim(claimed: dict[str, list[str]]) -> None:
    assert PAGE.read_text() == page(names().values(), claimed), "run make conformance"


def test_nearly_all_of_what_applies_is_held(claimed: dict[str, list[str]]) -> None:
    applicable = [name for name in names().values() if name.applies]
    assert sum(name.name in claimed for name in applicable) >= 0.95 * len(applicable)


def test_a_failed_test_holds_nothing() -> None:
    claims = Claims()
    claims.of["smoltcp:a"] = ["t.py::x[1]", "t.py::x[2]"]
    claims.of["smoltcp:b"] = ["t.py::y"]
    claims.failed = {"t.py::x[2]"}
    assert claims.held() == {"smoltcp:b": ["t.py::y"]}


def test_the_page_counts() -> None:
    known = [Name("lwip:a", "", True, ""), Name("lwip:b", "", True, "why"), Name("lwip:c", "", False, "no such thing")]
    text = page(known, {"lwip:a": ["tests/tcp/test_x.py::test_y"]})
    assert "| a | held | test_x::test_y |" in text
    assert "| b | falls short | why |" in text
    assert "| c | not applicable | no such thing |" in text
    assert "| all | 3 | 1 | 1 | 50.0 % |" in text
