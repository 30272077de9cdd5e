"""When a target has died there is no use in connections that all have to be given up: the run then opens no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apps.config import Timeouts

_FIRST_S, _LONGEST_S = 1.0, 60.0
"""The first timeout of a SYN, which doubles up to the longest."""


def patience_s(timeouts: Timeouts) -> float:
    """Seconds after which a SYN that nobody answers is given up."""
    tries = sum(min(_FIRST_S * 2**k, _LONGEST_S) for k in range(timeouts.syn_retries + 1))
    return min(tries, timeouts.user_ms / 1000 or math.inf)


@dataclass
class Silence:
    """Whether nothing has been heard of any target for *patience* seconds, and connections were given up meanwhile."""

    patience: float
    since: float = 0.0
    _heard: int = -1
    _given_up: int = 0

    def lasts(self, heard: int, given_up: int, now: float) -> bool:
        """*heard*: segments received by clients so far; *given_up*: connections that have timed out."""
        if heard != self._heard:
            self._heard, self._given_up, self.since = heard, given_up, now
        return given_up > self._given_up and now - self.since >= self.patience
