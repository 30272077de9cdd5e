"""Requests that go on side by side: whoever waits does not hold up the others."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from apps.endpoint.requests import AT_ONCE, Requests, Work

Answer = Callable[[str], None]
"""Takes the line that answers a request."""


@dataclass
class Waiting:
    """A request that is not done yet; `until` is when it must go on at the latest."""

    work: Work
    answer: Answer
    until: int | None = None
    cancelled: bool = False


class Scheduler:
    """Begins requests, and goes on with those that wait."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self.waiting: list[Waiting] = []
        requests.wake = lambda: min((w.until for w in self.waiting if w.until), default=None)

    def begin(self, line: str, answer: Answer) -> Waiting | None:
        """Do the request in *line* as far as it goes; what is left of it."""
        try:
            waiting = Waiting(self.requests.begin(line), answer)
        except OSError as error:
            answer(failure(error))
            return None
        done = self._go_on(waiting)
        self.requests.host.settle()
        if done:
            return None
        self.waiting.append(waiting)
        return waiting

    def go_on(self) -> bool:
        """Give everybody who waits a turn; whether somebody wants another one at once."""
        for waiting in list(self.waiting):
            if waiting.cancelled or self._go_on(waiting):
                self.waiting.remove(waiting)
        self.requests.host.settle()
        return any(waiting.until == AT_ONCE for waiting in self.waiting)

    @property
    def deadline(self) -> int | None:
        """When somebody must have a turn at the latest."""
        return min((w.until for w in self.waiting if w.until is not None), default=None)

    def _go_on(self, waiting: Waiting) -> bool:
        try:
            waiting.until = next(waiting.work)
        except StopIteration as done:
            result = done.value
            waiting.answer(result if isinstance(result, str) else f"{result} 0")
        except OSError as error:
            waiting.answer(failure(error))
        else:
            return False
        return True


def failure(error: OSError) -> str:
    """How a failed call is answered."""
    return f"-1 {error.errno or errno.EIO}"
