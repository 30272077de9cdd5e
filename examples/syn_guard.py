"""Let the first thousand SYNs through, reflect what comes for two ports, and hand the rest to the kernel.

te-apps run examples/syn_guard.py:guard
"""

from operators.macswap import macswap
from operators.parse import parse
from pipeline import DROP, NEXT, SLOW, GroupBy, Pipeline, operator

SYN = 2


@operator(state=[("syns", "u8")], params={"limit": ("u8", 1_000)}, reads=("tcp_flags",), drops=("syn",))
def syn_guard(meta, state):
    """Drop SYNs once *limit* of them have passed."""
    if meta.tcp_flags & SYN:
        if state.syns >= state.limit:
            state.syn += 1
            return DROP
        state.syns += 1
    return NEXT


guard = Pipeline("guard", [parse, syn_guard(limit=100), GroupBy("dport", {80: [], 443: []}, otherwise=SLOW), macswap])
