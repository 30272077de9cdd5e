"""What holds of the counters of a run in which every connection completed: PARITY between the two ends, exactly."""

from __future__ import annotations

from collections.abc import Mapping

MILESTONES = {
    "SentSyn": "RecvSyn", "RecvSynAck": "SentSynAck", "SentSynAck2": "RecvSynAck2", "SentPayload": "RecvPayload",
    "BytesSent": "BytesReceived", "BytesReceived": "BytesSent", "RecvPayload": "SentPayload",
}  # fmt: skip
"""Counters of the client that equal one of the server's."""


def assert_once_each(client: Mapping[str, int], server: Mapping[str, int], completed: int, *, lossless: bool = True) -> None:
    """*client* and *server* are the counters of both ends of *completed* connections; those that are absent are 0.

    lossless: no segment was lost or repeated. Else some may have been combined when they were repeated, but every milestone
    and every byte still counts once.
    """

    def c(name: str) -> int:
        return client.get(name, 0)

    def s(name: str) -> int:
        return server.get(name, 0)

    assert c("SentSyn") == s("RecvSyn") == s("SentSynAck") == c("RecvSynAck") == c("SentSynAck2") == s("RecvSynAck2") == completed
    assert c("BytesSent") == s("BytesReceived")
    assert s("BytesSent") == c("BytesReceived")
    for role in (c, s):
        assert role("SentFin") + role("SentFinPssv") == role("RecvAck4Fin") == completed
        assert role("RecvFin") + role("RecvFinPssv") == role("SentAck4Fin") == completed
        assert role("ActiveClose") + role("PassiveClose") == completed
        assert role("failed") == role("SentRst") == role("RecvRst") == 0
    if lossless:
        assert all(c(ours) == s(theirs) for ours, theirs in MILESTONES.items())
        assert c("SentFin") == s("RecvFin") == c("ActiveClose") == s("PassiveClose")
        assert s("SentFin") == c("RecvFin") == s("ActiveClose") == c("PassiveClose")
        assert c("SentAck") == s("RecvAck")
        assert s("SentAck") == c("RecvAck")
        assert c("Unexpected") == s("Unexpected") == c("Retransmissions") == s("Retransmissions") == 0
