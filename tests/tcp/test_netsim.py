"""Transfers over a simulated network, a grid of loss, round trip and window with fixed seeds; its table is kept.

A change of how TCP sends or retransmits shows as a difference to `tests/data/netsim.txt`. Where it is meant, write the table anew
and look at the difference before it is committed:

    python -m tests.tcp.test_netsim
"""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

from tcp.events import EV_DATA, EV_FIN
from tests.tcp.builders import IRS, ISS, MSS
from tests.tcp.wire import Party, Wire

TABLE = Path(__file__).parents[1] / "data" / "netsim.txt"
BYTES = 400_000
LOSSES = (0.0, 0.001, 0.01, 0.03, 0.05)
"""Of every packet, either way."""
RTTS_MS = (1, 20, 100)
WINDOWS = (8_000, 32_000, 65_535)
LIMITS = {"rto_max": 60_000}
_HEAD = "loss %  rtt ms  window    kB/s  segments  sent again  acks"


class _Sink(Party):
    """Takes everything without an answer, and closes when the peer has."""

    arrived_at = 0

    def queue(self, n: int) -> int:
        return 0

    def note(self, events: int) -> None:
        super().note(events & ~EV_FIN)
        if events & EV_DATA:
            self.arrived_at = self.now
        if events & EV_FIN:
            self.close()


def cell(loss: float, rtt_ms: int, window: int) -> str:
    """One line of the table: BYTES sent from one end to the other."""
    rng = random.Random(f"{loss} {rtt_ms} {window}")
    delay = rtt_ms * 500
    source = Party(ISS, BYTES, server=False, echo=False, **LIMITS)
    sink = _Sink(IRS, 0, server=True, echo=True, rcv_wnd=window, **LIMITS)
    wire = Wire(source, sink, lambda number: [delay] if rng.random() >= loss else [])
    began = wire.now
    wire.run(limit=1_000_000)
    assert (sink.received, sink.state, source.state) == (BYTES, "CLOSED", "CLOSED")
    data = [sent for sent in source.sent if sent.payload_len]
    again = sum(sent.rexmit for sent in data)
    rate = BYTES / (sink.arrived_at - began) * 1000
    return f"{loss * 100:6.1f}  {rtt_ms:6}  {window:6}  {rate:6.0f}  {len(data):8}  {again:10}  {len(sink.sent):4}"


def table() -> str:
    """The whole grid, slowest changes first."""
    return "\n".join([_HEAD, *(cell(*place) for place in product(LOSSES, RTTS_MS, WINDOWS))]) + "\n"


def test_the_grid_is_as_it_was() -> None:
    assert table().splitlines() == TABLE.read_text().splitlines()


def test_without_loss_a_window_goes_out_every_round_trip() -> None:
    """What the table says where it can be computed: from slow start on, one window for each round trip, nothing sent again."""
    for line in TABLE.read_text().splitlines()[1:]:
        loss, rtt, window, rate, segments, again, _ = map(float, line.split())
        if loss == 0:
            assert (segments, again) == (BYTES // MSS, 0)
            assert 0.5 < rate / (window / rtt) <= 1


if __name__ == "__main__":
    TABLE.write_text(table())
