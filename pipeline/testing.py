"""Try operators and pipelines on frames: bytes in; verdicts, bytes and metadata out. For tests, those of plugins too.

    outcomes = run([parse, my_operator(limit=3)], [frame, frame])
    assert [o.verdict for o in outcomes] == ["tx", "drop"]

What runs is the generated loop, compiled or, under NUMBA_DISABLE_JIT=1, as plain Python. The device is this module: it delivers
the frames given to it, remembers what became of every mbuf, and ends the loop after one turn.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.mbuf import DATA_ROOM, HEADROOM, MBUF, clear, frame, header
from dpdk_io.memory import aligned, copy_many, i64, load64, store64
from dpdk_io.mempool import STRIDE
from pipeline.core import Core, whole_frame
from pipeline.errors import PipelineError
from pipeline.operator import Operator
from pipeline.outbox import QUEUES
from pipeline.pipeline import Pipeline
from pipeline.verdicts import NAMES, SLOW, USER0, USER1, USER2

MBUFS = 1024
"""Mbufs of the device: frames that are being processed or kept, and those that operators may take."""

_CORE, _RECEIVED, _SENT, _FREED, _FREE, _STACKS = 0, 1, 2, 3, 4, 8
_ROOM = 4 * MBUFS
_NO_ACCESS = 0


class Outcome(NamedTuple):
    """What became of a frame.

    number: its index among the frames that went in; -1 for one that an operator made. verdict: "tx", "drop", "slow", "user0"...,
    or "keep" when it is held still. frame: its bytes as it left, none when it was dropped or is held. meta: its metadata by name,
    none when bursts are larger than one.
    """

    number: int
    verdict: str
    frame: bytes
    meta: dict[str, Any]


class Bench:
    """A pipeline, or steps of one, on a device made of memory. State and counters, in `core`, last from run to run."""

    driver = sys.modules[__name__]

    def __init__(
        self, steps: Pipeline | Operator | Sequence[Any], *, resources: Mapping[str, Any] | None = None,
        callbacks: Mapping[int, Callable[[np.ndarray], None]] | None = None, fenced: bool = False,
    ) -> None:  # fmt: skip
        """fenced: frames end where memory begins that may not be touched, so that an operator which reads too far is killed."""
        if isinstance(steps, Operator):
            steps = [steps]
        self.pipeline = steps if isinstance(steps, Pipeline) else Pipeline("bench", steps, resources)
        self._words = aligned(_STACKS + (_FREE + 1) * _ROOM, np.int64)
        self._pool = aligned(MBUFS * STRIDE, np.uint8)
        self._fence = Fence() if fenced else None
        for k in range(MBUFS):
            self._free(self._pool.ctypes.data + k * STRIDE)
        ignore = dict.fromkeys((SLOW, USER0, USER1, USER2), _ignore)
        self.core = Core(self.pipeline, self, 0, callbacks={**ignore, **(callbacks or {})})
        self.core.compile()
        self._words[_CORE] = self.core.address
        self.sent: list[bytes] = []
        self._numbers: dict[int, int] = {}

    @property
    def handle(self) -> int:
        """What the device's kernels take as port and as pool."""
        return self._words.ctypes.data

    def pool(self, queue: int) -> int:
        """The same as `handle`: the device is its own mempool."""
        return self.handle

    def run(self, frames: Sequence[bytes], *, burst: int = 1, turns: int = 0, segment: int = DATA_ROOM) -> list[Outcome]:
        """Send *frames* through, *burst* of them a turn, then let *turns* pass without any. Frames of more than *segment* bytes
        are spread over several mbufs. The outcomes come in the order of *frames*, those of frames the pipeline made after them;
        `sent` has what was sent in order of sending."""
        if self._fence and (burst != 1 or any(len(data) > min(segment, DATA_ROOM) for data in frames)):
            raise PipelineError("a fenced bench takes frames of one segment, one at a time")
        self.sent = []
        self._numbers = {}
        found: list[Outcome] = []
        for first in range(0, len(frames), burst):
            for number, data in enumerate(frames[first : first + burst], first):
                self._give(data, number, segment)
            found += self._turn(burst == 1)
        for _ in range(turns):
            found += self._turn(False)
        found += [Outcome(number, "keep", b"", {}) for number in self._numbers.values()]
        return sorted(found, key=lambda o: o.number if o.number >= 0 else len(frames))

    def _turn(self, with_meta: bool) -> list[Outcome]:
        self.core.record.stop = 0
        self.core.poll(60.0)
        meta = self.core.metadata(0) if with_meta else {}
        left = [("tx", m) for m in self._take(_SENT)]
        for verdict in range(SLOW, QUEUES):
            left += [(NAMES[verdict], m) for m in self.core.waiting(verdict)]
        freed = self._take(_FREED)
        found = [self._outcome(verdict, mbuf, meta) for verdict, mbuf in left]
        found += [self._outcome("drop", mbuf, meta) for mbuf in freed if mbuf in self._numbers]
        for mbuf in [*freed, *(m for verdict, m in left if verdict == "tx")]:
            self._free(mbuf)
        return found

    def _outcome(self, verdict: str, mbuf: int, meta: dict[str, Any]) -> Outcome:
        data = b"" if verdict == "drop" else whole_frame(mbuf).tobytes()
        if verdict == "tx":
            self.sent.append(data)
        number = self._numbers.pop(mbuf, -1)
        return Outcome(number, verdict, data, meta if number >= 0 else {})

    def _give(self, data: bytes, number: int, segment: int) -> None:
        pieces = [data[k : k + segment] for k in range(0, len(data), segment)] or [b""]
        mbufs = [int(self._pop(_FREE)) for _ in pieces]
        for mbuf, piece, following in zip(mbufs, pieces, [*mbufs[1:], 0], strict=True):
            fields = header(mbuf)
            fields.data_len, fields.next = len(piece), following
            if self._fence:
                fields.buf_addr, fields.data_off, fields.buf_len = self._fence.address - len(piece), 0, len(piece)
            frame(mbuf)[:] = np.frombuffer(piece, np.uint8)
        header(mbufs[0]).pkt_len = len(data)
        header(mbufs[0]).nb_segs = len(pieces)
        self._numbers[mbufs[0]] = number
        self._push(_RECEIVED, mbufs[0])

    def _free(self, mbuf: int) -> None:
        """Every segment, cleared, for the next frame."""
        while mbuf:
            fields = header(mbuf)
            following = int(fields.next)
            fields.buf_addr, fields.buf_len, fields.refcnt = mbuf + MBUF.itemsize, HEADROOM + DATA_ROOM, 1
            clear(mbuf)
            self._push(_FREE, mbuf)
            mbuf = following

    def _push(self, stack: int, mbuf: int) -> None:
        self._words[_STACKS + stack * _ROOM + self._words[stack]] = mbuf
        self._words[stack] += 1

    def _pop(self, stack: int) -> int:
        self._words[stack] -= 1
        return self._words[_STACKS + stack * _ROOM + self._words[stack]]

    def _take(self, stack: int) -> list[int]:
        start = _STACKS + stack * _ROOM
        taken = self._words[start : start + self._words[stack]].tolist()
        self._words[stack] = 0
        return taken


