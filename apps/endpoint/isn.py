"""Initial sequence numbers of a host's connections (RFC 6528)."""

from __future__ import annotations

import numpy as np

from apps.addresses import is_ip6
from apps.endpoint.packets import Place
from dpdk_io.memory import aligned
from tcp.ip6 import digest
from tcp.isn import SECRET, initial, keep_secret


class InitialNumbers:
    """Made under the secret *keys*."""

    def __init__(self, keys: tuple[int, int]) -> None:
        self._keys = keys
        self._secret = aligned(1, SECRET)[0]
        keep_secret(self._secret, *keys)

    def of(self, local: Place, peer: Place, now: int) -> int:
        """The first sequence number of a connection opened at *now* (us)."""
        local_ip, peer_ip = self._identity(local[0]), self._identity(peer[0])
        return int(initial(self._secret, local_ip, local[1], peer_ip, peer[1], now))

    def _identity(self, ip: int) -> int:
        """32 bits that stand for the address."""
        if not is_ip6(ip):
            return ip
        octets = np.frombuffer(ip.to_bytes(16, "big"), np.uint8)
        return int(digest(int(octets.ctypes.data), *self._keys))
