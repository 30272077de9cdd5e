"""An endpoint to send segments to, in any state, with sequence numbers that are about to wrap."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dpdk_io.memory import aligned
from tcp import application
from tcp.connection import COLD, CONN, STATE_NAMES
from tcp.limits import new_limits
from tcp.open import accept, connect
from tcp.receive import receive
from tcp.segment import OPT_MSS, OPT_SACK, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, SEGMENT
from tcp.timer import on_timer
from tcp.transmit import next_segment

ISS, IRS = 0xFFFFFFFD, 0xFFFFFFFE
LOCAL, PEER = (0x0A000001, 40000), (0x0A000002, 80)
START = 5_000_000
FLAGS = "FSRPAUEC"
MSS = 1000
POISON = 0xA5


def ours(n: int) -> int:
    """Our sequence number *n*; the SYN is 0."""
    return (ISS + n) & 0xFFFFFFFF


def theirs(n: int) -> int:
    """The peer's sequence number *n*; its SYN is 0."""
    return (IRS + n) & 0xFFFFFFFF


def bits(flags: str) -> int:
    return sum(1 << FLAGS.index(flag) for flag in flags)


class Sent(NamedTuple):
    flags: str
    seq: int
    ack: int
    payload_len: int = 0
    mss: int = 0
    rexmit: int = 0
    wscale: int | None = None
    sack_permitted: bool = False
    ts: tuple[int, int] | None = None
    blocks: tuple[tuple[int, int], ...] = ()


def sent_of(out: Any) -> Sent:
    flags = "".join(flag for flag in FLAGS if int(out.tcp_flags) & bits(flag))
    opts = int(out.opts)
    mss = int(out.mss) if opts & OPT_MSS else 0
    wscale = int(out.wscale) if opts & OPT_WSCALE else None
    ts = (int(out.ts_val), int(out.ts_ecr)) if opts & OPT_TIMESTAMPS else None
    blocks = tuple(
        (int(out.blocks[2 * i]), int(out.blocks[2 * i + 1])) for i in range(int(out.n_blocks) if opts & OPT_SACK else 0)
    )
    sack_permitted = bool(opts & OPT_SACK_PERMITTED)
    return Sent(
        flags, int(out.seq), int(out.ack), int(out.payload_len), mss, int(out.rexmit), wscale, sack_permitted, ts, blocks
    )  # fmt: skip


