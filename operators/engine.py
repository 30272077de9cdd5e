"""What the TCP operators of one core share: one ENGINE record that leads to everything, and the records beside each connection.

Kernels get its address as the resource `tcp`. Nothing in it is touched by another core, except that Python reads the counters.
"""

from __future__ import annotations

import numpy as np

from dpdk_io.expect import unlikely
from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import i64, load64, record_at, store64
from operators.frames import FRAMING
from tcp.connection import CLIENT, COLD, CONN
from tcp.index import SPACING
from tcp.ip6 import ADDRESSES, FIRST_NUMBER, digest, hold, octets_of
from tcp.isn import SECRET, initial

ROLE_COUNTERS = (
    "SentSyn", "SentSynAck", "SentSynAck2", "SentFin", "SentFinPssv", "SentAck4Fin", "SentAck", "SentPayload", "SentRst",
    "RecvSyn", "RecvSynAck", "RecvSynAck2", "RecvFin", "RecvFinPssv", "RecvAck4Fin", "RecvAck", "RecvPayload", "RecvRst",
    "Unexpected", "Retransmissions", "Urgent", "BytesSent", "BytesReceived", "Mismatches",
    "attempted", "established", "completed", "failed", "open", "max_open",
    "Unknown", "Timeout", "PassiveClose", "ActiveClose", "PassiveRst", "ActiveRst",
    "expected", "unexpected", "time_wait_evicted", "records_lost", "no_echo_ring", "no_transfer", "syn_cookies_sent",
    "syn_cookies_accepted", "mbuf_waits",
)  # fmt: skip
"""One int64 each, per role: packets by meaning, connections by how far they came, release causes, responses by content."""

(
    SENT_FIN, SENT_FIN_PSSV, SENT_RST, RECV_SYN, UNEXPECTED, URGENT, BYTES_SENT, BYTES_RECEIVED, MISMATCHES,
    ATTEMPTED, COMPLETED, FAILED, OPEN, MAX_OPEN,
    CAUSE_UNKNOWN, CAUSE_TIMEOUT, CAUSE_PASSIVE_CLOSE, CAUSE_ACTIVE_CLOSE, CAUSE_PASSIVE_RST, CAUSE_ACTIVE_RST,
    EXPECTED, NOT_EXPECTED, TIME_WAIT_EVICTED, RECORDS_LOST, NO_ECHO_RING, NO_TRANSFER, SYN_COOKIES_SENT, SYN_COOKIES_ACCEPTED,
    MBUF_WAITS,
) = map(ROLE_COUNTERS.index, (
    "SentFin", "SentFinPssv", "SentRst", "RecvSyn", "Unexpected", "Urgent", "BytesSent", "BytesReceived", "Mismatches",
    "attempted", "completed", "failed", "open", "max_open",
    "Unknown", "Timeout", "PassiveClose", "ActiveClose", "PassiveRst", "ActiveRst",
    "expected", "unexpected", "time_wait_evicted", "records_lost", "no_echo_ring", "no_transfer", "syn_cookies_sent",
    "syn_cookies_accepted", "mbuf_waits",
))  # fmt: skip
"""Those that kernels count one by one; `tally` has the others."""

RECEIVED_TABLE, RECEIVED_KINDS = 64, 128
SENT_TABLE, SENT_KINDS = RECEIVED_TABLE + RECEIVED_KINDS, 256
ROLE_WORDS = SENT_TABLE + SENT_KINDS
"""int64 words of a role's counters: the named ones and the two tables of `tally`. Named ones that the tables stand for are 0."""

