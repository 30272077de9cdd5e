"""Two endpoints and a wire between them that loses, doubles and delays, in simulated time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Any

from tcp.connection import CLOSED
from tcp.events import EV_CLOSED, EV_DATA, EV_ESTABLISHED, EV_FIN, EV_FIN_ACKED, EV_RESET, EV_RST_DUE, EV_SYN, EV_TIMEOUT
from tcp.open import accept, listen
from tcp.reset import reset_for
from tests.tcp.builders import IRS, ISS, LOCAL, PEER, Endpoint, Sent, sent_of

Fate = Callable[[int], list[int]]
"""For packet number n: the delays (us) of the copies that arrive; none when it is lost."""

DELAY = 5_000
MILESTONES = (EV_ESTABLISHED, EV_FIN, EV_FIN_ACKED)


class Party(Endpoint):
    """An endpoint with an application that sends *total* bytes and closes, and checks what it receives."""

    def __init__(self, iss: int, total: int, server: bool, echo: bool, **limits: int) -> None:
        super().__init__(iss, **({"syn_retries": 100, "retries": 100, "rto_max": 2000} | limits))
        self.total, self.server, self.echo = total, server, echo
        self.received = 0
        self.events: Counter[int] = Counter()
        self.irs: int | None = None
        self.sent: list[Sent] = []

    def note(self, events: int) -> None:
        for bit in range(events.bit_length()):
            if events >> bit & 1:
                self.events[1 << bit] += 1
        if events & EV_ESTABLISHED and not self.echo:
            self.queue(self.total)
            self.close()
        if events & EV_DATA:
            self._check()
            if self.echo:
                self.queue(int(self.segment.accepted))
                if self.received == self.total:
                    self.close()
        if events & EV_FIN and not self.server:
            self.close()

    def _check(self) -> None:
        """What was accepted is the next part of the peer's stream."""
        seg = self.segment
        assert self.irs is not None
        syn = int(seg.tcp_flags) >> 1 & 1
        assert (int(seg.seq) + syn + int(seg.skip) - self.irs - 1) & 0xFFFFFFFF == self.received
        assert 0 < seg.accepted <= seg.payload_len - seg.skip
        self.received += int(seg.accepted)


def options_of(sent: Sent) -> dict[str, Any]:
    """The options of a segment beside MSS, as `Endpoint.gets` takes them."""
    return {name: getattr(sent, name) for name in ("wscale", "sack_permitted", "ts", "blocks")}


class Wire:
    """Runs two parties until nothing is left to happen."""

    def __init__(self, client: Party, server: Party, fate: Fate) -> None:
        self.parties = (client, server)
        self.fate = fate
        self.now = 1_000_000
        self.packets = 0
        self.in_flight: list[tuple[int, int, int, Sent, int, Any]] = []

    def run(self, limit: int = 20_000) -> None:
        client, server = self.parties
        client.connect()
        client.irs, server.irs = server.iss, client.iss
        if not server.server:
            server.connect()
        for _ in range(limit):
            for side in (0, 1):
                self._send(side)
            if not self._step():
                return
        raise AssertionError("still busy")

    def _send(self, side: int) -> None:
        party = self.parties[side]
        party.now = self.now
        for sent in party.sends():
            self._put(side, sent, int(party.out.wnd))

    def _put(self, side: int, sent: Sent, wnd: int) -> None:
        self.parties[side].sent.append(sent)
        number, self.packets = self.packets, self.packets + 1
        for copy, delay in enumerate(self.fate(number)):
            heapq.heappush(self.in_flight, (self.now + delay, number, copy, sent, wnd, 1 - side))

    def _step(self) -> bool:
        """Move to what happens next, an arrival or a deadline, and let it happen."""
        deadlines = [int(p.conn.deadline) * 1000 for p in self.parties if p.conn.deadline]
        arrival = self.in_flight[0][0] if self.in_flight else None
        if not deadlines and arrival is None:
            return False
        if arrival is not None and arrival <= min(deadlines, default=arrival):
            self.now, _, _, sent, wnd, side = heapq.heappop(self.in_flight)
            self._arrive(side, sent, wnd)
        else:
            self.now = max(self.now, min(deadlines))
            for party in self.parties:
                party.now = self.now
                party.note(party.timer())
        return True

    def _arrive(self, side: int, sent: Sent, wnd: int) -> None:
        party = self.parties[side]
        party.now = self.now
        if party.server and party.conn.state == CLOSED and not party.events[EV_SYN]:
            self._listen(party, sent, wnd)
            return
        events = party.gets(sent.flags, sent.seq, sent.ack, sent.payload_len, wnd, sent.mss, **options_of(sent))
        party.note(events)
        if events & EV_RST_DUE and reset_for(party.segment, party.out):
            self._put(side, sent_of(party.out), 0)

    def _listen(self, party: Party, sent: Sent, wnd: int) -> None:
        party._fill(sent.flags, sent.seq, sent.ack, sent.payload_len, wnd, sent.mss, **options_of(sent))
        if listen(party.segment) & EV_SYN:
            accept(party.conn, party.cold, party.segment, party.limits.record, *PEER, *LOCAL, party.iss, party.now)
            party.events[EV_SYN] += 1


def short_exchange(fate: Fate, payload: int = 16) -> Wire:
    """The client sends *payload* bytes, the server echoes them and closes, the client closes."""
    client = _EchoClient(ISS, payload, server=False, echo=False)
    server = Party(IRS, payload, server=True, echo=True)
    wire = Wire(client, server, fate)
    wire.run()
    return wire


class _EchoClient(Party):
    """Closes when the server has."""

    def note(self, events: int) -> None:
        if events & EV_ESTABLISHED:
            self.queue(self.total)
        super().note(events & ~EV_ESTABLISHED)
        self.events[EV_ESTABLISHED] += bool(events & EV_ESTABLISHED)


def assert_complete(wire: Wire, client_bytes: int, server_bytes: int, doubling: bool = False) -> None:
    """Both sides had every milestone once, every byte once, and closed in peace.

    On a wire that is *doubling*, an old segment may end the TIME_WAIT of one side (RFC 1337), and then the LAST_ACK of the other.
    """
    client, server = wire.parties
    for party in wire.parties:
        assert [party.events[milestone] for milestone in MILESTONES[:2]] == [1, 1]
        assert party.events[EV_FIN_ACKED] == 1 or (doubling and party.events[EV_FIN_ACKED] == 0)
        assert party.events[EV_CLOSED] == 1
        assert party.events[EV_RESET] == 0
        assert party.events[EV_TIMEOUT] == 0
        assert party.state == "CLOSED"
    assert (client.received, server.received) == (server_bytes, client_bytes)