def run(
    steps: Pipeline | Operator | Sequence[Any], frames: Sequence[bytes], *, resources: Mapping[str, Any] | None = None,
    burst: int = 1,
) -> list[Outcome]:  # fmt: skip
    """The outcomes of *frames* sent once through fresh *steps*; see `Bench.run`. PipelineError when they make no pipeline."""
    return Bench(steps, resources=resources).run(frames, burst=burst)


class Fence:
    """A page that may not be touched, at `address`, and room for a frame before it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, DATA_ROOM + 2 * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.address = (start + DATA_ROOM + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        if ctypes.CDLL(None).mprotect(ctypes.c_void_p(self.address), mmap.PAGESIZE, _NO_ACCESS) != 0:
            raise PipelineError("no memory can be protected on this system; run without fenced")


def _ignore(frame: np.ndarray) -> None:
    """The bench looks into the queue itself."""


@kernel
def _append(device, stack, mbufs, n):
    count = load64(device + stack * 8)
    copy_many(device + (_STACKS + stack * _ROOM + count) * 8, mbufs, n * 8)
    store64(device + stack * 8, count + n)


@kernel
def _remove(device, stack, mbufs, n):
    """The last *n*, in the order they were added."""
    count = load64(device + stack * 8) - n
    copy_many(mbufs, device + (_STACKS + stack * _ROOM + count) * 8, n * 8)
    store64(device + stack * 8, count)


@kernel
def rx_burst(port, queue, mbufs, n):
    """Receive the frames given, and let this turn be the last."""
    store64(load64(port + _CORE * 8), i64(1))
    given = min(n, load64(port + _RECEIVED * 8))
    _remove(port, i64(_RECEIVED), mbufs, given)
    return given


@kernel
def tx_burst(port, queue, mbufs, n):
    """Accept everything, and note it."""
    _append(port, i64(_SENT), mbufs, n)
    return n


@kernel
def alloc_bulk(pool, mbufs, n):
    """As `mempool.alloc_bulk`; a freed mbuf is free only after the turn."""
    if load64(pool + _FREE * 8) < n:
        return i64(0)
    _remove(pool, i64(_FREE), mbufs, n)
    return n


@kernel
def free_bulk(pool, mbufs, n):
    """Note what was freed."""
    _append(pool, i64(_FREED), mbufs, n)


@kernel
def reuse(pool, mbuf):
    """False: a freed mbuf is free only after the turn."""
    return False