APP_HTTP = 1 << 0
APP_HEAD = 1 << 1
APP_MISMATCH = 1 << 2
APP_FINISHED = 1 << 3
"""Counted as completed or failed; what is left is TIME_WAIT."""
APP_ACTIVE = 1 << 4
"""Our FIN went first; noted when the peer's comes."""
APP_HANDSHAKE_ACKED = 1 << 5
APP_FIN_SEEN = 1 << 6
APP_FIN_ACKED = 1 << 7
"""Where `tally` has them in the kind of a segment."""
APP_PORT_RETURNED = 1 << 8
APP_ECHOES = 1 << 10
"""The server sends back what it gets."""
APP_DECIDED = 1 << 9
"""The server has looked at the first bytes and knows what to answer with."""
APP_RING = 1 << 11
"""What the server sends back lies in the echo ring numbered `ring`."""
APP_HELD = 1 << 12
"""An established client that does not speak before `held_until`."""
APP_HALF_OPEN = 1 << 13
"""Counted in the engine's `half_open`."""
APP_TRANSFER = 1 << 14
"""Sizes rule, and the TRANSFER numbered `transfer` counts."""
APP_HEADED = 1 << 15
"""The client's stream begins with a header that names the sizes."""
APP_HEADING = 1 << 16
"""The server has not got all of it yet."""
APP_SHORT = 1 << 17
"""Something that is to come has not come yet."""
APP_PATTERN = 1 << 18
"""What comes is to be the pattern."""
APP_LAST = 1 << 19
"""After the round that is being sent comes the FIN."""
APP_GIVEN_UP = 1 << 20
"""The peer sends more than anybody wants: an RST is due."""
APP_WAITS = 1 << 21
"""There was no mbuf for what is to be sent: it goes on in a moment."""
APP_POOLED = 1 << 22
"""Its TRANSFER is out of the pool."""
APP_ASKED = 1 << 24
"""The client's request is due and its response has not come."""
APP_TURNED_AWAY = 1 << 23
"""The server has nothing left to take what comes with: an RST is due."""

_APP = [
    ("due", "i8"),  # cycles
    ("hash", "u4"),  # of the 4-tuple
    ("ip_sum", "u4"),  # of an IPv4 header that is sent, but for its length
    ("peer_mac", "i8"),  # its six bytes as they lie in memory
    ("uid", "u4"),
    ("local_index", "u2"),
    ("generation", "u2"),  # which stay in TIME_WAIT this slot is in
    ("sent_messages", "u4"),
    ("received_messages", "u4"),
    ("pending", "u4"),  # bytes of the message that is arriving
    ("reply", "u4"),  # bytes of a response
    ("app_bits", "u4"),
    ("sent_payloads", "u4"),
    ("received_payloads", "u4"),
    ("matched", "u2"),  # bytes of the expected response seen
    ("terminator", "u1"),  # how much of an HTTP request's blank line was seen
    ("n_states", "u1"),  # of its HISTORY
]
_SHARED = {
    "name": ("i8", "due"),
    "ring": ("u4", "sent_messages"),
    "transfer": ("u4", "sent_messages"),
    "held_until": ("u4", "reply"),
}
"""Fields that share the place of one which only the other role uses: `name`, bytes 8 to 15 of an own message that a server sends
back, or what names a server's transfer, and `ring`, its echo ring; `transfer`, the TRANSFER of a connection that is one;
`held_until`, ms, of a client."""


def _place(name: str) -> int:
    """Where a field of _APP stands."""
    return np.dtype(_APP[: [field for field, _ in _APP].index(name)]).itemsize


APP = np.dtype(
    {
        "names": [*(name for name, _ in _APP), *_SHARED],
        "formats": [*(kind for _, kind in _APP), *(kind for kind, _ in _SHARED.values())],
        "offsets": [*(_place(name) for name, _ in _APP), *(_place(place) for _, place in _SHARED.values())],
        "itemsize": 64,
    }
)
"""The application's side of a connection."""

_APP_AT = CONN.itemsize
PAIR = np.dtype([("conn", CONN), ("app", APP)])
"""Both of them: what every segment of a connection touches, side by side."""
assert PAIR.itemsize == SPACING

TRANSFER = np.dtype(
    [
        ("send", "i8"),  # bytes of a round
        ("receive", "i8"),
        ("queued", "i8"),  # bytes of content given to TCP so far
        ("received", "i8"),
        ("rounds", "u4"),
        ("done", "u4"),  # rounds of which the other's part has come
    ]
)
"""A connection that transfers so and so many bytes. Offsets are of content: the header is before offset 0."""

PACE = np.dtype(
    {
        "names": ["unread", "read_us", "resume_ms"],
        "formats": ["u4", "u4", "u4"],
        "itemsize": 16,
    }
)
"""Of a transfer, where applications do anything by the clock. unread: bytes that a slow reader has not taken yet; read_us: up to
when it has, low 32 bits; resume_ms: when it has thought enough, 0: it does not think."""

