"""Send UDP packets at a steady rate and count what comes back: on the loopback device, everything.

te-apps run examples/generator.py:generator
"""

import numpy as np

from dpdk_io.clock import hertz
from dpdk_io.mbuf import data, set_length
from dpdk_io.memory import copy
from operators.count import count
from operators.drop import drop
from pipeline import Pipeline, room, send, take, tick

UDP = bytes.fromhex(
    "020000000002 020000000001 0800 4500002e00000000401166bd 0a000001 0a000002 10002000001a0000"
) + bytes(18)  # fmt: skip
TEMPLATE = np.frombuffer(UDP, np.uint8).copy()
ADDRESS = TEMPLATE.ctypes.data


@tick(state=[("next_at", "i8"), ("sent", "u8")], params={"gap": ("i8", hertz() // 100_000)})
def steady(now, out, state, template, size):
    """Send a packet every *gap* cycles; a late one is sent at once, and its successors keep their own times."""
    if state.next_at == 0:
        state.next_at = now
    work = 0
    while now >= state.next_at and room(out) > 0:
        mbuf = take(out)
        set_length(mbuf, size)
        copy(data(mbuf), template, size)
        send(out, mbuf)
        state.next_at += state.gap
        state.sent += 1
        work += 1
    return work


generator = Pipeline("generator", [steady, count, drop], resources={"template": ADDRESS, "size": len(UDP)})
