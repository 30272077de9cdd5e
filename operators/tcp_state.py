"""tcp_check and tcp_state: verify a TCP segment, take it to its connection, and send what the connection answers."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import i64, record_at
from operators.accounting import count_opened, count_received, count_reset_sent, role_counters
from operators.connections import limits_of, release, settle, transmit
from operators.engine import (
    ENGINE,
    RECV_SYN,
    UNEXPECTED,
    app_at,
    bump,
    cold_at,
    conn_at,
    is_listening,
    is_local,
)  # fmt: skip
from operators.frames import source_mac, write_headers
from operators.wire import ETH_HEADER
from operators.workload import begin, deliver, end, update_window
from pipeline import DROP, KEEP, NEXT, SLOW, operator, send
from tcp.checksum import pseudo_sum_at, tcp_checksum
from tcp.events import EV_DATA, EV_ESTABLISHED, EV_FIN, EV_REUSE, EV_RST_DUE, EV_SYN
from tcp.header import HEADER_LEN, parse_options
from tcp.index import INDEX, insert, lookup, prefetch_entry, tuple_hash
from tcp.isn import initial
from tcp.limits import LIMITS
from tcp.open import accept, listen
from tcp.receive import receive
from tcp.reset import reset_for
from tcp.segment import SEGMENT, SYN
from tcp.slots import SLOTS, take_slot


@operator(
    reads=("l3", "l4", "payload", "payload_len", "src", "dst", "sport", "dport"),
    writes=[("opts", "u1"), ("wscale", "u1"), ("mss", "u2"), ("ts_val", "u4"), ("ts_ecr", "u4"), ("tcp_hash", "u4")],
    drops=("checksum", "bad_options", "foreign", "tagged"),
)
def tcp_check(pkt, meta, state, tcp):
    """Verify a TCP segment: address, checksum, options. Its connection's index entry is asked for: a Stage should follow."""
    eng = record_at(tcp, ENGINE)
    if not is_local(eng, i64(meta.dst)):
        if eng.kernel_side:
            return SLOW
        state.foreign += 1
        return DROP
    if i64(meta.l3) != ETH_HEADER:
        state.tagged += 1
        return DROP
    l4 = i64(meta.l4)
    header = i64(meta.payload) - l4
    length = header + i64(meta.payload_len)
    if tcp_checksum(pkt + l4, length, pseudo_sum_at(pkt + ETH_HEADER, length)) != 0:
        state.checksum += 1
        return DROP
    meta.opts = 0
    if header > HEADER_LEN and not parse_options(pkt + l4 + HEADER_LEN, header - HEADER_LEN, meta):
        state.bad_options += 1
        return DROP
    index = record_at(i64(eng.index), INDEX)
    hashed = tuple_hash(i64(index.seed), i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    prefetch_entry(index, hashed)
    meta.tcp_hash = hashed
    return NEXT


@operator(
    reads=("l4", "payload", "payload_len", "src", "dst", "sport", "dport", "seq", "ack", "wnd", "tcp_flags", "opts", "tcp_hash"),
    writes=[("accepted", "u4"), ("skip", "u4")],
    drops=("table_full",),
)
def tcp_state(pkt, mbuf, meta, state, now, out, tcp):
    """Run TCP: find the segment's connection, change its state, send its answer; a SYN to an open port begins a connection."""
    eng = record_at(tcp, ENGINE)
    index = record_at(i64(eng.index), INDEX)
    hashed = i64(meta.tcp_hash)
    slot = lookup(index, hashed, i64(eng.conns), i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    if slot >= 0:
        verdict = _arrive(eng, out, pkt, mbuf, meta, slot, now)
        if verdict != _AGAIN:
            return verdict
    return _no_connection(eng, out, pkt, mbuf, meta, state, hashed, now)


_AGAIN = -1
"""The segment is a SYN that may open the connection anew: the old one is gone."""


@inlined
def _arrive(eng, out, pkt, mbuf, meta, slot, now):
    """A segment for the connection in *slot*."""
    conn, cold, app = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot)
    limits = record_at(limits_of(eng, conn), LIMITS)
    events = receive(conn, cold, meta, limits, i64(eng.now_us))
    if events & EV_REUSE:
        release(eng, conn, app, slot)
        return i64(_AGAIN)
    count_received(eng, role_counters(eng, conn), conn, app, events, meta, now)
    if events & (EV_ESTABLISHED | EV_DATA | EV_FIN):
        if events & EV_ESTABLISHED:
            begin(eng, conn, app)
        if events & EV_DATA:
            address = pkt + i64(meta.payload) + i64(meta.skip)
            deliver(eng, conn, app, slot, address, i64(meta.accepted), i64(meta.tcp_flags))
        if events & EV_FIN:
            end(eng, conn, app)
    update_window(eng, conn, app)
    if events & EV_RST_DUE:
        used = _reset(eng, out, pkt, mbuf, meta, role_counters(eng, conn))
    else:
        used = transmit(eng, out, conn, cold, app, slot, limits, mbuf, now)
    settle(eng, out, conn, cold, app, slot, events, now)
    return i64(KEEP if used else DROP)


@kernel
def _no_connection(eng, out, pkt, mbuf, meta, state, hashed, now):
    """A SYN to an open port begins one; anything else is answered with an RST (RFC 9293 section 3.10.7.1)."""
    counters = i64(eng.server)
    port = i64(meta.dport)
    if eng.kernel_side and not is_listening(eng, port) and not i64(eng.first_client_port) <= port <= i64(eng.last_client_port):
        return i64(SLOW)
    if i64(meta.tcp_flags) & SYN and is_listening(eng, i64(meta.dport)) and listen(meta) & EV_SYN:
        return _accept(eng, out, pkt, mbuf, meta, state, hashed, now)
    bump(counters, UNEXPECTED, 1)
    return i64(KEEP if _reset(eng, out, pkt, mbuf, meta, counters) else DROP)


@kernel
def _accept(eng, out, pkt, mbuf, meta, state, hashed, now):
    slot = take_slot(record_at(i64(eng.slots), SLOTS)) if not i64(eng.closing) else i64(-1)
    if slot < 0 or not insert(record_at(i64(eng.index), INDEX), hashed, slot):
        state.table_full += 1
        return i64(DROP)
    conn, cold, app = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot)
    limits = record_at(i64(eng.server_limits), LIMITS)
    local_ip, peer_ip, local_port, peer_port = i64(meta.dst), i64(meta.src), i64(meta.dport), i64(meta.sport)
    iss = initial(i64(eng.isn_key0), i64(eng.isn_key1), local_ip, local_port, peer_ip, peer_port, i64(eng.now_us))
    accept(conn, meta, limits, local_ip, local_port, peer_ip, peer_port, i64(0), iss)
    new_app(app, hashed, source_mac(pkt), now)
    counters = i64(eng.server)
    bump(counters, RECV_SYN, 1)
    count_opened(counters)
    used = transmit(eng, out, conn, cold, app, slot, limits, mbuf, now)
    settle(eng, out, conn, cold, app, slot, i64(0), now)
    return i64(KEEP if used else DROP)


@kernel
def new_app(app, hashed, peer_mac, due):
    """The application side of a fresh connection."""
    app.due = due
    app.hash = hashed
    app.peer_mac = peer_mac
    app.uid = 0
    app.sent_messages = 0
    app.received_messages = 0
    app.pending = 0
    app.reply = 0
    app.matched = 0
    app.app_bits = 0
    app.terminator = 0
    app.n_states = 0
    app.sent_payloads = 0
    app.received_payloads = 0


@kernel
def _reset(eng, out, pkt, mbuf, meta, counters):
    """Answer with an RST, in place. False: nothing is to be sent."""
    seg = record_at(i64(eng.scratch), SEGMENT)
    if not reset_for(meta, seg):
        return False
    peer_mac = source_mac(pkt)
    write_headers(mbuf, seg, i64(eng.mac), peer_mac, i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    count_reset_sent(counters)
    send(out, mbuf)
    return True
