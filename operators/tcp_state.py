"""tcp_check and tcp_state: verify a TCP segment, take it to its connection, and send what the connection answers."""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import inlined, kernel, rare
from dpdk_io.mbuf import data
from dpdk_io.memory import be16, i64, load8, record_at
from operators.accounting import count_established, count_opened, count_reset_sent, count_text, role_counters
from operators.aggregate import may_wait
from operators.connections import answer, release, settle, transmit, welcome
from operators.engine import (
    APP_ACTIVE,
    APP_FIN_SEEN,
    APP_HALF_OPEN,
    BYTES_RECEIVED,
    ENGINE,
    RECV_SYN,
    UNEXPECTED,
    URGENT,
    addresses_at,
    app_at,
    bump,
    cold_at,
    conn_at,
    first_number,
    is_listening,
    is_local,
    limits_of,
    new_app,
)  # fmt: skip
from operators.frames import address_sum, source_mac, write_headers
from operators.syn_cookies import NO_ROOM, by_cookie, send_cookie
from operators.tally import noted, tally_received
from operators.wire import ETH_HEADER
from operators.workload import begin, deliver, deliver_early, end, reveal, update_window
from pipeline import DROP, KEEP, NEXT, SLOW, operator, send
from tcp.checksum import tcp_intact
from tcp.connection import CLOSE_WAIT
from tcp.events import (
    EV_DATA,
    EV_EARLY,
    EV_ESTABLISHED,
    EV_FIN,
    EV_MORE,
    EV_OUT_OF_ORDER,
    EV_REUSE,
    EV_REVEALED,
    EV_RST_DUE,
    EV_SYN,
    EV_URGENT,
)  # fmt: skip
from tcp.expected import REFUSED, receive_expected
from tcp.handshake import receive_syn_ack
from tcp.header import HEADER_LEN, parse_options
from tcp.header import URGENT as URGENT_POINTER
from tcp.index import INDEX, insert, lookup, prefetch_entry, tuple_hash
from tcp.ip6 import FIRST_NUMBER
from tcp.limits import LIMITS
from tcp.open import listen
from tcp.receive import receive
from tcp.reset import reset_for
from tcp.segment import ACK, SEGMENT, SYN
from tcp.slots import SLOTS, take_slot