HISTORY = np.dtype(
    {
        "names": ["first_at", "states", "deltas"],
        "formats": ["i8", ("u1", (8,)), ("u4", (6,))],
        "itemsize": 64,
    }
)
"""Of a connection whose record is kept: the states entered, and the microseconds from the first, at `first_at` (cycles), to each
of the others."""

RECORD = np.dtype(
    [
        ("start_us", "<i8"),
        ("uid", "<u4"),
        ("client_ip", "<u4"),
        ("server_ip", "<u4"),
        ("client_port", "<u2"),
        ("server_port", "<u2"),
        ("role", "u1"),
        ("cause", "u1"),
        ("core", "u1"),
        ("n_states", "u1"),
        ("states", "u1", (8,)),
        ("deltas", "<u4", (6,)),
        ("sent_payloads", "<u2"),
        ("received_payloads", "<u2"),
    ]
)
"""One connection as a record of 64 bytes. start_us: since the run began; role: 0 client, 1 server; cause: as in ROLE_COUNTERS
from "Unknown" on; states: `tcp.STATE_NAMES` indices in the order entered; deltas: microseconds from the first to the others."""
assert RECORD.itemsize == 64

RECORD_IPS = np.dtype([("client_ip", "u1", (16,)), ("server_ip", "u1", (16,))])
"""As on the wire, IPv4 mapped into IPv6."""

RECORD6 = np.dtype([(name, (RECORD_IPS if name.endswith("_ip") else RECORD)[name]) for name in RECORD.names or ()])
"""RECORD with the addresses as in RECORD_IPS: 88 bytes."""

ENGINE = np.dtype(
    [
        (name, "i8")
        for name in (
            "epoch", "begun", "ends", "now_us", "next_second", "second_cycles", "interval", "intervals", "interval_count",
            "conns", "colds", "histories", "index", "slots", "wheel", "ports", "ip6",
            "client_limits", "server_limits", "boards", "scratch",
            "client", "server", "connect_histogram", "lifetime_histogram",
            "mac", *(FRAMING.names or ()), "core", "first_local", "n_local", "local",
            "kernel_side", "first_client_port", "last_client_port",
            "steering", "n_listen", "listen", "n_targets", "targets", "next_target", "next_local",
            "n_ip4", "next_local_ip6", "record_ips",
            "is_client", "wanted", "max_open", "started", "paused",
            "isn_key0", "isn_key1", "isn_clock", *(SECRET.names or ()),
            "request", "own_payload", "named_len", "expect", "expect_len", "response_kind", "response",
            "response_len", "response_head_len", "echo", "echo_mask", "echo_stride", "echo_rings", "hold_ms",
            "fin_by_client", "fin_by_server", "message_len",
            "transfers", "transfer_pool", "paces", "served", "window", "read_rate", "app_wheel", "think_ms",
            "client_transfers", "server_transfers", "client_send", "client_receive", "server_send", "server_receive", "rounds",
            "half_close", "headed", "sends_pattern", "template", "template_len", "fill_hook", "check_hook", "interval_bytes",
            "tw_ring", "tw_mask", "tw_head", "tw_tail", "tw_limit",
            "owing", "owing_turns", "turn_at", "late_cycles", "catching_up",
            "records", "record_mask", "record_head", "record_tail", "closing",
            "half_open", "syn_backlog", "cookies_until", "local_ranges", "n_local_ranges", "first_range",
        )
    ]
    + [("us_per_cycle", "f8"), ("ns_per_cycle", "f8"), ("per_cycle", "f8")]
)  # fmt: skip
"""Addresses, sizes and settings; `per_cycle` is the connections due per cycle (0: as fast as possible). IPv6 addresses stand
everywhere by their numbers in the table `ip6`; `local` has the n_ip4 of IPv4 first. `first_local` is the first one of IPv4."""

TARGET = np.dtype([("ip", "i8"), ("port", "i8"), ("neighbour", "i8")])
"""A server to connect to; `neighbour` is the address of a 64-bit word that holds the next hop's MAC, 0 while it is not known."""

RESPONSE_AUTO, RESPONSE_ECHO, RESPONSE_FIXED = range(3)


@kernel
def limits_of(eng, conn):
    """The address of the limits of the connection's role."""
    return i64(eng.client_limits) if i64(conn.bits) & CLIENT else i64(eng.server_limits)


