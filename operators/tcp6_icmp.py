"""tcp6_icmp: take ICMPv6 errors (RFC 4443) to the connections whose segments they quote.

What TCP makes of an error is the same over both families: each is told as the one of IPv4 that means it.
"""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import be16, be32, i64, load8, record_at
from operators import wire
from operators.connections import act, limits_of
from operators.engine import ENGINE, addresses_at, app_at, cold_at, conn_at
from operators.icmp6 import icmp6_checksum
from operators.parse import ICMP6
from pipeline import DROP, NEXT, operator
from tcp.header import DESTINATION, SEQ, SOURCE
from tcp.icmp import (
    FRAGMENTATION_NEEDED,
    PARAMETER_PROBLEM,
    PORT_UNREACHABLE,
    PROTOCOL_UNREACHABLE,
    TIME_EXCEEDED,
    UNREACHABLE,
    on_icmp,
)
from tcp.index import INDEX, lookup, tuple_hash
from tcp.ip6 import NOT_THERE, find, is_ours
from tcp.limits import LIMITS

_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED, _PARAMETER = 1, 2, 3, 4
_PORT, _NEXT_HEADER = 4, 1
_MTU = 4
_MOST_MTU = 0xFFFF
_QUOTED = wire.IP6_HEADER + 8
"""Bytes of the quoted packet that are needed: TCP's ports and sequence number."""
_NONE, _DAMAGED, _STRANGE = -1, -2, -3


@operator(
    reads=("kind", "l3", "l4", "payload", "payload_len"),
    drops=("bad_checksum", "discarded", "heeded"),
)
def tcp6_icmp(pkt, meta, state, now, out, tcp):
    """Tell connections of the ICMPv6 errors that quote them; ICMPv6 that quotes no segment of ours goes on."""
    if meta.kind != ICMP6 or not _UNREACHABLE <= load8(pkt + i64(meta.l4)) <= _PARAMETER:
        return NEXT
    eng = record_at(tcp, ENGINE)
    slot = _quoted(eng, pkt + i64(meta.l3), pkt + i64(meta.l4), i64(meta.payload_len))
    if slot == _NONE:
        return NEXT
    if slot == _DAMAGED:
        state.bad_checksum += 1
    elif slot == _STRANGE or not _tell(eng, out, pkt + i64(meta.l4), slot, now):
        state.discarded += 1
    else:
        state.heeded += 1
    return DROP


@kernel
def _quoted(eng, ip, icmp, length):
    """The slot of the connection whose segment an error quotes in *length* bytes; _NONE, _DAMAGED, or _STRANGE: not ours."""
    table = addresses_at(eng)
    quoted = icmp + wire.ICMP_HEADER
    if length < _QUOTED or load8(quoted) >> 4 != 6 or load8(quoted + wire.IP6_NEXT_HEADER) != wire.PROTO_TCP:
        return i64(_NONE)
    if not is_ours(table, find(table, ip + wire.IP6_DST)):
        return i64(_NONE)
    if icmp6_checksum(ip, icmp, wire.ICMP_HEADER + length) != 0:
        return i64(_DAMAGED)
    source, destination = find(table, quoted + wire.IP6_SRC), find(table, quoted + wire.IP6_DST)
    if source == NOT_THERE or destination == NOT_THERE:
        return i64(_STRANGE)
    segment = quoted + wire.IP6_HEADER
    sport, dport = be16(segment + SOURCE), be16(segment + DESTINATION)
    index = record_at(i64(eng.index), INDEX)
    hashed = tuple_hash(i64(index.seed), source, sport, destination, dport)
    slot = lookup(index, hashed, i64(eng.conns), source, sport, destination, dport)
    return slot if slot >= 0 else i64(_STRANGE)


@kernel
def _tell(eng, out, icmp, slot, now):
    """Did the error mean anything to its connection?"""
    conn, cold, app = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot)
    told, mtu = _as_icmp(icmp)
    seq = be32(icmp + wire.ICMP_HEADER + wire.IP6_HEADER + SEQ)
    limits = record_at(limits_of(eng, conn), LIMITS)
    events = on_icmp(conn, cold, limits, told >> 8, told & 0xFF, seq, mtu, i64(eng.now_us))
    if events == 0:
        return False
    act(eng, out, conn, app, slot, events, now)
    return True


@kernel
def _as_icmp(icmp):
    """Type and code of the ICMP error that means the same, in one number, and the MTU that a packet was too big for: what every
    link takes at least, whatever a router says."""
    kind, code = load8(icmp + wire.ICMP_TYPE), load8(icmp + wire.ICMP_CODE)
    if kind == _TOO_BIG:
        return i64(UNREACHABLE << 8 | FRAGMENTATION_NEEDED), max(min(be32(icmp + _MTU), _MOST_MTU), wire.IP6_MIN_MTU)
    if kind == _TIME_EXCEEDED:
        return i64(TIME_EXCEEDED << 8), i64(0)
    if kind == _UNREACHABLE:
        return i64(UNREACHABLE << 8 | PORT_UNREACHABLE) if code == _PORT else i64(UNREACHABLE << 8), i64(0)
    return i64(UNREACHABLE << 8 | PROTOCOL_UNREACHABLE) if code == _NEXT_HEADER else i64(PARAMETER_PROBLEM << 8), i64(0)
