"""own_mac: what a network card does that is not promiscuous."""

from __future__ import annotations

from dpdk_io.memory import i64
from operators import wire
from operators.edit import get_mac
from pipeline import DROP, NEXT, operator


@operator(params={"mac": ("u8", 0)})
def own_mac(pkt, length, state):
    """Pass frames for *mac* and for groups (broadcast included); drop frames for others."""
    if length < wire.ETH_HEADER:
        return DROP
    destination = get_mac(pkt + wire.ETH_DST)
    return NEXT if destination == i64(state.mac) or destination & wire.ETH_GROUP_BIT != 0 else DROP
