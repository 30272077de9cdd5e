"""Mbufs of dropped packets: the next ones to be sent, until there are enough of them."""

from __future__ import annotations

from operators.drop import drop
from pipeline import Core, Pipeline
from pipeline.outbox import KEPT, SPARE
from tests.pipeline.test_backpressure import MBUFS, RING, End, Peer, pair, poll_until


def test_dropped_mbufs_become_spare_ones_and_the_rest_is_freed() -> None:
    near, far = pair(1, ring_size=RING, mbuf_cnt=MBUFS)
    core, peer = Core(Pipeline("dropping", [drop]), End(near), 0), Peer(far)
    core.compile()
    for dropped in range(32, 2 * KEPT, 32):
        assert peer.send(32) == 32
        poll_until(core, lambda: core.counters()["rx_packets"] == dropped)  # noqa: B023
        assert core.record.spare_count == min(SPARE + dropped, KEPT)
        assert near.mempool.available() == MBUFS - core.record.spare_count
    core.finish()
    assert near.mempool.available() == MBUFS
