"""Run every test that claims a name, and write docs/conformance.md: `make conformance`."""

from __future__ import annotations

import sys

import pytest

from tests.conformance.claims import Claims
from tests.conformance.table import PAGE, names, page

if __name__ == "__main__":
    claims = Claims()
    code = pytest.main(["-q", "-m", "conformance", *sys.argv[1:]], plugins=[claims])
    if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        PAGE.write_text(page(names().values(), claims.held()))
    sys.exit(code)
