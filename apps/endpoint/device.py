"""Between a device and the host: frames in, frames out, one at a time and interpreted, for there are only few."""

from __future__ import annotations

import ctypes
from collections import Counter

from apps.endpoint.host import Host
from dpdk_io import Port
from dpdk_io.mbuf import DATA_ROOM, data, data_len, nb_segs, set_length
from dpdk_io.memory import aligned

_BURST = 32
_MOST_BURSTS = 64
"""In one exchange: what arrives faster than it is taken must not keep the requests waiting."""
_SEND_TRIES = 1000


class Link:
    """The host on queue 0 of *port*."""

    def __init__(self, host: Host, port: Port) -> None:
        self._host = host
        self._driver = port.driver
        self._handle, self._pool = port.handle, port.pool(0)
        self._mbufs = aligned(_BURST, "i8")
        self._words = int(self._mbufs.ctypes.data)
        self.counters: Counter[str] = Counter(rx_packets=0, tx_packets=0, tx_full=0, no_mbuf=0, too_long=0, segmented=0)

    def exchange(self) -> bool:
        """Receive and send until there is nothing more of either; whether there was anything."""
        for burst in range(_MOST_BURSTS):
            received = self._receive()
            if not received and not self._host.frames:
                return burst > 0
            while self._host.frames:
                self._send(self._host.frames.popleft())
        return True

    def _receive(self) -> int:
        """What a burst brought."""
        count = int(self._driver.rx_burst(self._handle, 0, self._words, _BURST))
        if not count:
            return 0
        frames = []
        for mbuf in self._mbufs[:count].tolist():
            if nb_segs(mbuf) == 1:
                frames.append(ctypes.string_at(data(mbuf), data_len(mbuf)))
            else:
                self.counters["segmented"] += 1
        self._driver.free_bulk(self._pool, self._words, count)
        self.counters["rx_packets"] += count
        for frame in frames:
            self._host.frame(frame)
        return count

    def _send(self, frame: bytes) -> None:
        if len(frame) > DATA_ROOM:
            self.counters["too_long"] += 1
            return
        if not self._driver.alloc_bulk(self._pool, self._words, 1):
            self.counters["no_mbuf"] += 1
            return
        mbuf = int(self._mbufs[0])
        set_length(mbuf, len(frame))
        ctypes.memmove(data(mbuf), frame, len(frame))
        for _ in range(_SEND_TRIES):
            if self._driver.tx_burst(self._handle, 0, self._words, 1):
                self.counters["tx_packets"] += 1
                return
        self._driver.free_bulk(self._pool, self._words, 1)
        self.counters["tx_full"] += 1

    def drops(self) -> dict[str, int]:
        """What was lost between device and host, by reason."""
        return {name: count for name, count in self.counters.items() if name not in ("rx_packets", "tx_packets")}
