"""Hostile frames through an engine, each ending where a page begins that may not be touched; says "all well" when it survives.

Answers are written over the frames, so that they must not be longer: the server says one byte to whatever it understands.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.engine.host import Host, server
from tests.engine.hostile import segments, spoilt
from tests.engine.peer import Peer

FRAMES = 1500
SHORTEST = 67
"""Bytes that an answer may take: the least that Ethernet has, and what is cleared behind it."""


def padded(frame: bytes) -> bytes:
    """*frame*, made as long as any answer unless its header lies about its length, which no answer follows."""
    total = int.from_bytes(frame[16:18], "big")
    return frame.ljust(SHORTEST, b"\0") if len(frame) >= 34 and total <= len(frame) - 14 else frame


def main() -> None:
    rng = random.Random(7)
    host: Host = server(response_kind="text", response=b"!", fenced=True)
    peers = [Peer(host, 41000 + k) for k in range(40)]
    for peer in peers:
        answers = host.run([padded(peer.segment("S"))])
        peer.seq += 1
        peer.ack = int.from_bytes(answers[0][38:42], "big") + 1
        host.run([padded(peer.segment("A"))])
    for _ in range(FRAMES):
        peer = rng.choice(peers)
        host.run([padded(spoilt(rng, segments(rng, peer.port, peer.seq, peer.ack)))])
    print("all well")


if __name__ == "__main__":
    main()
