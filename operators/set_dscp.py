"""set_dscp: mark IP packets for a class of service (RFC 2474); the congestion bits stay as they are (RFC 3168)."""

from __future__ import annotations

from dpdk_io.memory import be16, i64, put_be16
from operators import wire
from operators.edit import replace16
from pipeline import NEXT, operator


@operator(params={"dscp": ("u1", 0)}, reads=("l3", "ip_version"))
def set_dscp(pkt, meta, state):
    """Set the six bits of the differentiated services code point of IP packets to *dscp*, 0..63; other packets pass."""
    ip, dscp = pkt + i64(meta.l3), i64(state.dscp) & 0x3F
    if meta.ip_version == 4:
        replace16(ip + wire.IP_VERSION_IHL, ip + wire.IP_CHECKSUM, be16(ip) & 0xFF03 | dscp << 2)
    elif meta.ip_version == 6:
        put_be16(ip, be16(ip) & 0xF03F | dscp << 6)
    return NEXT
