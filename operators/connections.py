"""The life of a connection in the engine's tables: from a free slot to sending what it has to say, its timer, and its end."""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import apart, inlined, kernel, rare
from dpdk_io.mbuf import data
from dpdk_io.memory import div64, i64, load64, record_at, store64
from operators.accounting import (
    count_completed,
    count_failed,
    count_repeated,
    count_reset_sent,
    count_sent,
    count_text_sent,
    note_state,
    role_counters,
)
from operators.echo import give_ring
from operators.engine import (
    APP_ACTIVE,
    APP_HALF_OPEN,
    APP_HELD,
    APP_POOLED,
    APP_PORT_RETURNED,
    APP_RING,
    APP_WAITS,
    CAUSE_ACTIVE_CLOSE,
    CAUSE_ACTIVE_RST,
    CAUSE_PASSIVE_CLOSE,
    CAUSE_PASSIVE_RST,
    CAUSE_TIMEOUT,
    MBUF_WAITS,
    TIME_WAIT_EVICTED,
    addresses_at,
    app_at,
    bump,
    cold_at,
    conn_at,
    limits_of,
)  # fmt: skip
from operators.frames import header_length, payload_at, text_sum, write_frame, write_frame_ip6, write_headers, write_syn
from operators.tally import tally_sent
from operators.transfer import give_transfer
from operators.workload import write_payload
from pipeline import DROP, KEEP, TX, send, take
from pipeline.outbox import has_spare
from tcp.board import give_board
from tcp.connection import ACK_ALONE, CLIENT, CLOSED, COLD_READY, TIME_WAIT, advertised
from tcp.events import EV_ABORTED, EV_CLOSED, EV_RESET, EV_RST_DUE, EV_TIME_WAIT, EV_TIMEOUT
from tcp.expected import FLAGS_AT, LENGTH, REFUSED, UNUSUAL, next_expected
from tcp.handshake import accept_expected, connect_expected
from tcp.header import WSCALE_WORD
from tcp.index import INDEX, remove
from tcp.ip6 import FIRST_NUMBER, let_go
from tcp.limits import LIMITS, own_mss
from tcp.open import accept, connect
from tcp.ports import PORTS, give_port
from tcp.reset import reset_of
from tcp.segment import ACK, PSH, SEGMENT, SYN
from tcp.seq import distance
from tcp.slots import SLOTS, give_slot
from tcp.transmit import next_segment, pending
from tcp.wheel import WHEEL, arm

_NO_SYN = ~(SYN << FLAGS_AT)
"""What `next_expected` says has none. To say so spares a question."""


@kernel
def act(eng, out, conn, app, slot, events, now):
    """Send what *conn* has to send, and `settle` it: where no packet came that asks for an answer."""
    transmit(eng, out, conn, app, slot, i64(0), now)
    settle(eng, role_counters(eng, conn), out, conn, app, slot, events, now)


@inlined
def start(eng, out, app, slot, local_ip, local_port, peer_ip, peer_port, iss, now):
    """Make the connection in *slot* a client, and send its SYN."""
    conn, limits = conn_at(eng, slot), record_at(i64(eng.client_limits), LIMITS)
    if unlikely(not has_spare(out)) or not connect_expected(
        conn, limits, local_ip, local_port, peer_ip, peer_port, iss, i64(eng.now_us)
    ):
        connect(conn, limits, local_ip, local_port, peer_ip, peer_port, iss)
        act(eng, out, conn, app, slot, i64(0), now)
        return
    mbuf = take(out)
    _write_syn(eng, i64(eng.client), limits, conn, app, slot, mbuf, i64(SYN), now)
    send(out, mbuf)


@inlined
def welcome(eng, out, app, slot, mbuf, meta, iss, now):
    """Make the connection in *slot* a server for the SYN in *mbuf*, and send its SYN-ACK in that, whose verdict it returns."""
    conn, limits = conn_at(eng, slot), record_at(i64(eng.server_limits), LIMITS)
    local_ip, local_port, peer_ip, peer_port = i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport)
    if unlikely(not accept_expected(conn, meta, limits, local_ip, local_port, peer_ip, peer_port, iss, i64(eng.now_us))):
        cold = cold_at(eng, slot)
        accept(conn, cold, meta, limits, local_ip, local_port, peer_ip, peer_port, iss, i64(eng.now_us))
        used = transmit(eng, out, conn, app, slot, mbuf, now)
        settle(eng, i64(eng.server), out, conn, app, slot, i64(0), now)
        return i64(KEEP if used else DROP)
    _write_syn(eng, i64(eng.server), limits, conn, app, slot, mbuf, i64(SYN | ACK), now)
    return i64(TX)


