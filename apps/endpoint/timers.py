"""Which socket wants to be woken when: the earliest first."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.endpoint.sockets import Socket


class Timers:
    """Deadlines in microseconds. What a later `set` has overruled stays in the heap until its time, and is passed over."""

    def __init__(self) -> None:
        self._times: dict[Socket, int] = {}
        self._heap: list[tuple[int, int, Socket]] = []
        self._serial = itertools.count()

    def set(self, socket: Socket, time: int | None) -> None:
        """Wake *socket* at *time*, or never."""
        if time is None:
            self._times.pop(socket, None)
        elif self._times.get(socket) != time:
            self._times[socket] = time
            heapq.heappush(self._heap, (time, next(self._serial), socket))

    @property
    def first(self) -> int | None:
        """The earliest deadline."""
        while self._heap and self._times.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: int) -> list[Socket]:
        """Those whose time has come; each has to be set again."""
        found = []
        while (first := self.first) is not None and first <= now:
            socket = heapq.heappop(self._heap)[2]
            del self._times[socket]
            found.append(socket)
        return found
