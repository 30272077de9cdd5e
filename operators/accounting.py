"""Exact counters: each event of a connection is counted once, whatever is lost, repeated or combined on the way."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.memory import copy, i64, load64, put_be32, record_at, store64
from operators.engine import (
    APP_FIN_SEEN,
    APP_FINISHED,
    APP_MISMATCH,
    APP_SHORT,
    ATTEMPTED,
    BYTES_RECEIVED,
    BYTES_SENT,
    CAUSE_UNKNOWN,
    COMPLETED,
    EXPECTED,
    FAILED,
    MAX_OPEN,
    NOT_EXPECTED,
    OPEN,
    RECORD,
    RECORDS_LOST,
    SENT_FIN,
    SENT_FIN_PSSV,
    SENT_RST,
    addresses_at,
    bump,
    history_at,
    peek,
)  # fmt: skip
from operators.tally import AGAIN, TEXT, tally_sent
from pipeline.histogram import bucket_of
from tcp.connection import CLIENT
from tcp.ip6 import FIRST_NUMBER, octets_of
from tcp.segment import ACK, FIN, SYN


@kernel
def role_counters(eng, conn):
    """The counters of the connection's role."""
    return i64(eng.client) if i64(conn.bits) & CLIENT else i64(eng.server)


@inlined
def count_established(eng, conn, app, now):
    """A connection is established; of a client's, how long that took."""
    if i64(conn.bits) & CLIENT:
        _observe(i64(eng.connect_histogram), i64(app.due), now, eng)


@inlined
def count_text(counters, app, length):
    """*length* bytes have come in a segment."""
    bump(counters, BYTES_RECEIVED, length)
    app.received_payloads += 1


@inlined
def _observe(histogram, start, now, eng):
    """Count the time from *start* to *now* (cycles) in a histogram of nanoseconds."""
    place = histogram + bucket_of((now - start) * eng.ns_per_cycle) * 8
    store64(place, load64(place) + 1)


@inlined
def count_sent(counters, app, flags, length):
    """Count a segment that is about to leave for the first time."""
    kind = flags & (FIN | SYN | ACK)
    if length:
        count_text_sent(counters, app, length)
        kind |= TEXT
    app.app_bits = tally_sent(counters, i64(app.app_bits), kind)


@inlined
def count_text_sent(counters, app, length):
    """The *length* bytes of text in a segment that leaves for the first time."""
    bump(counters, BYTES_SENT, length)
    app.sent_payloads += 1


@rare
def count_repeated(counters, app, seg):
    """Count a segment part of which was sent before. What is new in it, bytes or a FIN, counts."""
    flags = i64(seg.tcp_flags)
    app.app_bits = tally_sent(counters, i64(app.app_bits), flags & (SYN | ACK) | AGAIN)
    fresh = i64(seg.payload_len) - i64(seg.repeated)
    if fresh > 0:
        bump(counters, BYTES_SENT, fresh)
    if flags & FIN and fresh >= 0:
        _count_fin(counters, app)


@kernel
def _count_fin(counters, app):
    """The first time that it leaves."""
    bump(counters, SENT_FIN_PSSV if i64(app.app_bits) & APP_FIN_SEEN else SENT_FIN, 1)


@kernel
def count_opened(counters, n):
    """*n* more connections are attempted."""
    bump(counters, ATTEMPTED, n)
    now_open = peek(counters, OPEN) + n
    store64(counters + OPEN * 8, now_open)
    if now_open > peek(counters, MAX_OPEN):
        store64(counters + MAX_OPEN * 8, now_open)


@inlined
def count_completed(eng, counters, conn, app, slot, cause, now):
    """A connection is over, but for TIME_WAIT; counted once."""
    bits = i64(app.app_bits)
    if bits & APP_FINISHED:
        return
    _count_end(counters, app, bits, cause)
    bump(counters, COMPLETED, 1)
    if i64(conn.bits) & CLIENT:
        _count_in_interval(eng)
        _observe(i64(eng.lifetime_histogram), i64(app.due), now, eng)
        bump(counters, NOT_EXPECTED if _is_amiss(eng, app, bits) else EXPECTED, 1)
    else:
        if not i64(eng.is_client):
            _count_in_interval(eng)
        if bits & (APP_MISMATCH | APP_SHORT):
            bump(counters, NOT_EXPECTED, 1)
    if i64(eng.records):
        _write_record(eng, counters, conn, app, slot, cause)


