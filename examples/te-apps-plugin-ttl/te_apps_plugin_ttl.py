"""ttl_histogram: how far have packets travelled?"""

from dpdk_io.memory import i64, load8
from operators.wire import IP_TTL
from pipeline import NEXT, operator


@operator(state=[("counts", "u8", 256)], reads=("ip_version", "l3"))
def ttl_histogram(pkt, meta, state):
    """Count IPv4 packets by their TTL."""
    if meta.ip_version == 4:
        state.counts[load8(pkt + i64(meta.l3) + IP_TTL)] += 1
    return NEXT
