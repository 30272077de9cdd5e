"""macswap against the same loop in C, on devices that cost next to nothing: `python -m benchmarks.macswap`, JSON on stdout.

net_null makes and frees a packet at every turn; net_ring and the embedded loopback bring back what is sent, so that a fixed
number of packets goes round and round.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.loops import Loop
from benchmarks.pipelines import fill, finished, macswap, stay
from benchmarks.timing import Plan, in_turns, main
from dpdk_io import Port, open_ports

PACKETS = 256
"""Packets on their way round."""
WANTED = 0.9
"""The speed of the pipeline, as a share of that of the loop in C."""


def compared(port: Port, plan: Plan) -> dict[str, Any]:
    """The pipeline and the loop in C on queue 0 of *port*, in turns."""
    ours, theirs = macswap(port), Loop(port)
    with finished(ours):
        measured = in_turns([ours, theirs], plan)
    speeds = measured.ratios(1, 0)
    return {
        "device": port.name, "ours_ns": measured.median(0), "c_ns": measured.median(1), "speed": statistics.median(speeds),
        "spread": [min(speeds), max(speeds)], "wanted": WANTED, "lost": [ours.lost, theirs.lost],
        "kept": measured.kept, "discarded": measured.discarded,
    }  # fmt: skip


def alone(port: Port, plan: Plan) -> dict[str, Any]:
    """The pipeline on a device that has no calls in C."""
    ours = macswap(port)
    with finished(ours):
        measured = in_turns([ours], plan)
    costs = measured.costs[0]
    return {
        "device": port.name, "ours_ns": measured.median(0), "spread": [min(costs), max(costs)], "lost": [ours.lost],
        "kept": measured.kept, "discarded": measured.discarded,
    }  # fmt: skip


def measure(plan: Plan) -> list[dict[str, Any]]:
    """Every device."""
    found = []
    with open_ports(["net_null0,size=64", "net_ring0"], [0]) as ports:
        stay()
        fill(ports[1], PACKETS)
        found += [compared(port, plan) for port in ports]
    with open_ports(["loopback"], [0]) as ports:
        fill(ports[0], PACKETS)
        found.append(alone(ports[0], plan))
    return found


if __name__ == "__main__":
    main(measure, Plan())
