"""A socket: what lies between the calls of socket(7) and a TCP connection. Errors are OSErrors with Linux's errno."""

from __future__ import annotations

import errno
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from apps.addresses import is_ip6
from apps.endpoint import linux as n
from apps.endpoint.connection import Connection
from apps.endpoint.families import ANY4, ANY6, place_text, reach
from apps.endpoint.settings import Settings, as_int, get_option, set_option
from tcp.connection import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, SYN_RECEIVED, SYN_SENT

if TYPE_CHECKING:
    from apps.endpoint.host import Host

_DEFAULT_MSS = 536
_SENDS = (ESTABLISHED, CLOSE_WAIT)
_OPENING = (SYN_SENT, SYN_RECEIVED)
_LET_GO = {(n.SOL_TCP, n.TCP_NODELAY), (n.SOL_TCP, n.TCP_CORK), (n.SOL_TCP, n.TCP_QUICKACK)}
"""Options by which something that waits may leave."""


class Phase(Enum):
    """How far `connect` has come. DISCONNECTING: it was shut down while it went on, or before anybody heard that it failed."""

    UNCONNECTED, CONNECTING, CONNECTED, DISCONNECTING = range(4)


class Socket:
    """One socket of *host*; `is_open` until it is closed, `connection` once it has one."""

    def __init__(self, host: Host, domain: int = n.AF_INET, settings: Settings | None = None) -> None:
        self.host = host
        self.domain = domain
        self.settings = settings or Settings()
        self.is_open = True
        self.nonblocking = False
        self.phase = Phase.UNCONNECTED
        self.bound_ip = ANY4 if domain == n.AF_INET else ANY6
        self.bound_port = 0
        self.keeps_port = False
        """Whether it has asked for this very port: one that was chosen for it is free again with the connection's end."""
        self.local = (self.bound_ip, 0)
        self.peer: tuple[int, int] | None = None
        self.peer_mac: int | None = None
        self.listening = False
        self.backlog = 0
        self.accepted: deque[Socket] = deque()
        self.half_open: dict[tuple[int, int, int, int], Socket] = {}
        self.listener: Socket | None = None
        self.deferred_until: int | None = None
        self.connection: Connection | None = None
        self.unread = 0
        self.urgent = 0
        """Bytes to be read before all urgent data is."""
        self.error = 0
        self.soft_error = 0
        self.end_of_stream = False
        self.read_shut = False
        self.write_shut = False

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What tells connections apart."""
        assert self.peer is not None
        return (*self.local, *self.peer)

    @property
    def reach(self) -> frozenset[int]:
        """The domains that it can have to do with."""
        return reach(self.bound_ip, bool(self.settings.v6only))

    @property
    def speaks_ip6(self) -> bool:
        """Whether its connection, or else the socket itself, is of IPv6: one of that domain may speak IPv4."""
        return is_ip6(self.peer[0]) if self.peer is not None else self.domain == n.AF_INET6

    @property
    def state(self) -> int:
        """TCP's state as an application sees it: a connection in TIME_WAIT is closed to it."""
        return self.connection.state if self.connection is not None and self.connection.alive else CLOSED

    @property
    def opening(self) -> bool:
        """Whether the handshake is going on."""
        return self.state in _OPENING

    def take_error(self) -> int:
        """The pending error, told once."""
        error, self.error = self.error, 0
        return error

    def raise_error(self, otherwise: int) -> None:
        """Fail with the pending error, or with *otherwise*."""
        raise OSError(self.take_error() or otherwise, "socket")

    # Stream.

    @property
    def readable(self) -> bool:
        """Whether READ would return at once."""
        if self.listening:
            return bool(self.accepted)
        return self.unread >= min(self.settings.rcvlowat, self.settings.receive_room) or self.read_shut or self.error != 0

    def take(self, length: int) -> int:
        """Up to *length* bytes that were received; the window opens by them."""
        taken = min(length, self.unread)
        self.unread -= taken
        self.urgent = max(self.urgent - taken, 0)
        if taken and self.connection is not None:
            self.host.transmit(self)
        return taken

    @property
    def can_send(self) -> bool:
        """Whether the connection takes data."""
        return self.state in _SENDS and not self.write_shut

    @property
    def writable(self) -> bool:
        """Whether a third of the send buffer is free, which is when Linux wakes a writer."""
        queued = self.connection.unacked if self.connection is not None else 0
        return 2 * (self.settings.send_room - queued) >= queued

    def put(self, length: int, more: bool) -> int:
        """Queue up to *length* bytes; how many there was room for. *more*: what fills no segment may wait for the next event."""
        assert self.connection is not None
        room = max(self.settings.send_room - self.connection.unacked, 0)
        taken = self.connection.queue(min(length, room))
        if taken:
            self.connection.cork(more or self.settings.cork)
            self.host.transmit(self)
            self.connection.cork(self.settings.cork)
        return taken

    def shutdown(self, how: int) -> None:
        """SHUTDOWN."""
        if how not in (n.SHUT_RD, n.SHUT_WR, n.SHUT_RDWR):
            raise OSError(errno.EINVAL, "how")
        if self.listening:
            if how != n.SHUT_WR:
                self.host.unlisten(self)
            return
        if self.state == SYN_SENT:
            self.host.drop(self)
            self.host.disconnect(self)
            self.error = errno.ECONNRESET
            return
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.DISCONNECTING if self.opening or self.state == CLOSED else Phase.CONNECTED
        self.read_shut |= how != n.SHUT_WR
        self.write_shut |= how != n.SHUT_RD
        if self.state == CLOSED:
            raise OSError(errno.ENOTCONN, "shutdown")
        assert self.connection is not None
        if self.write_shut and not self.connection.fin_queued:
            self.connection.close()
            self.host.transmit(self)

    def refuses_data(self, state: int) -> bool:
        """Whether data that arrived in *state* is answered with an RST: our side is closed, and nobody will read it
        (RFC 9293 section 3.10.4, SHLD-3)."""
        closed = self.connection is not None and self.connection.fin_queued
        return closed and self.read_shut and state in (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2)

    # What else can be asked.

    def poll(self) -> int:
        """The events that hold now, asked for or not."""
        if self.listening:
            return n.POLLIN | n.POLLRDNORM if self.accepted else 0
        closed = self.state == CLOSED
        mask = n.POLLHUP if closed or (self.read_shut and self.write_shut) else 0
        if self.read_shut:
            mask |= n.POLLIN | n.POLLRDNORM | n.POLLRDHUP
        if not self.opening:
            if self.unread >= min(self.settings.rcvlowat, self.settings.receive_room):
                mask |= n.POLLIN | n.POLLRDNORM
            if self.urgent:
                mask |= n.POLLPRI
            if self.write_shut or self.writable:
                mask |= n.POLLOUT | n.POLLWRNORM
        return mask | (n.POLLERR if self.error else 0)

    def ioctl(self, request: int) -> int:
        """SIOCINQ, SIOCOUTQ, SIOCOUTQNSD."""
        if request not in (n.SIOCINQ, n.SIOCOUTQ, n.SIOCOUTQNSD):
            raise OSError(errno.ENOTTY, "ioctl")
        if self.listening:
            raise OSError(errno.EINVAL, "ioctl")
        connection = self.connection
        if request == n.SIOCINQ:
            return self.unread
        if connection is None or self.opening:
            return 0
        if request == n.SIOCOUTQNSD:
            return connection.unsent
        return connection.unacked + connection.fin_unacked

    def set_option(self, level: int, name: int, value: int | str) -> None:
        """SETSOCKOPT."""
        self._check_level(level)
        if (level, name) == (n.SOL_IPV6, n.IPV6_V6ONLY) and self.bound_port:
            raise OSError(errno.EINVAL, "bound already")
        set_option(self.settings, level, name, value)
        if self.connection is not None:
            self.connection.configure(self.settings, self.host.now)
            (self.host.transmit if (level, name) in _LET_GO else self.host.wake)(self)

    def get_option(self, level: int, name: int) -> int:
        """GETSOCKOPT."""
        self._check_level(level)
        if (level, name) == (n.SOL_TCP, n.TCP_MAXSEG):
            if self.settings.maxseg and self.state == CLOSED:
                return self.settings.maxseg
            heard = self.state > SYN_SENT or self.phase is Phase.CONNECTED
            return self.connection.mss if self.connection is not None and heard else _DEFAULT_MSS
        if (level, name) == (n.SOL_TCP, n.TCP_CONGESTION):
            return as_int(self.settings.congestion or self.host.tuning.congestion)
        if level == n.SOL_SOCKET:
            read_only = {
                n.SO_ERROR: lambda: self.take_error() or self._take_soft_error(),
                n.SO_TYPE: lambda: n.SOCK_STREAM,
                n.SO_PROTOCOL: lambda: n.IPPROTO_TCP,
                n.SO_DOMAIN: lambda: self.domain,
                n.SO_ACCEPTCONN: lambda: int(self.listening),
            }
            if name in read_only:
                return read_only[name]()
        return get_option(self.settings, level, name)

    def _check_level(self, level: int) -> None:
        if level == n.SOL_IPV6 and self.domain != n.AF_INET6:
            raise OSError(errno.ENOPROTOOPT, "no IPv6 socket")

    def _take_soft_error(self) -> int:
        error, self.soft_error = self.soft_error, 0
        return error

    def info(self) -> dict[str, Any]:
        """What INFO shows."""
        shown = (self.connection or Connection(self.settings, self.host.tuning, self.speaks_ip6)).info()
        places = {"local": place_text(*self.local), "peer": place_text(*self.peer) if self.peer is not None else ""}
        if self.listening:
            shown |= {"state": "LISTEN", "backlog": self.backlog}
            shown |= {"accept_queue": len(self.accepted), "half_open": len(self.half_open)}
        here = {"unread": self.unread, "urgent": self.urgent, "error": self.error, "options": self.settings.changed()}
        return shown | places | here
