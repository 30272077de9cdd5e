"""Requests that go on side by side: whoever waits does not hold up the others."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from apps.endpoint.mistakes import Report, report_mistake
from apps.endpoint.requests import AT_ONCE, Requests, Work

Answer = Callable[[str], None]
"""Takes the line that answers a request."""


@dataclass
class Waiting:
    """A request that is not done yet; `until` is when it must go on at the latest."""

    line: str
    work: Work
    answer: Answer
    until: int | None = None
    cancelled: bool = False


class Scheduler:
    """Begins requests, and goes on with those that wait.

    One that fails by a mistake in this program is answered by EIO and told to *report*: everybody else's connections live on.
    """

    def __init__(self, requests: Requests, report: Report = report_mistake) -> None:
        self.requests = requests
        self.report = report
        self.waiting: list[Waiting] = []
        requests.wake = lambda: min((w.until for w in self.waiting if w.until), default=None)

    def begin(self, line: str, answer: Answer) -> Waiting | None:
        """Do the request in *line* as far as it goes; what is left of it."""
        waiting = Waiting(line, self._work(line), answer)
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

    def _work(self, line: str) -> Work:
        return (yield from self.requests.begin(line))

    def _go_on(self, waiting: Waiting) -> bool:
        """Do what *waiting* can do now; whether that was all."""
        try:
            waiting.until = next(waiting.work)
        except StopIteration as done:
            line = done.value if isinstance(done.value, str) else f"{done.value} 0"
        except OSError as error:
            line = failure(error)
        except Exception as error:
            self.report(waiting.line, error)
            line = f"-1 {errno.EIO}"
        else:
            return False
        waiting.answer(line)
        return True


def failure(error: OSError) -> str:
    """How a failed call is answered."""
    return f"-1 {error.errno or errno.EIO}"
