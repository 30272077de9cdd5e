"""Datagrams out of fragments, by the operators `parse` and `reassemble`."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdk_io.mbuf import MBUF
from dpdk_io.memory import aligned
from operators.fragments import Fragments
from operators.parse import parse
from operators.reassemble import reassemble
from pipeline import NEXT
from pipeline.codegen import meta_dtype

_MICROSECONDS = 1_000_000
_MOST = 0xFFFF
"""Bytes of a frame; what is longer comes in several mbufs, and not so far."""


class Reassembly:
    """What waits to become whole, and what was lost of it."""

    def __init__(self) -> None:
        self._waiting = Fragments(rate=_MICROSECONDS)
        self._frame = np.zeros(_MOST, np.uint8)
        self._mbufs: Any = aligned(1, MBUF)
        self._metas = aligned(1, meta_dtype({field[0]: np.dtype(field[1]) for field in parse.writes}))
        self._parsing, self._states = parse.new_state(), reassemble.new_state()
        self._mbufs.buf_addr, self._mbufs.buf_len, self._mbufs.nb_segs = self._frame.ctypes.data, _MOST, 1

    def put(self, frame: bytes, now: int) -> bytes | None:
        """The frame that is whole by this fragment, at *now* microseconds."""
        assert self._parsing is not None
        assert self._states is not None
        self._frame[: len(frame)] = np.frombuffer(frame, np.uint8)
        self._mbufs.pkt_len = self._mbufs.data_len = len(frame)
        pkt, mbuf, meta = self._frame.ctypes.data, self._mbufs.ctypes.data, self._metas[0]
        if parse.function(pkt, len(frame), mbuf, meta, self._parsing[0]) != NEXT:
            return None
        verdict = reassemble.function(pkt, mbuf, meta, self._states[0], now, self._waiting.address)
        return self._frame[: int(self._mbufs[0].data_len)].tobytes() if verdict == NEXT else None

    def drops(self) -> dict[str, int]:
        """Fragments that are lost, or wait for others, by reason, as far as there are any."""
        steps: Any = ((parse, self._parsing), (reassemble, self._states))
        counts = {f"{step.name}.{reason}": int(state[reason][0]) for step, state in steps for reason in step.drops}
        return {reason: count for reason, count in counts.items() if count}
