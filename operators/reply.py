"""reply: send every packet back as if its receiver had answered with the same.

Addresses and ports change places, and no checksum changes with them: a sum does not mind the order of its words.
"""

from __future__ import annotations

from dpdk_io.memory import i64
from operators import wire
from operators.edit import swap16, swap32, swap_macs
from operators.parse import TCP, TCP6, UDP, UDP6
from pipeline import TX, operator


@operator(reads=("kind", "ip_version", "l3", "l4"))
def reply(pkt, meta):
    """Swap Ethernet addresses, IP addresses and TCP or UDP ports, as far as the packet has them, and send it back."""
    swap_macs(pkt)
    ip, l4 = pkt + i64(meta.l3), pkt + i64(meta.l4)
    if meta.ip_version == 4:
        swap32(ip + wire.IP_SRC, ip + wire.IP_DST)
    elif meta.ip_version == 6:
        for offset in range(0, 16, 4):
            swap32(ip + wire.IP6_SRC + offset, ip + wire.IP6_DST + offset)
    if meta.kind in (TCP, UDP, TCP6, UDP6):
        swap16(l4, l4 + 2)
    return TX
