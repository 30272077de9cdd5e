"""set_macs: address frames anew, as a router does on the last step."""

from __future__ import annotations

from dpdk_io.memory import i64
from operators import wire
from operators.edit import put_mac
from pipeline import DROP, NEXT, operator


@operator(params={"src": ("u8", 0), "dst": ("u8", 0)})
def set_macs(pkt, length, state):
    """Set the Ethernet addresses to *src* and *dst*, each only where not 0; frames without an Ethernet header are dropped."""
    if length < wire.ETH_HEADER:
        return DROP
    if state.dst != 0:
        put_mac(pkt + wire.ETH_DST, i64(state.dst))
    if state.src != 0:
        put_mac(pkt + wire.ETH_SRC, i64(state.src))
    return NEXT
