"""tcp_icmp: take ICMP errors to the connections whose segments they quote."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import be16, be32, i64, load8, record_at
from operators import wire
from operators.connections import act
from operators.engine import ENGINE, app_at, cold_at, conn_at, is_local, limits_of
from operators.parse import ICMP
from pipeline import DROP, NEXT, operator
from tcp.checksum import ip_checksum
from tcp.header import DESTINATION, SEQ, SOURCE
from tcp.icmp import FRAGMENTATION_NEEDED, PARAMETER_PROBLEM, SOURCE_QUENCH, TIME_EXCEEDED, UNREACHABLE, on_icmp
from tcp.index import INDEX, lookup, tuple_hash
from tcp.limits import LIMITS

_NEXT_HOP_MTU = 6
_QUOTED = 8
"""Bytes of the quoted segment that every error has (RFC 792)."""
_NONE, _DAMAGED, _STRANGE = -1, -2, -3


@operator(
    reads=("kind", "l4", "payload", "payload_len", "dst"),
    drops=("bad_checksum", "discarded", "heeded"),
)
def tcp_icmp(pkt, meta, state, now, out, tcp):
    """Tell connections of the ICMP errors that quote them; ICMP that quotes no segment of ours goes on."""
    eng = record_at(tcp, ENGINE)
    if meta.kind != ICMP or not is_local(eng, i64(meta.dst)):
        return NEXT
    slot = _quoted(eng, pkt, i64(meta.l4), i64(meta.payload), i64(meta.payload_len))
    if slot == _NONE:
        return NEXT
    if slot == _DAMAGED:
        state.bad_checksum += 1
    elif slot == _STRANGE or not _tell(eng, out, pkt, i64(meta.l4), i64(meta.payload), slot, now):
        state.discarded += 1
    else:
        state.heeded += 1
    return DROP


@rare
def _quoted(eng, pkt, l4, payload, length):
    """The slot of the connection whose segment an ICMP error quotes; _NONE, _DAMAGED, or _STRANGE: of a connection not ours."""
    kind = load8(pkt + l4 + wire.ICMP_TYPE)
    ip = pkt + payload
    if kind != UNREACHABLE and kind != SOURCE_QUENCH and kind != TIME_EXCEEDED and kind != PARAMETER_PROBLEM:
        return i64(_NONE)
    if length < wire.IP_HEADER + _QUOTED or load8(ip) >> 4 != 4 or load8(ip + wire.IP_PROTOCOL) != wire.PROTO_TCP:
        return i64(_NONE)
    header = (load8(ip) & 15) * 4
    if header < wire.IP_HEADER or length < header + _QUOTED:
        return i64(_NONE)
    if ip_checksum(pkt + l4, wire.ICMP_HEADER + length) != 0:
        return i64(_DAMAGED)
    source, destination = be32(ip + wire.IP_SRC), be32(ip + wire.IP_DST)
    sport, dport = be16(ip + header + SOURCE), be16(ip + header + DESTINATION)
    index = record_at(i64(eng.index), INDEX)
    hashed = tuple_hash(i64(index.seed), source, sport, destination, dport)
    slot = lookup(index, hashed, i64(eng.conns), source, sport, destination, dport)
    return slot if slot >= 0 else i64(_STRANGE)


@kernel
def _tell(eng, out, pkt, l4, payload, slot, now):
    """Did the error mean anything to its connection?"""
    conn, cold, app = conn_at(eng, slot), cold_at(eng, slot), app_at(eng, slot)
    kind, code = load8(pkt + l4 + wire.ICMP_TYPE), load8(pkt + l4 + wire.ICMP_CODE)
    mtu = be16(pkt + l4 + _NEXT_HOP_MTU) if kind == UNREACHABLE and code == FRAGMENTATION_NEEDED else i64(0)
    seq = be32(pkt + payload + (load8(pkt + payload) & 15) * 4 + SEQ)
    events = on_icmp(conn, cold, record_at(limits_of(eng, conn), LIMITS), kind, code, seq, mtu, i64(eng.now_us))
    if events == 0:
        return False
    act(eng, out, conn, app, slot, events, now)
    return True
