"""SYN cookies: what a server does with SYNs when as many connections as it keeps half open are (RFC 4987 section 3.6).

It answers, and remembers nothing. The ACK that comes back proves that the peer is where it says; the connection is then made.
"""

from __future__ import annotations

from dpdk_io.jit import rare
from dpdk_io.memory import i64, record_at
from operators.accounting import count_opened, count_sent
from operators.engine import (
    APP_HALF_OPEN,
    RECV_SYN,
    SYN_COOKIES_ACCEPTED,
    SYN_COOKIES_SENT,
    addresses_at,
    app_at,
    bump,
    cold_at,
    conn_at,
    identity,
    is_listening,
    new_app,
)  # fmt: skip
from operators.frames import address_sum, source_mac, write_headers
from pipeline import send
from tcp.cookie import COOKIE_US, cookie, cookie_mss
from tcp.index import INDEX, insert
from tcp.ip6 import FIRST_NUMBER, hold
from tcp.limits import LIMITS, mss_over
from tcp.open import accept, default_mss
from tcp.segment import ACK, OPT_MSS, RST, SEGMENT, SYN
from tcp.seq import MASK, advance
from tcp.slots import SLOTS, take_slot

NO_ROOM = -2
"""A peer came back with a cookie of ours, and the table is full: it will try again."""


@rare
def send_cookie(eng, out, pkt, mbuf, meta):
    """Answer a SYN with a cookie, in place."""
    limits = record_at(i64(eng.server_limits), LIMITS)
    local_ip, local_port, peer_ip, peer_port = i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport)
    mss = i64(meta.mss) if i64(meta.opts) & OPT_MSS else default_mss(peer_ip)
    key0, key1, ours, theirs = i64(eng.isn_key0), i64(eng.isn_key1), identity(eng, local_ip), identity(eng, peer_ip)
    now = i64(eng.now_us) + i64(eng.isn_clock)
    seg = record_at(i64(eng.scratch), SEGMENT)
    seg.seq = cookie(key0, key1, ours, local_port, theirs, peer_port, i64(meta.seq), mss, now)
    seg.ack = advance(i64(meta.seq), 1)
    seg.wnd = min(i64(limits.rcv_wnd), 0xFFFF)
    seg.tcp_flags = SYN | ACK
    seg.opts = OPT_MSS
    seg.mss = mss_over(peer_ip, limits)
    seg.ect = 0
    seg.payload_len = 0
    seg.rexmit = 0
    write_headers(addresses_at(eng), mbuf, seg, eng, source_mac(pkt), local_ip, local_port, peer_ip, peer_port)
    bump(i64(eng.server), SYN_COOKIES_SENT, 1)
    eng.cookies_until = i64(eng.now_us) + COOKIE_US
    send(out, mbuf)
    return True


@rare
def by_cookie(eng, pkt, meta, now):
    """The slot of the connection that the segment's ACK makes, in SYN_RECEIVED for it; -1 if it has no cookie, or NO_ROOM."""
    if i64(meta.tcp_flags) & (SYN | RST | ACK) != ACK or not is_listening(eng, i64(meta.dst), i64(meta.dport)):
        return i64(-1)
    local_ip, local_port, peer_ip, peer_port = i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport)
    irs, iss, clock = advance(i64(meta.seq), -1), advance(i64(meta.ack), -1), i64(eng.now_us) + i64(eng.isn_clock)
    key0, key1, ours, theirs = i64(eng.isn_key0), i64(eng.isn_key1), identity(eng, local_ip), identity(eng, peer_ip)
    mss = cookie_mss(key0, key1, ours, local_port, theirs, peer_port, irs, iss, clock)
    if mss == 0:
        return i64(-1)
    slots = record_at(i64(eng.slots), SLOTS)
    slot = take_slot(slots)
    if slot < 0:
        return i64(NO_ROOM)
    insert(record_at(i64(eng.index), INDEX), i64(meta.tcp_hash), slot)
    _fill(eng, pkt, meta, slot, irs, iss, mss, now)
    return slot


@rare
def _fill(eng, pkt, meta, slot, irs, iss, mss, now):
    """Make the connection as its SYN and our SYN-ACK would have, and count them."""
    conn, cold, app, counters = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot), i64(eng.server)
    syn, limits = record_at(i64(eng.scratch), SEGMENT), record_at(i64(eng.server_limits), LIMITS)
    syn.seq = irs
    syn.wnd = i64(meta.wnd)
    syn.tcp_flags = SYN
    syn.opts = OPT_MSS
    syn.mss = mss
    local_ip, local_port, peer_ip, peer_port = i64(meta.dst), i64(meta.dport), i64(meta.src), i64(meta.sport)
    accept(conn, cold, syn, limits, local_ip, local_port, peer_ip, peer_port, iss, i64(eng.now_us))
    if i64(meta.src) >= FIRST_NUMBER:
        hold(addresses_at(eng), i64(meta.src))
    conn.snd_nxt = (iss + 1) & MASK
    new_app(app, i64(meta.tcp_hash), address_sum(eng, local_ip, peer_ip), source_mac(pkt), now)
    app.app_bits = i64(APP_HALF_OPEN)
    eng.half_open = i64(eng.half_open) + 1
    bump(counters, RECV_SYN, 1)
    bump(counters, SYN_COOKIES_ACCEPTED, 1)
    count_opened(counters, i64(1))
    count_sent(counters, app, i64(SYN | ACK), i64(0))
