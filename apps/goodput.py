"""How many bytes were moved, and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


def add_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counters added by name, in the order the names first appear."""
    total: dict[str, int] = {}
    for mapping in counts:
        for name, value in mapping.items():
            total[name] = total.get(name, 0) + int(value)
    return total


@dataclass
class Moved:
    """Bytes of data by who sent or received them, each byte once."""

    client_sent: int = 0
    client_received: int = 0
    server_sent: int = 0
    server_received: int = 0

    @property
    def any(self) -> bool:
        return any(vars(self).values())

    @classmethod
    def total(cls, parts: Iterable[Moved]) -> Moved:
        """All of them added up."""
        return cls(**add_up(map(vars, [cls(), *parts])))

    def goodput(self, seconds: float) -> dict[str, dict[str, float]]:
        """Bytes a second, for each role and direction."""
        rates = {name: round(float(count / seconds), 1) if seconds else 0.0 for name, count in vars(self).items()}
        return {role: {way: rates[f"{role}_{way}"] for way in ("sent", "received")} for role in ("client", "server")}
