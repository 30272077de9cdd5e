"""Who has which port: sockets that are bound, those that listen, and the ports that clients connect from."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator, Mapping

from apps.addresses import is_ip6
from apps.endpoint.families import ANY4, ANY6, reach
from apps.endpoint.packets import Key
from apps.endpoint.sockets import Socket

_EPHEMERAL = range(32_768, 61_000)
_WILDCARDS = (ANY4, ANY6)


class Ports:
    """The ports of a host with *connections*. *seed* chooses the free ones."""

    def __init__(self, connections: Mapping[Key, Socket], seed: int | None) -> None:
        self._connections = connections
        self._random = random.Random(seed)
        self.bound: set[Socket] = set()
        self.listeners: dict[tuple[int, int], Socket] = {}

    def listener(self, ip: int, port: int) -> Socket | None:
        """Who listens at *ip*: the one that is bound to it, else to all of its family, else to all of both."""
        found = self.listeners.get((ip, port)) or self.listeners.get((ANY6 if is_ip6(ip) else ANY4, port))
        if found is not None or is_ip6(ip):
            return found
        both = self.listeners.get((ANY6, port))
        return both if both is not None and not both.settings.v6only else None

    def bind(self, socket: Socket, ip: int, port: int) -> None:
        """Give *socket* the port, or a free one for 0."""
        if port == 0:
            port = self._free(lambda port: not any(self._conflicts(socket, ip, port)))
        elif any(self._conflicts(socket, ip, port)):
            raise OSError(errno.EADDRINUSE, "port")
        socket.bound_ip, socket.bound_port, socket.local = ip, port, (ip, port)
        self.bound.add(socket)

    def release(self, socket: Socket) -> None:
        """Take the port away from *socket*."""
        socket.bound_port = 0
        self.bound.discard(socket)

    def _conflicts(self, socket: Socket, ip: int, port: int) -> Iterator[bool]:
        """Whoever has the port, unless both allow that others have it as well and neither listens."""
        for other in {*self.bound, *self._connections.values()}:
            if other is socket or other.local[1] != port or not _overlap(socket, ip, other):
                continue
            shared = socket.settings.reuseaddr and other.settings.reuseaddr and not other.listening
            yield not shared

    def listen(self, socket: Socket) -> None:
        """Let *socket* be who listens at its address and port."""
        if not socket.listening and any(self._conflicts(socket, *socket.local)):
            raise OSError(errno.EADDRINUSE, "port")
        self.listeners[socket.local] = socket

    def unlisten(self, socket: Socket) -> None:
        """Nobody listens there any more."""
        self.listeners.pop(socket.local, None)

    def for_client(self, source: int, ip: int, port: int) -> int:
        """A free port to connect to *ip* and *port* from."""
        bound = {socket.local[1] for socket in self.bound}
        return self._free(lambda free: free not in bound and (source, free, ip, port) not in self._connections)

    def _free(self, is_free: Callable[[int], bool]) -> int:
        start = self._random.randrange(len(_EPHEMERAL))
        for k in range(len(_EPHEMERAL)):
            port = _EPHEMERAL[(start + k) % len(_EPHEMERAL)]
            if is_free(port):
                return port
        raise OSError(errno.EADDRNOTAVAIL, "no port is free")


def _overlap(socket: Socket, ip: int, other: Socket) -> bool:
    """Whether *socket* at *ip* and *other* hear packets to the same address."""
    there = other.local[0]
    if ip not in _WILDCARDS and there not in _WILDCARDS:
        return ip == there
    return bool(reach(ip, bool(socket.settings.v6only)) & reach(there, bool(other.settings.v6only)))
