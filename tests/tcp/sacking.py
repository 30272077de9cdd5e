"""A client in ESTABLISHED that agreed with its peer on selective acknowledgments, and maybe timestamps."""

from __future__ import annotations

from typing import Any

from tcp.board import new_boards
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS
from tcp.spans import MISSING, RESENT, SACKED
from tests.tcp.builders import MSS, START, Endpoint, ours, theirs

RTT = 20_000
_MARKS = {0: "", SACKED: "S", MISSING: "L", RESENT: "R", MISSING | RESENT: "LR"}


class Sender(Endpoint):
    """Segments of ours are counted from 1 and are `size` long."""

    def __init__(self, timestamps: bool = False, **limits: int) -> None:
        pool = new_boards(1)
        options = OPT_SACK_PERMITTED | (OPT_TIMESTAMPS if timestamps else 0)
        super().__init__(**({"boards": pool.address, "options": options} | limits))
        self.boards = pool
        self.timestamps = timestamps
        self.connect()
        self.sends()
        self.now += RTT
        self.gets("SA", theirs(0), ours(1), mss=MSS, sack_permitted=True, ts=self.echo(START))
        self.sends()
        self.size = MSS - 12 if timestamps else MSS

    def echo(self, sent_at: int | None = None) -> tuple[int, int] | None:
        """The timestamps of a segment that answers what we sent at *sent_at*."""
        return (7, (self.now if sent_at is None else sent_at) // 1000) if self.timestamps else None

    def flight(self, segments: int) -> None:
        """Queue *segments* and send what may be; a round trip passes."""
        self.queue(segments * self.size)
        self.sends()
        self.now += RTT

    def acks(self, segment: int, *blocks: tuple[int, int], sent_at: int | None = None, wnd: int = 65535) -> int:
        """The peer has all up to *segment*, and of the others those from the first to the last of each block."""
        edges = tuple((ours(1 + (first - 1) * self.size), ours(1 + last * self.size)) for first, last in blocks)
        return self.gets("A", theirs(1), ours(1 + segment * self.size), wnd=wnd, blocks=edges, ts=self.echo(sent_at))

    def leaving(self) -> list[str]:
        """The segments that leave now; R: again."""
        return [f"{self.number(one.seq)}{'R' if one.rexmit else ''}" for one in self.sends()]

    def number(self, seq: int) -> int:
        whole, rest = divmod((seq - ours(1)) & 0xFFFFFFFF, self.size)
        assert rest == 0
        return whole + 1

    @property
    def board(self) -> Any:
        return self.boards.arrays[1][0]

    def spans(self) -> list[tuple[int, int, str]]:
        """First and last segment, and marks, of what is in flight."""
        assert self.cold.board == self.boards.arrays[1].ctypes.data
        words = self.board.spans.reshape(-1, 4)[int(self.board.first) :][: int(self.board.n_spans)]
        return [(self.number(int(start)), self.number(int(end)) - 1, _MARKS[int(marks)]) for start, end, _, marks in words]
