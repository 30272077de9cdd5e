"""macswap: send every frame back to where it came from."""

from __future__ import annotations

from operators import wire
from operators.edit import swap_macs
from pipeline import DROP, TX, operator


@operator
def macswap(pkt, length):
    """Swap the Ethernet addresses and send the frame; frames without an Ethernet header are dropped."""
    if length < wire.ETH_HEADER:
        return DROP
    swap_macs(pkt)
    return TX