@inlined
def _write_syn(eng, counters, limits, conn, app, slot, mbuf, flags, now):
    """Make of *mbuf* the SYN, or SYN-ACK, of a connection whose handshake is as expected."""
    peer_ip = i64(conn.peer_ip)
    if unlikely(peer_ip >= FIRST_NUMBER):
        mss, scale, wnd = own_mss(conn, limits), WSCALE_WORD | i64(limits.rcv_shift), i64(limits.syn_wnd)
        ip, port, peer_port = i64(conn.local_ip), i64(conn.local_port), i64(conn.peer_port)
        write_frame_ip6(
            addresses_at(eng), mbuf, eng, flags, i64(conn.iss), i64(conn.rcv_nxt), wnd, mss, scale, i64(0), i64(0),
            i64(app.peer_mac), ip, port, peer_ip, peer_port,
        )  # fmt: skip
    else:
        write_syn(mbuf, eng, limits, conn, app, flags)
    tally_sent(counters, i64(0), flags)
    if unlikely(i64(eng.records) != 0):
        note_state(eng, conn, app, slot, now)
    arm(record_at(i64(eng.wheel), WHEEL), slot, i64(conn.deadline))


@inlined
def answer(eng, counters, out, conn, app, slot, mbuf, now):
    """Send what *conn* has to send, the first segment in *mbuf*, whose verdict it returns: TX, KEEP or DROP."""
    if unlikely(i64(conn.bits) & (ACK_ALONE | UNUSUAL) != 0):
        if i64(conn.bits) & ACK_ALONE:
            return _answer_apart(eng, counters, out, conn, app, slot, mbuf, now)
        return i64(KEEP) if transmit(eng, out, conn, app, slot, mbuf, now) else i64(DROP)
    seq = i64(conn.snd_nxt)
    word = next_expected(conn, i64(eng.now_us))
    if unlikely(word == REFUSED):
        return i64(KEEP) if transmit(eng, out, conn, app, slot, mbuf, now) else i64(DROP)
    if word:
        _write_expected(eng, counters, conn, app, slot, mbuf, seq, word & _NO_SYN)
    if unlikely(i64(eng.records) != 0):
        note_state(eng, conn, app, slot, now)
    return i64(TX) if word else i64(DROP)


@kernel
def _answer_apart(eng, counters, out, conn, app, slot, mbuf, now):
    """`answer` with an ACK of its own before anything else."""
    seq = i64(conn.snd_nxt)
    if unlikely(next_expected(conn, i64(eng.now_us)) != ACK << FLAGS_AT):
        return i64(KEEP) if transmit(eng, out, conn, app, slot, mbuf, now) else i64(DROP)
    _write_expected(eng, counters, conn, app, slot, mbuf, seq, i64(ACK << FLAGS_AT))
    send(out, mbuf)
    word = next_expected(conn, i64(eng.now_us)) if has_spare(out) else i64(REFUSED)
    if unlikely(word <= 0):
        transmit(eng, out, conn, app, slot, i64(0), now)
        return i64(KEEP)
    mbuf = take(out)
    _write_expected(eng, counters, conn, app, slot, mbuf, seq, word & _NO_SYN)
    send(out, mbuf)
    if unlikely(i64(eng.records) != 0):
        note_state(eng, conn, app, slot, now)
    return i64(KEEP)


@kernel
def transmit(eng, out, conn, app, slot, mbuf, now):
    """Send all that *conn* has to send now; the first segment goes into *mbuf* (0: none). True when *mbuf* was used.

    When there is no mbuf it goes on a millisecond later, or with the next segment that arrives.
    """
    counters = role_counters(eng, conn)
    given = mbuf
    while True:
        if mbuf == 0 and not has_spare(out):
            _wait_for_mbuf(counters, conn, app)
            break
        seq = i64(conn.snd_nxt)
        word = next_expected(conn, i64(eng.now_us))
        if word == 0 or (word == REFUSED and not _next_unusual(eng, conn, slot)):
            break
        if mbuf == 0:
            mbuf = take(out)
        if word != REFUSED:
            _write_expected(eng, counters, conn, app, slot, mbuf, seq, word & _NO_SYN)
        else:
            _write_unusual(eng, conn, app, slot, mbuf)
        send(out, mbuf)
        mbuf = i64(0)
        if word != ACK << FLAGS_AT and word != REFUSED:
            break
    if unlikely(i64(eng.records) != 0):
        note_state(eng, conn, app, slot, now)
    return given != 0 and mbuf == 0


