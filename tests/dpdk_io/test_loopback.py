"""The embedded device through its public calls."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dpdk_io import UsageError, loopback, open_ports
from dpdk_io.loopback import Loopback, pair
from dpdk_io.ports import Port
from tests.dpdk_io.packets import content, ethernet, make, receive, send

FRAMES = [ethernet(i, 60 + i) for i in range(50)]
NOW = {"seconds": 0.2}


def as_port(device: Loopback) -> Port:
    return Port("loopback", loopback, device, range(device.n_queues), bytes(6))


def flow_frame(source: int, serial: int) -> bytes:
    """A frame as long as IPv4 and TCP headers, whose source port and payload are given."""
    return bytes(34) + source.to_bytes(2, "big") + bytes(18) + serial.to_bytes(6, "big")


def test_each_queue_receives_what_it_sent_in_order() -> None:
    with open_ports(["loopback"], [0, 1], mbuf_cnt=256) as (port,):
        send(port, FRAMES, queue=0)
        send(port, FRAMES[:3], queue=1)
        assert receive(port, 99, queue=1, **NOW) == FRAMES[:3]
        assert receive(port, 99, queue=0, **NOW) == FRAMES
        assert port.stats() == {"rx_packets": 53, "tx_packets": 53, "tx_full": 0}
        assert port.device.mempool.available() == 256


def test_what_does_not_fit_stays_with_the_sender_and_is_counted() -> None:
    port = as_port(Loopback(1, ring_size=8, mbuf_cnt=64))
    mbufs = make(port, FRAMES[:10])
    assert loopback.tx_burst(port.handle, 0, mbufs.ctypes.data, 10) == 8
    assert loopback.tx_burst(port.handle, 0, mbufs.ctypes.data + 64, 2) == 0
    assert port.stats()["tx_full"] == 4
    assert receive(port, 99, **NOW) == FRAMES[:8]
    assert loopback.tx_burst(port.handle, 0, mbufs.ctypes.data + 64, 2) == 2
    assert receive(port, 99, **NOW) == FRAMES[8:10]


def test_frames_longer_than_an_mbuf_pass_as_chains() -> None:
    with open_ports(["loopback"], [0], mbuf_cnt=64) as (port,):
        send(port, [ethernet(1, 9000)])
        assert receive(port, 1, **NOW) == [ethernet(1, 9000)]
        assert port.device.mempool.available() == 64


@pytest.mark.parametrize("spec", ["loopback:scatter", "loopback"])
def test_scattering_keeps_flows_together_and_in_order_but_not_on_their_queue(spec: str) -> None:
    with open_ports([spec], [0, 1, 2], mbuf_cnt=1024, scatter=spec == "loopback") as (port,):
        sent = [flow_frame(1000 + serial % 16, serial) for serial in range(160)]
        for queue in range(3):
            send(port, sent, queue)
        places: dict[bytes, set[int]] = {}
        for queue in range(3):
            got = receive(port, 999, queue, seconds=0.3)
            for flow in {frame[34:36] for frame in got}:
                mine = [frame for frame in got if frame[34:36] == flow]
                assert Counter(mine) == Counter({frame: 3 for frame in sent if frame[34:36] == flow})
                places.setdefault(flow, set()).add(queue)
        assert len(places) == 16
        assert all(len(queues) == 1 for queues in places.values())
        assert {queue for queues in places.values() for queue in queues} == {0, 1, 2}
        assert port.device.mempool.available() == 1024


def test_a_scattering_device_that_is_full_keeps_the_order_of_the_rest() -> None:
    port = as_port(Loopback(2, ring_size=4, mbuf_cnt=64, scatter=True))
    mbufs = make(port, [flow_frame(7, serial) for serial in range(6)])
    assert loopback.tx_burst(port.handle, 0, mbufs.ctypes.data, 6) == 4
    got = receive(port, 9, 0, seconds=0.1) + receive(port, 9, 1, seconds=0.1)
    assert got == [flow_frame(7, serial) for serial in range(4)]


def test_short_frames_scatter_without_reading_past_them() -> None:
    port = as_port(Loopback(2, mbuf_cnt=64, scatter=True))
    send(port, [bytes(20), bytes([9]) * 37], queue=1)
    assert receive(port, 2, 0) == [bytes(20), bytes([9]) * 37]


@pytest.mark.parametrize("scatter", [False, True])
def test_a_pair_is_a_cable(scatter: bool) -> None:
    near, far = (as_port(device) for device in pair(2, mbuf_cnt=256, scatter=scatter))
    send(near, FRAMES[:5], queue=1)
    send(far, FRAMES[5:9], queue=1)
    queues = (0, 1) if scatter else (1,)
    assert [frame for queue in queues for frame in receive(far, 9, queue, **NOW)] == FRAMES[:5]
    assert [frame for queue in queues for frame in receive(near, 9, queue, **NOW)] == FRAMES[5:9]
    assert near.stats() == {"rx_packets": 4, "tx_packets": 5, "tx_full": 0}
    assert far.device.mempool.available() == 256


def test_no_queue_starves_behind_a_busy_one() -> None:
    port = as_port(Loopback(2, mbuf_cnt=512, scatter=True))
    for queue in range(2):
        send(port, [bytes([queue]) * 20] * 100, queue)
    words = np.zeros(8, np.int64)
    first = set()
    for _ in range(4):
        count = loopback.rx_burst(port.handle, 0, words.ctypes.data, 8)
        first |= {content(word) for word in words[:count].tolist()}
    assert first == {bytes([0]) * 20, bytes([1]) * 20}


def test_rings_of_other_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="power of two"):
        Loopback(1, ring_size=100)