@rare
def count_failed(eng, conn, app, slot, cause):
    """A connection was reset or given up; counted once, and not when it had completed."""
    bits, counters = i64(app.app_bits), role_counters(eng, conn)
    if bits & APP_FINISHED:
        return
    _count_end(counters, app, bits, cause)
    bump(counters, FAILED, 1)
    if bits & (APP_MISMATCH | APP_SHORT) or (i64(conn.bits) & CLIENT and _is_amiss(eng, app, bits)):
        bump(counters, NOT_EXPECTED, 1)
    if i64(eng.records):
        _write_record(eng, counters, conn, app, slot, cause)


@inlined
def _count_end(counters, app, bits, cause):
    app.app_bits = bits | APP_FINISHED
    bump(counters, OPEN, -1)
    bump(counters, cause, 1)


@inlined
def _count_in_interval(eng):
    """One more has completed in this second."""
    bump(i64(eng.intervals) + i64(eng.interval) * 16, 1, 1)


@inlined
def _is_amiss(eng, app, bits):
    """Did a client's peer answer anything but what was expected of it, if anything was?"""
    return bits & (APP_MISMATCH | APP_SHORT) or i64(app.matched) < i64(eng.expect_len)


@rare
def note_state(eng, conn, app, slot, now):
    """Add the connection's state to its history when it has changed."""
    history = history_at(eng, slot)
    n = i64(app.n_states)
    state = i64(conn.state)
    if n == 0:
        history.first_at = now
    elif i64(history.states[n - 1]) == state:
        return
    if n < 7:
        history.states[n] = state
        if n > 0:
            history.deltas[n - 1] = min(i64((now - i64(history.first_at)) * eng.us_per_cycle), 0xFFFFFFFF)
        app.n_states = n + 1


@rare
def _write_record(eng, counters, conn, app, slot, cause):
    """Append to the ring that Python empties; a full ring loses the record, counted."""
    head = i64(eng.record_head)
    if head - i64(eng.record_tail) > i64(eng.record_mask):
        bump(counters, RECORDS_LOST, 1)
        return
    client = i64(conn.bits) & CLIENT
    history = history_at(eng, slot)
    record = record_at(i64(eng.records) + (head & i64(eng.record_mask)) * 64, RECORD)
    record.start_us = i64((i64(history.first_at) - i64(eng.begun)) * eng.us_per_cycle)
    if i64(eng.record_ips):
        _write_ips(eng, conn, i64(eng.record_ips) + (head & i64(eng.record_mask)) * 32)
    record.uid = i64(app.uid)
    record.client_ip = i64(conn.local_ip if client else conn.peer_ip)
    record.server_ip = i64(conn.peer_ip if client else conn.local_ip)
    record.client_port = i64(conn.local_port if client else conn.peer_port)
    record.server_port = i64(conn.peer_port if client else conn.local_port)
    record.role = 0 if client else 1
    record.cause = cause - CAUSE_UNKNOWN
    record.core = i64(eng.core)
    n = i64(app.n_states)
    record.n_states = n
    for i in range(8):
        record.states[i] = i64(history.states[i]) if i < n else 0
    for i in range(6):
        record.deltas[i] = i64(history.deltas[i]) if i < n - 1 else 0
    record.sent_payloads = min(i64(app.sent_payloads), 0xFFFF)
    record.received_payloads = min(i64(app.received_payloads), 0xFFFF)
    eng.record_head = head + 1


@rare
def _write_ips(eng, conn, place):
    """The addresses of the client and of the server in 16 bytes each: a number may be another address's before it is read."""
    client = i64(conn.bits) & CLIENT
    _write_ip(eng, place, i64(conn.local_ip if client else conn.peer_ip))
    _write_ip(eng, place + 16, i64(conn.peer_ip if client else conn.local_ip))


@kernel
def _write_ip(eng, place, ip):
    """As on the wire; IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2)."""
    if ip >= FIRST_NUMBER:
        copy(place, octets_of(addresses_at(eng), ip), 16)
        return
    store64(place, i64(0))
    put_be32(place + 8, i64(0xFFFF))
    put_be32(place + 12, ip)


@kernel
def count_reset_sent(counters):
    """An RST of ours leaves."""
    bump(counters, SENT_RST, 1)