@inlined
def _write_expected(eng, counters, conn, app, slot, mbuf, seq, word):
    """Make of *mbuf* a segment that is sent for the first time, and is no SYN. *word*: what `next_expected` says."""
    flags, length = word >> FLAGS_AT, word & LENGTH
    payload_sum = i64(0)
    if length:
        payload = data(mbuf) + payload_at(i64(conn.peer_ip))
        write_payload(eng, conn, app, slot, payload, distance(seq, i64(conn.iss)) - 1, length)
        payload_sum = text_sum(payload, length)
        count_text_sent(counters, app, length)
        flags |= PSH
    if unlikely(i64(conn.peer_ip) >= FIRST_NUMBER):
        ip, port, peer_ip, peer_port = i64(conn.local_ip), i64(conn.local_port), i64(conn.peer_ip), i64(conn.peer_port)
        write_frame_ip6(
            addresses_at(eng), mbuf, eng, flags, seq, i64(conn.rcv_nxt), advertised(conn), i64(0), i64(0), length, payload_sum,
            i64(app.peer_mac), ip, port, peer_ip, peer_port,
        )  # fmt: skip
    else:
        write_frame(mbuf, eng, conn, app, flags, seq, advertised(conn), length, payload_sum)
    app.app_bits = tally_sent(counters, i64(app.app_bits), flags)


@rare
def _next_unusual(eng, conn, slot):
    """`next_segment` into the scratch segment."""
    seg, limits = record_at(i64(eng.scratch), SEGMENT), record_at(limits_of(eng, conn), LIMITS)
    return pending(conn) and next_segment(conn, cold_at(eng, slot), seg, limits, i64(eng.now_us))


@rare
def _write_unusual(eng, conn, app, slot, mbuf):
    """Make of *mbuf* the scratch segment."""
    seg, counters = record_at(i64(eng.scratch), SEGMENT), role_counters(eng, conn)
    length = i64(seg.payload_len)
    if length:
        offset = distance(i64(seg.seq), i64(conn.iss)) - 1
        write_payload(eng, conn, app, slot, data(mbuf) + header_length(seg, i64(conn.peer_ip)), offset, length)
    _headers(eng, mbuf, seg, conn, app)
    _count_unusual(counters, app, seg)


@rare
def _count_unusual(counters, app, seg):
    if i64(seg.rexmit):
        count_repeated(counters, app, seg)
    else:
        count_sent(counters, app, i64(seg.tcp_flags), i64(seg.payload_len))


@rare
def _wait_for_mbuf(counters, conn, app):
    """`settle` has what is to be sent tried again."""
    if pending(conn):
        app.app_bits = i64(app.app_bits) | APP_WAITS
        bump(counters, MBUF_WAITS, 1)


@inlined
def _headers(eng, mbuf, seg, conn, app):
    write_headers(
        addresses_at(eng),
        mbuf,
        seg,
        eng,
        i64(app.peer_mac),
        i64(conn.local_ip),
        i64(conn.local_port),
        i64(conn.peer_ip),
        i64(conn.peer_port),
    )


@inlined
def settle(eng, counters, out, conn, app, slot, events, now):
    """After a segment or a timeout: note how the connection ended, and free its slot; or arm its timer."""
    if unlikely(events & (EV_CLOSED | EV_TIME_WAIT) != 0):
        _conclude(eng, counters, out, conn, app, slot, events, now)
        if i64(conn.state) == CLOSED:
            release(eng, conn, app, slot)
            return
    deadline = i64(conn.deadline)
    if unlikely(i64(app.app_bits) & (APP_HELD | APP_WAITS) != 0):
        deadline = _of_its_own(eng, conn, app)
    arm(record_at(i64(eng.wheel), WHEEL), slot, deadline)


@rare
def _of_its_own(eng, conn, app):
    """The deadline of a connection that is held, or that waits for mbufs: then the next millisecond. By then there are some,
    unless the port takes none."""
    if i64(app.app_bits) & APP_HELD:
        conn.deadline = i64(app.held_until)
    if not i64(app.app_bits) & APP_WAITS:
        return i64(conn.deadline)
    app.app_bits = i64(app.app_bits) & ~APP_WAITS
    return div64(i64(eng.now_us), 1000) + 1


@inlined
def _conclude(eng, counters, out, conn, app, slot, events, now):
    """Both sides have closed, or one has given up."""
    if unlikely(events & (EV_TIMEOUT | EV_RESET | EV_ABORTED) != 0):
        _fail(eng, out, conn, app, slot, events)
    else:
        cause = i64(CAUSE_ACTIVE_CLOSE if i64(app.app_bits) & APP_ACTIVE else CAUSE_PASSIVE_CLOSE)
        count_completed(eng, counters, conn, app, slot, cause, now)
    if events & EV_TIME_WAIT:
        _enter_time_wait(eng, conn, app, slot)


