"""What happens to an endpoint, step by step: of each its events, all that is sent and all of CONN that changes is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tcp.connection
from tcp.connection import COLD_READY, STATE_NAMES
from tests.tcp.builders import Endpoint, Sent, at

_BITS = {
    value: name
    for name, value in vars(tcp.connection).items()
    if name.isupper() and name not in STATE_NAMES and isinstance(value, int) and value.bit_count() == 1
}


class Step:
    """What came of one step."""

    def __init__(self, events: Any, sent: list[Sent], changed: dict[str, int | str]) -> None:
        self.events, self.sent, self.changed = events, sent, changed

    def then(self, events: Any = 0, *sent: Sent, **changed: int | str) -> None:
        """These events; these segments and no other; these fields and no other.

        *state* is a name, *deadline* counts in ms from now (0: none), *bits* are those raised and cleared: "+TIMED -ACK_DUE".
        """
        found = self.events, self.sent, self.changed
        expected = events, list(sent), changed
        assert found == expected, f"\n{found}\n{expected}"


class Story:
    """An endpoint at *state* with the limits *limits*, or any other *endpoint*."""

    def __init__(self, state: str = "ESTABLISHED", endpoint: Endpoint | None = None, **limits: int) -> None:
        self.endpoint = endpoint or at(state, **limits)

    def gets(self, flags: str, seq: int, ack: int = 0, payload_len: int = 0, wnd: int = 65535, **options: Any) -> Step:
        """A segment from the peer."""
        return self._step(lambda: self.endpoint.gets(flags, seq, ack, payload_len, wnd, **options))

    def expires(self) -> Step:
        """Time passes until the deadline."""
        return self._step(self.endpoint.expire)

    def queues(self, n: int) -> Step:
        """The application has *n* bytes to send; the events are how many were taken."""
        return self._step(lambda: self.endpoint.queue(n))

    def closes(self) -> Step:
        """The application closes."""
        return self._step(self.endpoint.close)

    def aborts(self) -> Step:
        """The application aborts; the events are the RST for the peer, or None."""
        return self._step(self.endpoint.abort)

    def does(self, action: Callable[[], Any]) -> Step:
        """Anything else."""
        return self._step(action)

    def _step(self, action: Callable[[], Any]) -> Step:
        before = self.endpoint.snapshot()
        events = action()
        sent = self.endpoint.sends()
        assert self.endpoint.sends() == []
        changed: dict[str, Any] = self.endpoint.changed(before)
        assert int(self.endpoint.conn.bits) & COLD_READY or self.endpoint.cold_is_untouched
        if "rtt_time" in changed:
            assert changed.pop("rtt_time") == self.endpoint.now & 0xFFFFFFFF
        if changed.get("deadline"):
            changed["deadline"] -= self.endpoint.now // 1000
        if "state" in changed:
            changed["state"] = STATE_NAMES[changed["state"]]
        if "bits" in changed:
            changed["bits"] = _difference(before["bits"], changed["bits"])
        return Step(events, sent, changed)


def _difference(before: int, after: int) -> str:
    marks = [("+" if after & bit else "-") + name for bit, name in sorted(_BITS.items()) if (before ^ after) & bit]
    return " ".join(marks)
