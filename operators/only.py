"""only: a filter that lets the packets of one rule pass.

only(protocol=6, dport=80), only(ethertype=0x86DD), only(src=0x0A000000, src_mask=0xFF000000)
"""

from __future__ import annotations

from operators.rule import PARAMS, READS, matches
from pipeline import DROP, NEXT, operator


@operator(params=PARAMS, reads=READS)
def only(meta, state):
    """Pass packets that agree with every parameter set (ethertype, protocol, addresses, ports); drop the others."""
    return NEXT if matches(meta, state) else DROP
