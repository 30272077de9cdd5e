"""trafficengine's cost per packet, in that of the least any generator can do: `python -m benchmarks.traffic`, JSON on stdout.

Both run on net_ring, from the same mempool, in the same thread, in turns: the app's pipeline as client and server of endless
connections of seven packets, and a loop in C that only allocates, fills, sends, receives and frees.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from benchmarks.loops import Loop
from benchmarks.pipelines import Traffic, finished, stay
from benchmarks.timing import Plan, in_turns, main
from dpdk_io import open_ports
from dpdk_io.clock import hertz

WANTED = 6.0
"""The cost of a packet at most, in that of the loop in C."""


def measure(plan: Plan) -> dict[str, Any]:
    """One core, both roles."""
    with ExitStack() as stack:
        ports = stack.enter_context(open_ports(["net_ring0", "net_ring1"], [0]))
        stay()
        ours, theirs = Traffic(ports[0]), Loop(ports[1], floor=True)
        stack.enter_context(finished(ours))
        measured = in_turns([ours, theirs], plan)
        ratios = measured.ratios(0, 1)
        counters = ours.core.counters()
        per_connection = counters["rx_packets"] / ours.completed()
        packet = measured.median(0)
        return {
            "device": ports[0].name, "packet_ns": packet, "floor_ns": measured.median(1), "cost": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)], "wanted": WANTED, "ghz": hertz() / 1e9,
            "packets_per_connection": per_connection, "cps": 1e9 / (packet * per_connection),
            "packets_per_turn": counters["rx_packets"] / counters["turns"], "failed": ours.failed(),
            "lost": [ours.lost, theirs.lost], "kept": measured.kept, "discarded": measured.discarded,
        }  # fmt: skip


if __name__ == "__main__":
    main(measure, Plan(repetitions=5))
