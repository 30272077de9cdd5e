"""The one way from sockets to `tcp/`: a connection's records, its own limits, and the window it offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.addresses import is_ip6
from apps.config import CONGESTION
from apps.endpoint.packets import Place
from apps.endpoint.settings import Settings
from apps.endpoint.tuning import Ecn, Tuning
from dpdk_io.memory import aligned
from tcp import COLD, CONN, SEGMENT, STATE_NAMES, new_limits
from tcp import application as app
from tcp.board import new_boards
from tcp.congestion import initial_window, switch
from tcp.connection import (
    ACK_DUE,
    ACK_LATER,
    CLIENT,
    CLOSE_WAIT,
    CLOSED,
    COLD_READY,
    ECN_OK,
    ESTABLISHED,
    FIN_QUEUED,
    FIN_WAIT_2,
    QUICK_ACK,
    RECOVERY,
    REWOUND,
    SACK_OK,
    SYN_SENT,
    TIME_WAIT,
    TIMED_OUT,
    TS_OK,
    WS_OK,
    clear_bits,
    raise_bits,
    sent,
)
from tcp.deadlines import expire_after
from tcp.events import EV_FIN
from tcp.icmp import FRAGMENTATION_NEEDED, UNREACHABLE, on_icmp
from tcp.ip6 import FIRST_NUMBER
from tcp.limits import IP6_LONGER
from tcp.open import accept, connect
from tcp.receive import receive
from tcp.reset import reset_of
from tcp.rto import UNIT
from tcp.seq import MASK, distance
from tcp.timer import on_timer
from tcp.transmit import next_segment
from tcp.window import offer

MSS = 1460
"""Payload of a segment over IPv4 on a link with an MTU of 1500 bytes."""
_LARGEST_WINDOW = 65_535 << 14
_NEGOTIATED = {"window_scale": WS_OK, "sack": SACK_OK, "timestamps": TS_OK, "ecn": ECN_OK}
_ORPHAN_RETRIES = 8
"""Of a connection that nobody holds any more (net.ipv4.tcp_orphan_retries)."""


class Connection:
    """A TCP connection, over IPv6 if *ip6*. Times are microseconds of the host's clock."""

    def __init__(self, settings: Settings, tuning: Tuning, ip6: bool = False) -> None:
        self._conn_memory, self._cold_memory, self._out_memory = aligned(1, CONN), aligned(1, COLD), aligned(1, SEGMENT)
        self.conn: Any = self._conn_memory[0]
        self.cold: Any = self._cold_memory[0]
        self.out: Any = self._out_memory[0]
        mss = min(MSS, settings.maxseg + (IP6_LONGER if ip6 else 0)) if settings.maxseg else MSS
        self._boards = new_boards(1)
        self._asks_for_ecn = tuning.ecn is Ecn.ON
        self._block = new_limits(
            mss=mss, rcv_wnd=min(settings.receive_room, _LARGEST_WINDOW), boards=self._boards.address, options=tuning.options,
            ecn=int(tuning.ecn is not Ecn.OFF), congestion=CONGESTION.index(settings.congestion or tuning.congestion), nagle=1,
        )  # fmt: skip
        self._limits: Any = self._block.record
        self.retransmits = 0
        self.held = True

    def configure(self, settings: Settings, now: int) -> None:
        """Let the socket's options work on the connection."""
        limits = self._limits
        app.nodelay(self.conn, settings.nodelay)
        app.cork(self.conn, settings.cork)
        self._set_quick_ack(settings.quickack if settings.quickack_set else 0)
        self._keep_alive(settings, now)
        if settings.congestion:
            switch(self.cold, limits, CONGESTION.index(settings.congestion))
        limits.user_timeout_ms = settings.user_timeout
        limits.syn_retries = settings.syncnt
        # Only a connection that nobody holds any more may not stay half closed for ever.
        limits.fin_wait_2_ms = 0 if self.held else max(settings.linger2, 0) * 1000

    def _set_quick_ack(self, on: int) -> None:
        """ACKs are not delayed, nor is one that is due already."""
        if not on:
            clear_bits(self.conn, QUICK_ACK)
            return
        raise_bits(self.conn, QUICK_ACK)
        if int(self.conn.bits) & ACK_LATER:
            raise_bits(self.conn, ACK_DUE)

    def _keep_alive(self, settings: Settings, now: int) -> None:
        """Probes of an idle connection begin or end."""
        limits = self._limits
        before = int(limits.keepalive_ms)
        limits.keepalive_ms = limits.quiet_ms = settings.keepidle * 1000 if settings.keepalive else 0
        limits.keepalive_interval_ms = settings.keepintvl * 1000
        limits.keepalive_probes = settings.keepcnt
        idle = self.state in (ESTABLISHED, CLOSE_WAIT) and self._snd_max == int(self.conn.snd_una)
        if idle and before != int(limits.keepalive_ms):
            self.wait(int(limits.keepalive_ms), now)

    def connect(self, settings: Settings, local: Place, peer: Place, iss: int, now: int) -> None:
        """Active open."""
        if not self._asks_for_ecn:
            self._limits.bits = int(self._limits.bits) & ~ECN_OK
        connect(self.conn, self._limits, *_numbered(local), *_numbered(peer), iss)
        self.configure(settings, now)

    def accept(self, seg: Any, settings: Settings, local: Place, peer: Place, iss: int, now: int) -> None:
        """Passive open by the SYN *seg*."""
        accept(self.conn, self.cold, seg, self._limits, *_numbered(local), *_numbered(peer), iss, now)
        self.configure(settings, now)

    def receive(self, seg: Any, now: int) -> tuple[int, int]:
        """Events of a segment, and how many bytes of the peer's stream are new in order."""
        state, before = self.state, int(self.conn.rcv_nxt)
        events = int(receive(self.conn, self.cold, seg, self._limits, now))
        if state == SYN_SENT:
            return events, 0
        return events, distance(int(self.conn.rcv_nxt), before) - bool(events & EV_FIN)

    def on_timer(self, now: int) -> int:
        """Events of what is due."""
        return int(on_timer(self.conn, self.cold, self._limits, now))

    def segments(self, now: int) -> Iterator[Any]:
        """What is to be sent, one SEGMENT after the other; each is valid until the next."""
        while next_segment(self.conn, self.cold, self.out, self._limits, now):
            if int(self.out.rexmit):
                self.retransmits += 1
            yield self.out

    def queue(self, length: int) -> int:
        """Let *length* bytes of zeros be sent; how many were taken."""
        return int(app.queue(self.conn, length))

    def cork(self, on: int) -> None:
        """Whether what fills no segment waits for more."""
        app.cork(self.conn, on)

    def close(self) -> None:
        """A FIN after all that is queued."""
        app.close(self.conn)

    def abort(self) -> Any | None:
        """End at once; the RST to send where the state asks for one."""
        return self.out if app.abort(self.conn, self.cold, self.out) else None

    def reset(self) -> Any:
        """The RST that tells the peer."""
        reset_of(self.conn, self.cold, self.out)
        return self.out

    def orphan(self, settings: Settings, now: int) -> None:
        """Nobody holds the connection any more: it may not last for ever."""
        self.held = False
        self.configure(settings, now)
        self._limits.retries = _ORPHAN_RETRIES
        if self.state == FIN_WAIT_2:
            self.wait(int(self._limits.fin_wait_2_ms), now)

    def wait(self, ms: int, now: int) -> None:
        """Let the connection's timer be *ms* milliseconds from now."""
        expire_after(self.conn, self.cold, ms, now)

    def offer(self, room: int, unread: int) -> None:
        """There is room for *room* bytes, of which *unread* are taken."""
        if self.state > SYN_SENT:
            free = min(max(room - unread, 0), 0xFFFF << int(self.conn.rcv_shift))
            offer(self.conn, self._limits, free, room)

    def on_too_large(self, seq: int, mtu: int, now: int) -> int:
        """Events of a router's word that the segment with the number *seq* is too large for it."""
        return int(on_icmp(self.conn, self.cold, self._limits, UNREACHABLE, FRAGMENTATION_NEEDED, seq, mtu, now))

    @property
    def active(self) -> bool:
        """Whether we opened it."""
        return bool(int(self.conn.bits) & CLIENT)

    @property
    def state(self) -> int:
        """One of tcp.connection's states."""
        return int(self.conn.state)

    @property
    def alive(self) -> bool:
        """Whether an application still has something of it: TIME_WAIT is TCP's own."""
        return self.state not in (CLOSED, TIME_WAIT)

    @property
    def fin_queued(self) -> bool:
        """Whether our side is closed: the FIN is sent, or follows what is queued."""
        return bool(int(self.conn.bits) & FIN_QUEUED)

    @property
    def fin_received(self) -> bool:
        """Whether the peer has sent all it will send."""
        return STATE_NAMES[self.state] in ("CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT")

    @property
    def retries(self) -> int:
        """Timeouts since the peer was last heard."""
        return int(self.conn.retries)

    @property
    def unacked(self) -> int:
        """Bytes queued that the peer has not acknowledged; neither SYN nor FIN count."""
        syn = int(self.conn.snd_una) == int(self.conn.iss)
        return max(distance(int(self.conn.snd_end), int(self.conn.snd_una)) - syn, 0)

    @property
    def unsent(self) -> int:
        """Bytes queued and never sent."""
        return max(distance(int(self.conn.snd_end), self._snd_max), 0)

    @property
    def urgent(self) -> int:
        """Bytes from the last one received in order to the end of the peer's urgent data; below 0 when more has come."""
        fin = self.state > FIN_WAIT_2
        return distance(int(self.cold.rcv_up), int(self.conn.rcv_nxt)) + fin

    @property
    def fin_unacked(self) -> bool:
        """Whether our FIN is still on its way."""
        return self.fin_queued and distance(int(self.conn.snd_end), int(self.conn.snd_una)) >= 0

    def covers(self, seq: int) -> bool:
        """Whether *seq* is in flight: what an ICMP error quotes must be (RFC 5927 section 4.1)."""
        return 0 <= distance(seq, int(self.conn.snd_una)) <= distance(self._snd_max, int(self.conn.snd_una))

    @property
    def _snd_max(self) -> int:
        return int(sent(self.conn, self.cold))

    @property
    def deadline(self) -> int | None:
        """When `on_timer` is due; None: never."""
        return int(self.conn.deadline) * 1000 or None

    @property
    def mss(self) -> int:
        """Payload a segment of ours may carry."""
        return int(self.conn.mss)

    def info(self) -> dict[str, Any]:
        """What INFO shows of TCP: sequence numbers as on the wire, sizes in bytes."""
        conn, cold = self.conn, self.cold
        bits = int(conn.bits)
        warm = bits & COLD_READY
        fields = ("snd_una", "snd_nxt", "rcv_nxt", "snd_wnd", "rcv_wnd", "iss", "mss")
        return {
            "state": STATE_NAMES[self.state],
            **{name: int(conn[name]) for name in fields},
            "cwnd": int(cold.cwnd) if warm else int(initial_window(self.mss)),
            "ssthresh": int(cold.ssthresh) if warm else MASK >> 2,
            "rto_us": int(conn.rto) * 1000,
            "srtt_us": int(conn.srtt) * UNIT,
            "rttvar_us": int(conn.rttvar) * UNIT,
            "retransmits": self.retransmits,
            "timeouts": self.retries,
            "unacked": self.unacked,
            "unsent": self.unsent,
            "recovering": "timeout" if bits & (REWOUND | TIMED_OUT) else "loss" if bits & RECOVERY else "",
            "congestion": CONGESTION[int(self._limits.congestion)],
            "negotiated": [name for name, bit in _NEGOTIATED.items() if bits & bit and self.state > SYN_SENT],
        }


def _numbered(place: Place) -> Place:
    """An address in 32 bits. Of an IPv6 address TCP need only know that it is one: sockets are found by whole addresses."""
    return (FIRST_NUMBER, place[1]) if is_ip6(place[0]) else place
