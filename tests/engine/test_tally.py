"""Segments counted by kind, against counters that are raised one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.jit import kernel
from operators.engine import APP_FIN_SEEN, ROLE_WORDS
from operators.tally import AGAIN, TEXT, named, noted, tally_received, tally_sent
from tcp.connection import CLOSE_WAIT, ESTABLISHED, TIME_WAIT
from tcp.events import EV_ACKED, EV_DATA, EV_DUPLICATE, EV_ESTABLISHED, EV_FIN, EV_FIN_ACKED, EV_RESET, EV_UNACCEPTABLE
from tcp.segment import ACK, FIN, PSH, RST, SYN


@kernel
def received(counters, state, events, flags):
    tally_received(counters, state, noted(events, flags))


@kernel
def sent(counters, app_bits, kind):
    return tally_sent(counters, app_bits, kind)


class Slow:
    """One connection's counters, as their names say."""

    def __init__(self, client: bool) -> None:
        self.client = client
        self.counters: Counter[str] = Counter()
        self.acked = self.fin_seen = self.fin_acked = False

    def receives(self, state: int, events: int, flags: int) -> None:
        meant = {
            "RecvSynAck" if self.client else "RecvSynAck2": events & EV_ESTABLISHED, "established": events & EV_ESTABLISHED,
            "RecvPayload": events & EV_DATA, "RecvAck4Fin": events & EV_FIN_ACKED,
            "RecvFin" if state == CLOSE_WAIT else "RecvFinPssv": events & EV_FIN,
        }  # fmt: skip
        self.counters.update(name for name, there in meant.items() if there)
        if flags & RST:
            self.counters["RecvRst"] += 1
        elif events & (EV_UNACCEPTABLE | EV_DUPLICATE | EV_RESET):
            self.counters["Unexpected"] += 1
        elif not any(meant.values()):
            self.counters["RecvAck"] += 1
        self.fin_seen |= bool(events & EV_FIN)
        self.counters["SegmentsReceived"] += 1

    def sends(self, flags: int, length: int, again: bool) -> None:
        self.counters["SegmentsSent"] += 1
        if flags & SYN:
            self.counters["Retransmissions" if again else "SentSynAck" if flags & ACK else "SentSyn"] += 1
            return
        milestone = (self.client and not self.acked) or (self.fin_seen and not self.fin_acked)
        self.counters["SentSynAck2"] += self.client and not self.acked
        self.counters["SentAck4Fin"] += self.fin_seen and not self.fin_acked
        self.acked, self.fin_acked = True, self.fin_seen
        if again:
            self.counters["Retransmissions"] += 1
            return
        self.counters["SentPayload"] += length > 0
        if flags & FIN:
            self.counters["SentFinPssv" if self.fin_seen else "SentFin"] += 1
        elif not length and not milestone:
            self.counters["SentAck"] += 1


events = st.sampled_from([0, EV_ESTABLISHED, EV_DATA, EV_FIN, EV_FIN_ACKED, EV_UNACCEPTABLE, EV_RESET, EV_DATA | EV_FIN])
states = st.sampled_from([ESTABLISHED, CLOSE_WAIT, TIME_WAIT])
arrivals = st.tuples(states, events, st.sampled_from([ACK, ACK | PSH, RST, ACK | FIN]))
departures = st.tuples(st.sampled_from([SYN, SYN | ACK, ACK, ACK | PSH, ACK | FIN]), st.integers(0, 2), st.booleans())


@settings(deadline=None)
@given(st.booleans(), st.lists(st.one_of(arrivals, departures), max_size=30))
def test_every_segment_counts_as_what_it_was(client: bool, steps: list[Any]) -> None:
    words = np.zeros(ROLE_WORDS, np.int64)
    slow, app_bits = Slow(client), 0
    for step in steps:
        if isinstance(step[2], bool):
            flags, length, again = step
            kind = flags & (SYN | ACK) | AGAIN if again else flags & ~PSH | (TEXT if length else 0)
            app_bits = int(sent(words.ctypes.data, app_bits, kind))
            slow.sends(*step)
        else:
            state, events, flags = step
            received(words.ctypes.data, state, events | EV_ACKED, flags)
            app_bits |= APP_FIN_SEEN if events & EV_FIN else 0
            slow.receives(*step)
    found = {name: count for name, count in named("client" if client else "server", words.tolist()).items() if count}
    assert found == dict(+slow.counters)
