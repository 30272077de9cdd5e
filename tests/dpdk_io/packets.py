"""Frames in and out of a port, one burst at a time, for tests and for the programs they start."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from dpdk_io import Port
from dpdk_io import mbuf as mb

BURST = 32


def make(port: Port, frames: Sequence[bytes], queue: int = 0) -> np.ndarray:
    """An mbuf, or a chain of them, for each frame; the array of their addresses."""
    return np.array([_chain(port, frame, queue) for frame in frames], np.int64)


def _chain(port: Port, frame: bytes, queue: int) -> int:
    parts = [frame[start : start + mb.DATA_ROOM] for start in range(0, len(frame), mb.DATA_ROOM)]
    segments = np.zeros(len(parts), np.int64)
    assert port.driver.alloc_bulk(port.pool(queue), segments.ctypes.data, len(parts)) == len(parts)
    for segment, part, after in zip(segments.tolist(), parts, [*segments.tolist()[1:], 0], strict=True):
        mb.set_length(segment, len(part))
        mb.frame(segment)[:] = np.frombuffer(part, np.uint8)
        mb.header(segment).next = after
    mb.header(int(segments[0])).nb_segs = len(parts)
    mb.header(int(segments[0])).pkt_len = len(frame)
    return int(segments[0])


def content(mbuf: int) -> bytes:
    """The bytes of a frame, over all its segments."""
    whole = b""
    while mbuf:
        whole += mb.frame(mbuf).tobytes()
        mbuf = int(mb.header(mbuf).next)
    return whole


def send(port: Port, frames: Sequence[bytes], queue: int = 0) -> None:
    """Send every frame; assertion error when the device does not take them within ten seconds."""
    mbufs = make(port, frames, queue)
    sent, end = 0, time.monotonic() + 10
    while sent < len(frames):
        sent += port.driver.tx_burst(port.handle, queue, mbufs.ctypes.data + 8 * sent, min(BURST, len(frames) - sent))
        assert time.monotonic() < end, f"sent {sent} of {len(frames)}"


def receive(port: Port, count: int, queue: int = 0, seconds: float = 5) -> list[bytes]:
    """The next *count* frames, or fewer when *seconds* pass."""
    mbufs = np.zeros(BURST, np.int64)
    frames: list[bytes] = []
    end = time.monotonic() + seconds
    while len(frames) < count and time.monotonic() < end:
        got = port.driver.rx_burst(port.handle, queue, mbufs.ctypes.data, min(BURST, count - len(frames)))
        frames += [content(address) for address in mbufs[:got].tolist()]
        port.driver.free_bulk(port.pool(queue), mbufs.ctypes.data, got)
    return frames


def ethernet(number: int, size: int = 60, ethertype: int = 0x88B5) -> bytes:
    """A frame of an experimental type that carries *number*."""
    head = bytes.fromhex("02000000000202000000000a") + ethertype.to_bytes(2, "big") + number.to_bytes(4, "big")
    return head + bytes(i & 0xFF for i in range(size - len(head)))
