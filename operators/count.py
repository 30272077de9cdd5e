"""count: how much comes by. Read it from `core.states`, under the index the operator has in `pipeline.operators`."""

from __future__ import annotations

from dpdk_io.mbuf import pkt_len
from pipeline import NEXT, operator


@operator(state=[("packets", "u8"), ("bytes", "u8")])
def count(mbuf, state):
    """Count packets and bytes."""
    state.packets += 1
    state.bytes += pkt_len(mbuf)
    return NEXT
