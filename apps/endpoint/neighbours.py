"""Next hops and their MAC addresses, by ARP or neighbour discovery: frames wait for the answer, and somebody hears when there is
none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_ASK_EVERY_US = 1_000_000
_ASK_TIMES = 3
_MOST_WAITING = 64

Send = Callable[[int], None]
"""Sends something to the MAC address it is given."""


@dataclass
class _Asked:
    next_at: int
    left: int = _ASK_TIMES
    waiting: list[Send] = field(default_factory=list)


class Neighbours:
    """*given*: MAC addresses by IP that are not asked for, and stay. *ask(ip)* sends a request; *silent(ip)* hears that nobody
    answered."""

    def __init__(self, given: Mapping[int, int], ask: Callable[[int], None], silent: Callable[[int], None]) -> None:
        self._given = given
        self._known = dict(given)
        self._ask = ask
        self._silent = silent
        self._asked: dict[int, _Asked] = {}

    def known(self, ip: int) -> int | None:
        """The MAC address of *ip*, if it is known."""
        return self._known.get(ip)

    def send(self, ip: int, send: Send, now: int) -> bool:
        """Do *send* with the MAC address of *ip*, now or when it is known; False: too much is waiting for it already."""
        mac = self._known.get(ip)
        if mac is not None:
            send(mac)
            return True
        asked = self._asked.get(ip)
        if asked is None:
            asked = self._asked[ip] = _Asked(now)
            self.fire(now)
        if len(asked.waiting) >= _MOST_WAITING:
            return False
        asked.waiting.append(send)
        return True

    def learn(self, ip: int, mac: int, overrides: bool) -> None:
        """*ip* has *mac*: believed of those that were asked for, and if it *overrides* what is known, of those that have answered
        (RFC 826; RFC 4861 section 7.2.5)."""
        asked = self._asked.pop(ip, None)
        if asked is not None or (overrides and ip in self._known and ip not in self._given):
            self._known[ip] = mac
        for send in asked.waiting if asked is not None else ():
            send(mac)

    @property
    def deadline(self) -> int | None:
        """When `fire` is due."""
        return min((asked.next_at for asked in self._asked.values()), default=None)

    def fire(self, now: int) -> None:
        """Ask, and ask again; give up."""
        for ip, asked in list(self._asked.items()):
            if asked.next_at > now:
                continue
            if asked.left == 0:
                del self._asked[ip]
                self._silent(ip)
                continue
            asked.left -= 1
            asked.next_at = now + _ASK_EVERY_US
            self._ask(ip)
