"""What a receiver has, byte by byte: slow, and plain enough to be believed."""

from __future__ import annotations

from dataclasses import dataclass, field

Runs = list[tuple[int, int]]


@dataclass
class Model:
    """Byte 0 is the first one expected; bytes below *edge* are within the window, which does not move."""

    edge: int
    had: set[int] = field(default_factory=set)
    latest: list[int] = field(default_factory=list)
    """First bytes of the segments that came early, the latest first."""
    fin: int | None = None
    """The number of the peer's FIN, if it is known."""

    @property
    def nxt(self) -> int:
        """The first byte that is missing."""
        n = 0
        while n in self.had:
            n += 1
        return n

    @property
    def over(self) -> bool:
        """Has everything come, and the FIN?"""
        return self.fin is not None and self.nxt == self.fin

    def takes(self, start: int, length: int, fin: bool = False) -> Runs:
        """A segment comes; the SACK blocks of the ACK that answers it."""
        text = set(range(max(start, 0), min(start + length, self.edge)))
        before, nxt = set(self.had), self.nxt
        if fin and start + length <= self.edge:
            self.fin = start + length
        self.had |= text
        if start > nxt:
            self.latest.insert(0, start)
        again = runs(set(range(start, start + length)) & (before | set(range(-1000, 0))))[:1]
        return again + self._blocks()[: 4 - len(again)]

    def _blocks(self) -> Runs:
        """RFC 2018 section 4: the runs of early bytes, that of the latest segment first."""
        if self.over:
            return []
        nxt = self.nxt
        found: Runs = []
        for start in self.latest:
            for run in runs({byte for byte in self.had if byte > nxt}):
                if run[0] <= start < run[1] and run not in found:
                    found.append(run)
        return found


def runs(numbers: set[int]) -> Runs:
    """The runs of successive numbers, lowest first, as (first, one after the last)."""
    found: Runs = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
