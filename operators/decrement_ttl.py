"""decrement_ttl: what a router does to every packet it forwards (RFC 1812 5.3.1, RFC 8200 section 3)."""

from __future__ import annotations

from dpdk_io.memory import i64, load8, store8
from operators import wire
from operators.edit import set_ttl
from pipeline import DROP, NEXT, operator


@operator(reads=("l3", "ip_version"), drops=("expired",))
def decrement_ttl(pkt, meta, state):
    """Take 1 off the TTL or hop limit of IP packets, and drop those that have none left; other packets pass."""
    if meta.ip_version == 0:
        return NEXT
    ip = pkt + i64(meta.l3)
    left = load8(ip + (wire.IP_TTL if meta.ip_version == 4 else wire.IP6_HOP_LIMIT))
    if left <= 1:
        state.expired += 1
        return DROP
    if meta.ip_version == 4:
        set_ttl(ip, left - 1)
    else:
        store8(ip + wire.IP6_HOP_LIMIT, left - 1)
    return NEXT
