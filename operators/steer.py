"""steer and steer6: hand each TCP packet to the core that owns its connection, when the device brought it to another."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from dpdk_io.ring import push
from operators import wire
from operators.parse import TCP, TCP6
from operators.steering import owner, owner_ip6
from pipeline import DROP, KEEP, NEXT, operator


@kernel
def _to_owner(state, steering, core, mbuf):
    """Hand the packet over to *core*, unless that is this one or none; the verdict."""
    if core < 0 or core == i64(steering[0].index):
        return NEXT
    state.misdirected += 1
    if push(i64(steering[0].to[core]), mbuf):
        return KEEP
    state.ring_full += 1
    return DROP


@operator(
    state=[("misdirected", "i8")],
    reads=("kind", "src", "dst", "sport", "dport"),
    drops=("ring_full",),
)
def steer(mbuf, meta, state, steering):
    """Pass TCP packets this core owns, hand the others over a ring to their owner; packets that nobody owns go on."""
    if meta.kind != TCP:
        return NEXT
    core = owner(steering[0], i64(meta.src), i64(meta.dst), i64(meta.sport), i64(meta.dport))
    return _to_owner(state, steering, core, mbuf)


@operator(
    state=[("misdirected", "i8")],
    reads=("kind", "l3", "sport", "dport"),
    drops=("ring_full",),
)
def steer6(pkt, mbuf, meta, state, steering):
    """`steer` for TCP over IPv6, whose addresses are read from the packet."""
    if meta.kind != TCP6:
        return NEXT
    ip = pkt + i64(meta.l3)
    core = owner_ip6(steering[0], ip + wire.IP6_SRC, ip + wire.IP6_DST, i64(meta.sport), i64(meta.dport))
    return _to_owner(state, steering, core, mbuf)