@kernel
def conn_at(eng, slot):
    """The connection in *slot*."""
    return record_at(i64(eng.conns) + slot * SPACING, CONN)


@kernel
def cold_at(eng, slot):
    """Its congestion state."""
    return record_at(i64(eng.colds) + slot * 192, COLD)


@kernel
def app_at(eng, slot):
    """Its application side."""
    return record_at(i64(eng.conns) + slot * SPACING + _APP_AT, APP)


@kernel
def transfer_of(eng, app):
    """The connection's transfer, if it is one (APP_TRANSFER)."""
    return record_at(i64(eng.transfers) + i64(app.transfer) * 40, TRANSFER)


@kernel
def pace_of(eng, app):
    """Its pace; only where there is an `app_wheel`."""
    return record_at(i64(eng.paces) + i64(app.transfer) * 16, PACE)


@kernel
def history_at(eng, slot):
    """Its states so far; only while records are kept."""
    return record_at(i64(eng.histories) + slot * 64, HISTORY)


@kernel
def addresses_at(eng):
    """The table of IPv6 addresses."""
    return record_at(i64(eng.ip6), ADDRESSES)


@inlined
def identity(eng, ip):
    """32 bits that stand for the address for ever: numbers of IPv6 addresses are given anew."""
    return ip if ip < FIRST_NUMBER else digest(octets_of(addresses_at(eng), ip), i64(eng.isn_key0), i64(eng.isn_key1))


@inlined
def first_number(eng, local_ip, local_port, peer_ip, peer_port):
    """The initial sequence number of a connection that begins now, which keeps its peer in the table of IPv6 addresses."""
    if unlikely(peer_ip >= FIRST_NUMBER):
        return _first_number_ip6(eng, local_ip, local_port, peer_ip, peer_port)
    return initial(eng, local_ip, local_port, peer_ip, peer_port, i64(eng.now_us) + i64(eng.isn_clock))


@rare
def _first_number_ip6(eng, local_ip, local_port, peer_ip, peer_port):
    hold(addresses_at(eng), peer_ip)
    now = i64(eng.now_us) + i64(eng.isn_clock)
    return initial(eng, identity(eng, local_ip), local_port, identity(eng, peer_ip), peer_port, now)


assert (CONN.itemsize, COLD.itemsize, APP.itemsize, HISTORY.itemsize) == (64, 192, 64, 64)
assert (TRANSFER.itemsize, PACE.itemsize) == (40, 16)


@kernel
def new_app(app, hashed, ip_sum, peer_mac, due):
    """The application side of a fresh connection."""
    app.due = due
    app.hash = hashed
    app.ip_sum = ip_sum
    app.peer_mac = peer_mac
    app.uid = 0
    app.sent_messages = 0
    app.received_messages = 0
    app.pending = 0
    app.reply = 0
    app.app_bits = 0
    app.sent_payloads = 0
    app.received_payloads = 0
    app.matched = 0
    app.terminator = 0
    app.n_states = 0


@kernel
def bump(counters, k, n):
    """Add *n* to counter *k* of a role."""
    store64(counters + k * 8, load64(counters + k * 8) + n)


@kernel
def peek(counters, k):
    """Counter *k* of a role."""
    return load64(counters + k * 8)


@inlined
def is_local(eng, ip):
    """Is *ip* an IPv4 address of this core's?"""
    first = ip - i64(eng.first_local) & 0xFFFFFFFF
    return first < i64(eng.first_range) or _in_ranges(i64(eng.local_ranges), i64(eng.n_local_ranges), ip)


@kernel
def _in_ranges(words, n, ip):
    """Is *ip* in one of the *n* ranges, each its first address and how many there are?"""
    for i in range(n):
        if 0 <= ip - load64(words + i * 16) < load64(words + i * 16 + 8):
            return True
    return False


@inlined
def is_listening(eng, ip, port):
    """Does this core accept connections on *port* of its address *ip*? Most listen on one port."""
    listen = i64(eng.listen)
    return load64(listen) == port or _is_among(listen, i64(eng.n_listen), ip, port)


@kernel
def _is_among(listen, n, ip, port):
    """Is *port*, or *port* of *ip*, among the *n* words?"""
    for i in range(n):
        word = load64(listen + i * 8)
        if word == port or word == ip << 16 | port:
            return True
    return False