@rare
def _fail(eng, out, conn, app, slot, events):
    """It was reset or given up, unless it had completed before."""
    if events & EV_TIMEOUT and events & EV_RST_DUE:
        _send_reset(eng, out, conn, app, slot)
    reset = i64(CAUSE_PASSIVE_RST if events & EV_RESET else CAUSE_ACTIVE_RST)
    count_failed(eng, conn, app, slot, i64(CAUSE_TIMEOUT) if events & EV_TIMEOUT else reset)


@rare
def _send_reset(eng, out, conn, app, slot):
    """Tell the peer of a connection given up; without an mbuf it finds out by itself."""
    mbuf = take(out)
    if mbuf != 0:
        seg = record_at(i64(eng.scratch), SEGMENT)
        reset_of(conn, cold_at(eng, slot), seg)
        _headers(eng, mbuf, seg, conn, app)
        count_reset_sent(role_counters(eng, conn))
        send(out, mbuf)


@rare
def abandon(eng, out, conn, app, slot, now):
    """An RST instead of a FIN, for a connection that has done what it was for: it counts as completed."""
    _send_reset(eng, out, conn, app, slot)
    count_completed(eng, role_counters(eng, conn), conn, app, slot, i64(CAUSE_ACTIVE_RST), now)
    release(eng, conn, app, slot)


@kernel
def release(eng, conn, app, slot):
    """Free everything that belongs to the connection in *slot*."""
    conn.state = CLOSED  # so its deadline means nothing, which the wheel may hold still
    remove(record_at(i64(eng.index), INDEX), i64(app.hash), slot)
    if i64(conn.bits) & CLIENT:
        if not i64(app.app_bits) & APP_PORT_RETURNED:
            _return_port(eng, conn, app)
    elif i64(app.app_bits) & (APP_RING | APP_POOLED | APP_HALF_OPEN):
        _give_back(eng, app)
    if i64(conn.bits) & COLD_READY:
        give_board(conn, cold_at(eng, slot), record_at(limits_of(eng, conn), LIMITS))
    if i64(conn.peer_ip) >= FIRST_NUMBER:
        let_go(addresses_at(eng), i64(conn.peer_ip))
    give_slot(record_at(i64(eng.slots), SLOTS), slot)


@rare
def _give_back(eng, app):
    """Whatever a server's connection has on loan."""
    if i64(app.app_bits) & APP_HALF_OPEN:
        eng.half_open = i64(eng.half_open) - 1
    if i64(app.app_bits) & APP_RING:
        give_ring(eng, app)
    if i64(app.app_bits) & APP_POOLED:
        give_transfer(eng, app)


@kernel
def _return_port(eng, conn, app):
    app.app_bits = i64(app.app_bits) | APP_PORT_RETURNED
    give_port(record_at(i64(eng.ports) + i64(app.local_index) * 64, PORTS), i64(conn.local_port))


@inlined
def _enter_time_wait(eng, conn, app, slot):
    """A client's port goes back to the end of the queue at once; beyond the limit the oldest in TIME_WAIT makes room."""
    if i64(conn.bits) & CLIENT:
        _return_port(eng, conn, app)
    elif i64(app.app_bits) & (APP_RING | APP_POOLED):
        _give_back(eng, app)
    if i64(eng.tw_limit) == 0:
        conn.state = CLOSED
        return
    generation = i64(app.generation) + 1 & 0xFFFF
    app.generation = generation  # first: an old entry of this very slot would end the wait that begins
    head = i64(eng.tw_head)
    store64(i64(eng.tw_ring) + (head & i64(eng.tw_mask)) * 8, slot << 16 | generation)
    eng.tw_head = head + 1
    if head - i64(eng.tw_tail) >= i64(eng.tw_limit):
        _evict(eng)


@apart
def _evict(eng):
    """End the oldest wait; an entry whose slot has another connection by now is just forgotten."""
    tail = i64(eng.tw_tail)
    entry = load64(i64(eng.tw_ring) + (tail & i64(eng.tw_mask)) * 8)
    eng.tw_tail = tail + 1
    slot = entry >> 16
    conn, app = conn_at(eng, slot), app_at(eng, slot)
    if i64(conn.state) == TIME_WAIT and i64(app.generation) == entry & 0xFFFF:
        bump(role_counters(eng, conn), TIME_WAIT_EVICTED, 1)
        release(eng, conn, app, slot)
