"""macswap: send every frame back to where it came from."""

from __future__ import annotations

from dpdk_io.memory import load16, load32, store16, store32
from operators.wire import ETH_DST, ETH_HEADER, ETH_SRC
from pipeline import DROP, TX, operator


@operator
def macswap(pkt, length):
    """Swap the Ethernet addresses and send the frame; frames without an Ethernet header are dropped."""
    if length < ETH_HEADER:
        return DROP
    low, high = load32(pkt + ETH_DST), load16(pkt + ETH_DST + 4)
    store32(pkt + ETH_DST, load32(pkt + ETH_SRC))
    store16(pkt + ETH_DST + 4, load16(pkt + ETH_SRC + 4))
    store32(pkt + ETH_SRC, low)
    store16(pkt + ETH_SRC + 4, high)
    return TX
