"""Packets that TCP has nothing to do with, and that are not dropped: what answers them, learns from them, or hands them on."""

from __future__ import annotations

from operators.arp_responder import arp_responder
from operators.icmp6_echo import icmp6_echo
from operators.icmp_echo import icmp_echo
from operators.nd_responder import nd_responder
from operators.neighbours import arp_learn
from operators.neighbours6 import nd_learn
from operators.reassemble import reassemble
from pipeline import SLOW, Core

_TAKERS = {step.name for step in (arp_responder, arp_learn, icmp_echo, nd_responder, nd_learn, icmp6_echo, reassemble)}


def beside_tcp(core: Core) -> dict[str, int]:
    """How many ended in which of these operators of *core*, and, as `to_kernel`, in Python or on the kernel side."""
    found = {"to_kernel": int(core.left[:, SLOW].sum())}
    for k, step in enumerate(core.pipeline.operators):
        if step.name in _TAKERS:
            dropped = sum(int(core.states[k][reason][0]) for reason in step.drops)
            found[step.name] = found.get(step.name, 0) + int(core.left[k].sum()) - dropped
    return found