class Endpoint:
    """One connection, its clock and what it sends."""

    def __init__(self, iss: int = ISS, **limits: int) -> None:
        self.conn: Any = aligned(1, CONN)[0]
        self.cold_memory = aligned(1, COLD)
        self.cold: Any = self.cold_memory[0]
        self.cold_memory.view(np.uint8)[:] = POISON
        self.limits = new_limits(**({"mss": MSS, "delack_ms": 0, "options": 0} | limits))
        self.segment: Any = aligned(1, SEGMENT)[0]
        self.out: Any = aligned(1, SEGMENT)[0]
        self.option = aligned(40, np.uint8)
        self.boards: Any = None
        self.iss = iss
        self.now = START

    @property
    def state(self) -> str:
        return STATE_NAMES[int(self.conn.state)]

    @property
    def cold_is_untouched(self) -> bool:
        return bool((self.cold_memory.view(np.uint8) == POISON).all())

    def connect(self) -> Endpoint:
        connect(self.conn, self.limits.record, *LOCAL, *PEER, self.iss)
        return self

    def accept(self, flags: str = "S", seq: int = IRS, wnd: int = 65535, mss: int = 0, **options: Any) -> Endpoint:
        self._fill(flags, seq, 0, 0, wnd, mss, **options)
        accept(self.conn, self.cold, self.segment, self.limits.record, *LOCAL, *PEER, self.iss, self.now)
        return self

    def _fill(
        self,
        flags: str,
        seq: int,
        ack: int,
        payload_len: int,
        wnd: int,
        mss: int,
        *,
        wscale: int | None = None,
        sack_permitted: bool = False,
        ts: tuple[int, int] | None = None,
        blocks: tuple[tuple[int, int], ...] = (),
        tos: int = 0,
        urp: int = 0,
    ) -> None:
        seg = self.segment
        seg.tcp_flags, seg.seq, seg.ack, seg.payload_len, seg.wnd = bits(flags), seq, ack, payload_len, wnd
        seg.mss, seg.opts, seg.tos, seg.urp = mss, OPT_MSS if mss else 0, tos, urp
        if wscale is not None:
            seg.wscale, seg.opts = wscale, int(seg.opts) | OPT_WSCALE
        if sack_permitted:
            seg.opts = int(seg.opts) | OPT_SACK_PERMITTED
        if ts is not None:
            seg.ts_val, seg.ts_ecr, seg.opts = *ts, int(seg.opts) | OPT_TIMESTAMPS
        if blocks:
            self.option[1] = 2 + 8 * len(blocks)
            self.option[2 : 2 + 8 * len(blocks)] = np.frombuffer(np.array(blocks, ">u4").tobytes(), np.uint8)
            seg.sack_at, seg.opts = self.option.ctypes.data + 2, int(seg.opts) | OPT_SACK
        seg.accepted, seg.skip, seg.early, seg.revealed = 77, 77, 77, 77

    def gets(
        self, flags: str, seq: int, ack: int = 0, payload_len: int = 0, wnd: int = 65535, mss: int = 0, **options: Any
    ) -> int:
        """Receive one segment; the events. *options*: those of `_fill`."""
        self._fill(flags, seq, ack, payload_len, wnd, mss, **options)
        return int(receive(self.conn, self.cold, self.segment, self.limits.record, self.now))

    def sends(self) -> list[Sent]:
        """All that may be sent now."""
        result = []
        while next_segment(self.conn, self.cold, self.out, self.limits.record, self.now):
            result.append(sent_of(self.out))
            assert len(result) < 10_000
        return result

    def queue(self, n: int) -> int:
        return int(application.queue(self.conn, n))

    def close(self) -> None:
        application.close(self.conn)

    def abort(self) -> Sent | None:
        return sent_of(self.out) if application.abort(self.conn, self.cold, self.out) else None

    def timer(self) -> int:
        """What on_timer says now."""
        return int(on_timer(self.conn, self.cold, self.limits.record, self.now))

    def expire(self) -> int:
        """Move time to the deadline; what on_timer says then."""
        assert self.conn.deadline
        self.now = int(self.conn.deadline) * 1000
        return self.timer()

    def snapshot(self) -> dict[str, int]:
        return {name: int(self.conn[name]) for name in CONN.names}

    def changed(self, before: dict[str, int]) -> dict[str, int]:
        """The fields that are not as in *before*."""
        return {name: value for name, value in self.snapshot().items() if value != before[name]}


def _established(**limits: int) -> Endpoint:
    endpoint = Endpoint(**limits).connect()
    endpoint.sends()
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS)
    endpoint.sends()
    return endpoint


def at(state: str, **limits: int) -> Endpoint:
    """A client endpoint in *state* whose peer owes it nothing; our next number is ours(1), or ours(2) after the FIN."""
    if state == "CLOSED":
        return Endpoint(**limits)
    if state == "SYN_SENT":
        endpoint = Endpoint(**limits).connect()
        endpoint.sends()
        return endpoint
    if state == "SYN_RECEIVED":
        endpoint = Endpoint(**limits).accept(mss=MSS)
        endpoint.sends()
        return endpoint
    endpoint = _established(**limits)
    if state in ("CLOSE_WAIT", "LAST_ACK"):
        endpoint.gets("FA", theirs(1), ours(1))
        endpoint.sends()
    if state not in ("ESTABLISHED", "CLOSE_WAIT"):
        endpoint.close()
        endpoint.sends()
    if state == "CLOSING":
        endpoint.gets("FA", theirs(1), ours(1))
    elif state in ("FIN_WAIT_2", "TIME_WAIT"):
        endpoint.gets("A", theirs(1), ours(2))
    if state == "TIME_WAIT":
        endpoint.gets("FA", theirs(1), ours(2))
    endpoint.sends()
    assert endpoint.state == state
    return endpoint