@operator(
    reads=("l3", "l4", "payload", "payload_len", "src", "dst", "sport", "dport"),
    writes=[
        ("opts", "u1"),
        ("wscale", "u1"),
        ("mss", "u2"),
        ("ts_val", "u4"),
        ("ts_ecr", "u4"),
        ("sack_at", "i8"),
        ("tcp_hash", "u4"),
    ],
    drops=("checksum", "bad_options", "foreign", "tagged", "bad_source"),
)
def tcp_check(pkt, meta, state, tcp):
    """Verify a TCP segment: address, checksum, options. Its connection's index entry is asked for: a Stage should follow."""
    eng = record_at(tcp, ENGINE)
    if unlikely(not is_local(eng, i64(meta.dst))):
        if eng.kernel_side:
            return SLOW
        state.foreign += 1
        return DROP
    if unlikely(i64(meta.l3) != ETH_HEADER):
        state.tagged += 1
        return DROP
    if unlikely(i64(meta.src) >= FIRST_NUMBER):
        state.bad_source += 1
        return DROP
    l4 = i64(meta.l4)
    header = i64(meta.payload) - l4
    length = header + i64(meta.payload_len)
    if unlikely(not tcp_intact(pkt + ETH_HEADER, pkt + l4, length)):
        state.checksum += 1
        return DROP
    meta.opts = 0
    if unlikely(header > HEADER_LEN) and not parse_options(pkt + l4 + HEADER_LEN, header - HEADER_LEN, meta):
        state.bad_options += 1
        return DROP
    index = record_at(i64(eng.index), INDEX)
    hashed = tuple_hash(i64(index.seed), i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    prefetch_entry(index, hashed)
    meta.tcp_hash = hashed
    return NEXT


@operator(
    reads=("l4", "payload", "payload_len", "src", "dst", "sport", "dport", "seq", "ack", "wnd", "tcp_flags", "opts", "tcp_hash"),
    writes=[("accepted", "u4"), ("skip", "u4"), ("early", "u4"), ("revealed", "u4"), ("urp", "u2"), ("tos", "u1")],
    drops=("table_full", "bad_source"),
)
def tcp_state(mbuf, meta, following, state, now, out, tcp):
    """Run TCP: find the segment's connection, change its state, send its answer; a SYN to an open port begins a connection."""
    eng = record_at(tcp, ENGINE)
    index = record_at(i64(eng.index), INDEX)
    slot = lookup(index, i64(meta.tcp_hash), i64(eng.conns), i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    if unlikely(slot < 0):
        if i64(eng.now_us) < i64(eng.cookies_until):
            slot = by_cookie(eng, data(mbuf), meta, now)
        if slot == NO_ROOM:
            state.table_full += 1
            return DROP
        if slot < 0:
            return _unknown(eng, mbuf, meta, state, now, out)
    conn, app = conn_at(eng, slot), app_at(eng, slot)
    counters = role_counters(eng, conn)
    limits = record_at(limits_of(eng, conn), LIMITS)
    events = receive_expected(conn, meta, limits, i64(eng.now_us))
    if unlikely(events == REFUSED):
        events = receive_syn_ack(conn, meta, limits, i64(eng.now_us))
    if unlikely(events == REFUSED):
        events = noted(_receive_unusual(eng, counters, data(mbuf), meta, conn, app, slot, limits), i64(meta.tcp_flags))
        if events & EV_REUSE:
            release(eng, conn, app, slot)
            return _unknown(eng, mbuf, meta, state, now, out)
    events = _hand_over(eng, counters, mbuf, meta, conn, app, slot, limits, events, now)
    if unlikely(events & (EV_RST_DUE | EV_MORE) != 0):
        verdict = _answer_unusual(eng, out, mbuf, meta, following, counters, conn, app, slot, events, now)
    else:
        verdict = answer(eng, counters, out, conn, app, slot, mbuf, now)
    settle(eng, counters, out, conn, app, slot, events, now)
    return verdict


@inlined
def _receive_unusual(eng, counters, pkt, meta, conn, app, slot, limits):
    """`receive`, for what is refused as not expected: with what else of the headers it asks for. The events."""
    second = load8(pkt + ETH_HEADER + 1)  # of IPv6, the low half of the traffic class and the flow label's first bits
    meta.tos = second >> 4 if i64(meta.src) >= FIRST_NUMBER else second
    meta.urp = be16(pkt + i64(meta.l4) + URGENT_POINTER)
    events = receive(conn, cold_at(eng, slot), meta, limits, i64(eng.now_us))
    if events & (EV_URGENT | EV_OUT_OF_ORDER) or i64(meta.revealed):
        events = _note_unusual(eng, counters, pkt, meta, conn, app, slot, events)
    return events | EV_MORE if events & EV_DATA else events


@inlined
def _hand_over(eng, counters, mbuf, meta, conn, app, slot, limits, events, now):
    """Count the segment, and give its content to the application; the events, with those that this adds."""
    tally_received(counters, i64(conn.state), events)
    if events & EV_ESTABLISHED:
        count_established(eng, conn, app, now)
        begin(eng, conn, app, slot)
    if events & EV_DATA:
        count_text(counters, app, i64(meta.accepted))
        if not events & EV_EARLY:
            address = data(mbuf) + i64(meta.payload) + i64(meta.skip)
            events |= deliver(eng, conn, app, slot, address, i64(meta.accepted), i64(meta.tcp_flags))
            if events & EV_REVEALED:
                reveal(eng, conn, app, slot, i64(meta.revealed))
    if events & EV_FIN:
        app.app_bits = i64(app.app_bits) | (APP_FIN_SEEN if i64(conn.state) == CLOSE_WAIT else APP_FIN_SEEN | APP_ACTIVE)
        end(eng, conn, app)
    update_window(eng, conn, app, slot, limits)
    return events


@rare
def _note_unusual(eng, counters, pkt, meta, conn, app, slot, events):
    """Urgent data is counted. What came early is taken at its place; its bytes count when it is their turn."""
    if events & EV_URGENT:
        bump(counters, URGENT, 1)
    if events & EV_OUT_OF_ORDER and i64(meta.accepted):
        address = pkt + i64(meta.payload) + i64(meta.skip)
        deliver_early(eng, conn, app, slot, address, i64(meta.early), i64(meta.accepted))
        meta.accepted = 0
        return events & ~EV_OUT_OF_ORDER | EV_DATA | EV_EARLY
    if i64(meta.revealed):
        bump(counters, BYTES_RECEIVED, i64(meta.revealed))
        events |= EV_REVEALED
    return events


@rare
def _answer_unusual(eng, out, mbuf, meta, following, counters, conn, app, slot, events, now):
    """An RST; or what the connection has to send, unless that comes later. The verdict."""
    if events & EV_RST_DUE:
        used = _reset(eng, out, mbuf, meta, counters)
    elif may_wait(eng, out, conn, cold_at(eng, slot), slot, meta, following):
        used = False
    else:
        used = transmit(eng, out, conn, app, slot, mbuf, now)
    return i64(KEEP if used else DROP)


@kernel
def _unknown(eng, mbuf, meta, state, now, out):
    """A segment for no connection. A SYN to an open port begins one, what has neither SYN nor ACK is dropped there (RFC 9293
    section 3.10.7.2), anything else is answered with an RST (section 3.10.7.1). The verdict."""
    counters = i64(eng.server)
    port = i64(meta.dport)
    open_port = is_listening(eng, i64(meta.dst), port)
    if eng.kernel_side and not open_port and not i64(eng.first_client_port) <= port <= i64(eng.last_client_port):
        return i64(SLOW)
    if _is_bad_source(meta):
        state.bad_source += 1
        return i64(DROP)
    if i64(meta.tcp_flags) & SYN and open_port and listen(meta) & EV_SYN:
        if i64(eng.half_open) >= i64(eng.syn_backlog):
            return i64(KEEP if send_cookie(eng, out, data(mbuf), mbuf, meta) else DROP)
        return _accept(eng, out, mbuf, meta, state, now)
    bump(counters, UNEXPECTED, 1)
    if open_port and not i64(meta.tcp_flags) & (SYN | ACK):
        return i64(DROP)
    return i64(KEEP if _reset(eng, out, mbuf, meta, counters) else DROP)


@inlined
def _is_bad_source(meta):
    """Nobody can be answered at 0/8, 127/8, or a group or broadcast address (RFC 9293 section 3.9.2.3), nor at the very place the
    segment is for."""
    net = i64(meta.src) >> 24  # class E: tcp_check drops it, and tcp6_check takes it for IPv6's
    return net == 0 or net == 127 or 224 <= net < 240 or (i64(meta.src) == i64(meta.dst) and i64(meta.sport) == i64(meta.dport))


@inlined
def _accept(eng, out, mbuf, meta, state, now):
    """A SYN begins a connection, if there is room for one. The verdict."""
    hashed = i64(meta.tcp_hash)
    slots = record_at(i64(eng.slots), SLOTS)
    slot = take_slot(slots) if not i64(eng.closing) else i64(-1)
    if slot < 0:
        state.table_full += 1
        return i64(DROP)
    insert(record_at(i64(eng.index), INDEX), hashed, slot)
    iss = first_number(eng, i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport))
    app = app_at(eng, slot)
    new_app(app, hashed, address_sum(eng, i64(meta.dst), i64(meta.src)), source_mac(data(mbuf)), now)
    app.app_bits = i64(APP_HALF_OPEN)
    eng.half_open = i64(eng.half_open) + 1
    counters = i64(eng.server)
    bump(counters, RECV_SYN, 1)
    count_opened(counters, i64(1))
    return welcome(eng, out, app, slot, mbuf, meta, iss, now)


@rare
def _reset(eng, out, mbuf, meta, counters):
    """Answer with an RST, in place. False: nothing is to be sent."""
    seg = record_at(i64(eng.scratch), SEGMENT)
    if not reset_for(meta, seg):
        return False
    peer_mac = source_mac(data(mbuf))
    ip, port, peer_ip, peer_port = i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport)
    write_headers(addresses_at(eng), mbuf, seg, eng, peer_mac, ip, port, peer_ip, peer_port)
    count_reset_sent(counters)
    send(out, mbuf)
    return True
