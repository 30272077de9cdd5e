"""The error of a configuration, and the guess at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from dpdk_io.errors import UsageError


class ConfigError(UsageError):
    """A key or option that cannot be used: one line naming it, the cause and the remedy. Nothing has been started."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word closest to *word*, or nothing when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
