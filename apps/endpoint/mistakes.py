"""Errors that should not be: told to the user in one line, while everything else goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable

from apps.values import shown

Report = Callable[[str, Exception], None]
"""Hears of what failed, and of the error."""


def report_mistake(what: str, error: Exception) -> None:
    """Tell the user of an error that *what* should not cause."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    sys.stderr.write(f"te-apps: endpoint: {shown(what)} failed by a mistake of ours, {text}; please report it\n")
    sys.stderr.flush()
