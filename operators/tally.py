"""Segments counted by what they were: one count for each combination of their properties, given names when somebody asks.

A role's counters are WORDS int64: the named ones (ROLE_COUNTERS), then a table for segments received and one for segments sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from dpdk_io.jit import inlined
from dpdk_io.memory import load64, store64
from operators.engine import (
    APP_FIN_ACKED,
    APP_FIN_SEEN,
    APP_HANDSHAKE_ACKED,
    RECEIVED_KINDS,
    RECEIVED_TABLE,
    RECV_SYN,
    ROLE_COUNTERS,
    SENT_KINDS,
    SENT_RST,
    SENT_TABLE,
    SYN_COOKIES_ACCEPTED,
    SYN_COOKIES_SENT,
    UNEXPECTED,
)  # fmt: skip
from tcp.connection import CLOSE_WAIT
from tcp.events import (
    EV_CHALLENGE,
    EV_DATA,
    EV_DUPLICATE,
    EV_ESTABLISHED,
    EV_FIN,
    EV_FIN_ACKED,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_RST,
    EV_RST_DUE,
    EV_UNACCEPTABLE,
    EV_UNEXPECTED,
)  # fmt: skip
from tcp.segment import ACK, FIN, PSH, RST, SYN

_ODD = EV_UNACCEPTABLE | EV_DUPLICATE | EV_OUT_OF_ORDER | EV_CHALLENGE | EV_RST_DUE | EV_RESET
_CLOSED_FIRST = 1 << 4
"""Beside events in a received segment's kind: a FIN, and we had closed before."""
assert EV_ESTABLISHED | EV_DATA | EV_FIN | EV_FIN_ACKED == _CLOSED_FIRST - 1
assert (EV_UNEXPECTED, EV_RST) == (2 * _CLOSED_FIRST, 4 * _CLOSED_FIRST)
assert 2 * EV_RST == RECEIVED_KINDS

TEXT, AGAIN = PSH, RST
"""Beside FIN, SYN and ACK in a sent segment's kind: it has text; all of it was sent before: neither text nor FIN count."""
_CONNECTION = APP_HANDSHAKE_ACKED | APP_FIN_SEEN | APP_FIN_ACKED
"""The rest of it: what the connection was before the segment."""
assert not _CONNECTION & (FIN | SYN | ACK | TEXT | AGAIN)
assert (APP_FIN_ACKED, SENT_KINDS) == (APP_FIN_SEEN << 1, APP_FIN_ACKED << 1)


@inlined
def _count(counters, table, kind):
    place = counters + (table + kind) * 8
    store64(place, load64(place) + 1)


@inlined
def noted(events, flags):
    """The *events* of a segment with *flags*, with those that only say what to count. What is expected has none."""
    return events | (EV_UNEXPECTED if events & _ODD else 0) | (EV_RST if flags & RST else 0)


@inlined
def tally_received(counters, state, events):
    """A segment came, with *events*; the connection is in *state* since."""
    kind = events & (RECEIVED_KINDS - 1)
    if events & EV_FIN and state != CLOSE_WAIT:
        kind |= _CLOSED_FIRST
    _count(counters, RECEIVED_TABLE, kind)


@inlined
def tally_sent(counters, app_bits, kind):
    """A segment leaves; the connection's new `app_bits`. *kind*: of FIN, SYN, ACK, TEXT and AGAIN."""
    _count(counters, SENT_TABLE, app_bits & _CONNECTION | kind)
    if kind & SYN:
        return app_bits
    return app_bits | APP_HANDSHAKE_ACKED | (app_bits & APP_FIN_SEEN) << 1


def named(role: str, words: Sequence[int]) -> dict[str, int]:
    """The counters of "client" or "server" by their names, out of the WORDS of that role."""
    found = dict(zip(ROLE_COUNTERS, words[: len(ROLE_COUNTERS)], strict=True))
    client = role == "client"
    found |= _segments(words)
    for kind, count in enumerate(words[RECEIVED_TABLE : RECEIVED_TABLE + RECEIVED_KINDS]):
        if count:
            for name in _received(kind, client):
                found[name] += count
    for kind, count in enumerate(words[SENT_TABLE : SENT_TABLE + SENT_KINDS]):
        if count:
            for name in _sent(kind, client):
                found[name] += count
    return found


def _segments(words: Sequence[int]) -> dict[str, int]:
    """Each segment once, whatever it was.

    Beside the tables there are SYNs, segments for no connection, and RSTs. Of a SYN that was answered by a cookie nothing is
    remembered: when the cookie comes back, that SYN and that SYN-ACK are counted among the others for a second time.
    """
    cookies = words[SYN_COOKIES_SENT] - words[SYN_COOKIES_ACCEPTED]
    received = sum(words[RECEIVED_TABLE : RECEIVED_TABLE + RECEIVED_KINDS]) + words[RECV_SYN] + words[UNEXPECTED]
    sent = sum(words[SENT_TABLE : SENT_TABLE + SENT_KINDS]) + words[SENT_RST]
    return {"SegmentsReceived": received + cookies, "SegmentsSent": sent + cookies}


def _received(kind: int, client: bool) -> list[str]:
    names = []
    if kind & EV_ESTABLISHED:
        names += ["established", "RecvSynAck" if client else "RecvSynAck2"]
    if kind & EV_DATA:
        names.append("RecvPayload")
    if kind & EV_FIN_ACKED:
        names.append("RecvAck4Fin")
    if kind & EV_FIN:
        names.append("RecvFinPssv" if kind & _CLOSED_FIRST else "RecvFin")
    if kind & EV_RST:
        names.append("RecvRst")
    elif kind & EV_UNEXPECTED:
        names.append("Unexpected")
    return names or ["RecvAck"]


def _sent(kind: int, client: bool) -> list[str]:
    if kind & SYN:
        return ["Retransmissions" if kind & AGAIN else "SentSynAck" if kind & ACK else "SentSyn"]
    names = []
    if client and not kind & APP_HANDSHAKE_ACKED:
        names.append("SentSynAck2")
    if kind & APP_FIN_SEEN and not kind & APP_FIN_ACKED:
        names.append("SentAck4Fin")
    if kind & AGAIN:
        return [*names, "Retransmissions"]
    if kind & TEXT:
        names.append("SentPayload")
    if kind & FIN:
        names.append("SentFinPssv" if kind & APP_FIN_SEEN else "SentFin")
    return names or ["SentAck"]
