"""own_mac: what a network card does that is not promiscuous."""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.memory import be64, i64, load8, shr64
from operators import wire
from pipeline import DROP, NEXT, operator


@operator(params={"mac": ("u8", 0)})
def own_mac(pkt, length, state):
    """Pass frames for *mac* and for groups (broadcast included), and runts, which `parse` counts; drop frames for others."""
    if unlikely(length < wire.ETH_HEADER):
        return NEXT
    if unlikely(shr64(be64(pkt + wire.ETH_DST), 16) != i64(state.mac)):
        return NEXT if load8(pkt + wire.ETH_DST) & wire.ETH_GROUP != 0 else DROP
    return NEXT
