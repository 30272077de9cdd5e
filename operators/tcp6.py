"""tcp6_check and ip6_sweep: verify a TCP segment over IPv6, and number its addresses for `tcp_state`."""

from __future__ import annotations

from dpdk_io.memory import i64, record_at
from operators import wire
from operators.engine import ENGINE, addresses_at
from pipeline import DROP, NEXT, SLOW, operator, tick
from tcp.checksum import tcp6_intact
from tcp.header import HEADER_LEN, parse_options
from tcp.index import INDEX, prefetch_entry, tuple_hash
from tcp.ip6 import NOT_THERE, find, intern, is_host, is_ours, sweep


@operator(
    reads=("l3", "l4", "payload", "payload_len", "sport", "dport"),
    writes=[
        ("src", "u4"), ("dst", "u4"), ("opts", "u1"), ("wscale", "u1"), ("mss", "u2"), ("ts_val", "u4"), ("ts_ecr", "u4"),
        ("sack_at", "i8"), ("tcp_hash", "u4"),
    ],
    drops=("checksum", "bad_options", "foreign", "tagged", "bad_source", "addresses_full"),
)  # fmt: skip
def tcp6_check(pkt, meta, state, tcp):
    """Verify a TCP segment over IPv6: addresses, checksum, options. src and dst become the addresses' numbers.

    The numbers hold for this burst: `ip6_sweep` must run once a turn, and tcp_state within it.
    """
    eng = record_at(tcp, ENGINE)
    table = addresses_at(eng)
    ip, l4 = pkt + i64(meta.l3), pkt + i64(meta.l4)
    ours = find(table, ip + wire.IP6_DST)
    if not is_ours(table, ours):
        if eng.kernel_side:
            return SLOW
        state.foreign += 1
        return DROP
    if i64(meta.l3) != wire.ETH_HEADER:
        state.tagged += 1
        return DROP
    if not is_host(ip + wire.IP6_SRC):
        state.bad_source += 1
        return DROP
    header = i64(meta.payload) - i64(meta.l4)
    length = header + i64(meta.payload_len)
    if not tcp6_intact(ip, l4, length):
        state.checksum += 1
        return DROP
    meta.opts = 0
    if header > HEADER_LEN and not parse_options(l4 + HEADER_LEN, header - HEADER_LEN, meta):
        state.bad_options += 1
        return DROP
    peer = intern(table, ip + wire.IP6_SRC)
    if peer == NOT_THERE:
        state.addresses_full += 1
        return DROP
    index = record_at(i64(eng.index), INDEX)
    hashed = tuple_hash(i64(index.seed), ours, i64(meta.dport), peer, i64(meta.sport))
    prefetch_entry(index, hashed)
    meta.src = peer
    meta.dst = ours
    meta.tcp_hash = hashed
    return NEXT


@tick(state=[("swept", "i8")])
def ip6_sweep(state, tcp):
    """Forget the IPv6 addresses of the turn before that belong to no connection."""
    state.swept += sweep(addresses_at(record_at(tcp, ENGINE)))
    return i64(0)
