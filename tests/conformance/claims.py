"""Which tests claim which names, and whether they passed."""

from __future__ import annotations

from collections import defaultdict

import pytest


class Claims:
    """A pytest plugin: `of[name]` are the tests that claim it, `failed` those that did not pass."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = defaultdict(list)
        self.failed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("conformance"):
                for name in mark.args:
                    self.of[name].append(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.add(report.nodeid)

    def held(self) -> dict[str, list[str]]:
        """The names all of whose tests passed, with one node id for each test function."""
        return {
            name: list(dict.fromkeys(test.partition("[")[0] for test in tests))
            for name, tests in self.of.items()
            if not self.failed.intersection(tests)
        }
