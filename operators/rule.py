"""What `only` and `deny` share: a rule over the fields that parse has found."""

from __future__ import annotations

from dpdk_io.jit import kernel
from dpdk_io.memory import i64

PARAMS = {
    "ethertype": ("u2", 0),
    "protocol": ("u1", 0),
    "src": ("u4", 0),
    "src_mask": ("u4", 0),
    "dst": ("u4", 0),
    "dst_mask": ("u4", 0),
    "sport": ("u2", 0),
    "dport": ("u2", 0),
}
"""0 stands for any. Addresses are IPv4 in host byte order, compared where their mask has ones."""

READS = ("ethertype", "ip_version", "l4_proto", "src", "dst", "sport", "dport")


@kernel
def matches(meta, state):
    """Does the packet agree with everything that the rule in *state* sets?"""
    if state.ethertype != 0 and meta.ethertype != state.ethertype:
        return False
    if state.protocol != 0 and (meta.ip_version == 0 or meta.l4_proto != state.protocol):
        return False
    if (state.sport != 0 and meta.sport != state.sport) or (state.dport != 0 and meta.dport != state.dport):
        return False
    src_mask, dst_mask = i64(state.src_mask), i64(state.dst_mask)
    if src_mask | dst_mask == 0:
        return True
    differing = (i64(meta.src) ^ i64(state.src)) & src_mask | (i64(meta.dst) ^ i64(state.dst)) & dst_mask
    return meta.ip_version == 4 and differing == 0
