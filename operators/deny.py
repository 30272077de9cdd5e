"""deny: a filter that stops the packets of one rule; several in a row are an access list.

deny(protocol=17, dport=53), deny(src=0xC0A80000, src_mask=0xFFFF0000)
"""

from __future__ import annotations

from operators.rule import PARAMS, READS, matches
from pipeline import DROP, NEXT, operator


@operator(params=PARAMS, reads=READS)
def deny(meta, state):
    """Drop packets that agree with every parameter set (ethertype, protocol, addresses, ports); pass the others."""
    return DROP if matches(meta, state) else NEXT
