"""A wire in user space between two interfaces: `wire.py LEFT RIGHT DELAY REORDER DUPLICATE SEED`.

Each frame comes out at the other end DELAY seconds later, in order, but for a share REORDER, which is up to half of DELAY late,
and a share DUPLICATE, which comes out twice. SIGTERM ends it; what it did is a line of JSON.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import signal
import socket
import struct
import sys
import time

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 3, 263, 6, 23, 33


def end_of(interface: str) -> socket.socket:
    """All that arrives at *interface*."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    end.setblocking(False)
    end.bind((interface, ETH_P_ALL))
    return end


def dropped(end: socket.socket) -> int:
    """Frames for which the socket had no room."""
    return struct.unpack("II", end.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


class Wire:
    """Frames on their way, ordered by when they come out."""

    def __init__(self, left: str, right: str, delay: float, reorder: float, duplicate: float, seed: int) -> None:
        self.ends = (end_of(left), end_of(right))
        self.delay, self.reorder, self.duplicate = delay, reorder, duplicate
        self.random = random.Random(seed)
        self.frames: list[tuple[float, int, socket.socket, bytes]] = []
        self.counts = {"frames": 0, "reordered": 0, "duplicated": 0, "late_us": 0}

    def put(self, frame: bytes, out: socket.socket, due: float) -> None:
        self.counts["frames"] += 1
        if self.random.random() < self.reorder:
            self.counts["reordered"] += 1
            due += self.random.random() * self.delay / 2
        heapq.heappush(self.frames, (due, self.counts["frames"], out, frame))

    def receive(self, end: socket.socket, out: socket.socket) -> None:
        """At most 64 frames, so that those which are due do not wait."""
        due = time.monotonic() + self.delay
        for _ in range(64):
            try:
                frame = end.recv(2048)
            except BlockingIOError:
                return
            self.put(frame, out, due)
            if self.random.random() < self.duplicate:
                self.counts["duplicated"] += 1
                self.put(frame, out, due)

    def send_what_is_due(self) -> float:
        """Seconds until the next is due."""
        now = time.monotonic()
        while self.frames and self.frames[0][0] <= now:
            due, _, out, frame = heapq.heappop(self.frames)
            self.counts["late_us"] = max(self.counts["late_us"], int((now - due) * 1e6))
            out.send(frame)
        return self.frames[0][0] - now if self.frames else 1.0

    def carry(self) -> None:
        """Until SIGTERM."""
        left, right = self.ends
        while True:
            ready, _, _ = select.select(self.ends, (), (), self.send_what_is_due())
            if left in ready:
                self.receive(left, right)
            if right in ready:
                self.receive(right, left)


def main(left: str, right: str, *values: str) -> None:
    delay, reorder, duplicate = map(float, values[:3])
    wire = Wire(left, right, delay, reorder, duplicate, int(values[3]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    try:
        wire.carry()
    finally:
        sys.stdout.write(json.dumps({**wire.counts, "dropped": sum(map(dropped, wire.ends))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
