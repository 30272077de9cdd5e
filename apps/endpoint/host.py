"""One host on one link: its TCP connections between the network and the sockets, and a clock that somebody else sets."""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from apps.addresses import is_ip6
from apps.endpoint.arrivals import MOST_HALF_OPEN, Arrivals
from apps.endpoint.connection import Connection
from apps.endpoint.families import ANY4, ANY6, domain_of
from apps.endpoint.isn import InitialNumbers
from apps.endpoint.linux import AF_INET6
from apps.endpoint.mistakes import Report, report_mistake
from apps.endpoint.network import Network
from apps.endpoint.packets import Key, Place
from apps.endpoint.ports import Ports
from apps.endpoint.site import Site
from apps.endpoint.sockets import Phase, Socket
from apps.endpoint.timers import Timers
from apps.endpoint.tuning import Tuning
from tcp.connection import CLOSED, SYN_RECEIVED, SYN_SENT
from tcp.events import EV_CLOSED, EV_ESTABLISHED, EV_FIN, EV_RESET, EV_RST_DUE, EV_TIMEOUT

_WILDCARDS = (ANY4, ANY6)
_EPOCH_US = 1_000_000
_MOST_REPORTS = 10
"""Of mistakes: a peer that knows how to cause one could fill a disk."""


class Host:
    """Everything between a device and the calls. `now` is in microseconds; `frames` wait to be sent.

    A frame or a timer that fails by a mistake in this program is counted and told to *report*, and ends the connection that it
    is about: the others live on.
    """

    def __init__(
        self, site: Site, now: int = _EPOCH_US, seed: int | None = None, tuning: Tuning | None = None,
        report: Report = report_mistake,
    ) -> None:  # fmt: skip
        self.site = site
        self.tuning = tuning or Tuning()
        self.connections: dict[Key, Socket] = {}
        self.ports = Ports(self.connections, seed)
        self.network = Network(site, Arrivals(self), now)
        self.concerned: Socket | None = None
        """Whose frame or timer is being worked on."""
        self._report = report
        self._timers = Timers()
        self._numbers = InitialNumbers(site.isn_keys)

    @property
    def now(self) -> int:
        """The time."""
        return self.network.now

    @property
    def frames(self) -> deque[bytes]:
        """What waits to be sent."""
        return self.network.frames

    @property
    def counters(self) -> Counter[str]:
        """What was dropped, by reason."""
        return self.network.counters

    # Time and frames.

    @property
    def deadline(self) -> int | None:
        """When `fire` is due next; None: never."""
        times = [time for time in (self._timers.first, self.network.deadline) if time is not None]
        return min(times, default=None)

    def fire(self, now: int) -> None:
        """It is *now*: do what is due."""
        self.network.now = max(self.now, now)
        self._guarded("asking for a neighbour", self.network.fire)
        for socket in self._timers.due(self.now):
            self._guarded("a timer", partial(self._on_timer, socket))
        self.settle()

    def _on_timer(self, socket: Socket) -> None:
        connection = socket.connection
        if connection is None or connection.deadline is None:
            return
        self.concerned = socket
        events = connection.on_timer(self.now)
        if events & EV_RST_DUE:
            self._send(connection.reset(), socket)
        self.follow(socket, connection, events, CLOSED)

    def frame(self, frame: bytes) -> None:
        """What the device received."""
        self._guarded(f"a frame of {len(frame)} bytes", partial(self.network.take_in, frame))
        self.settle()

    def settle(self) -> None:
        """Hear what we have sent to an address of our own."""
        while self.network.to_ourselves:
            packet = self.network.to_ourselves.popleft()
            self._guarded(f"a packet of {len(packet)} bytes", partial(self.network.take_back, packet))

    def _guarded(self, what: str, work: Callable[[], None]) -> None:
        """Do *work*; should it fail, the connection concerned ends, and nothing else."""
        self.concerned = None
        try:
            work()
        except Exception as error:
            self._mistake(what, error)

    def _mistake(self, what: str, error: Exception) -> None:
        self.counters["mistakes"] += 1
        if self.counters["mistakes"] <= _MOST_REPORTS:
            self._report(what, error)
        socket, self.concerned = self.concerned, None
        if socket is None:
            return
        try:
            self.abort(socket)
        except Exception as failure:
            self._report("ending a connection", failure)
            self.forget(socket)
        socket.connection = None
        socket.error = errno.EIO

    # What follows from events.

    def follow(self, socket: Socket, connection: Connection, events: int, before: int) -> None:
        """Let *socket* know what a segment in the state *before*, or a timer, did to its connection; send what is to be sent."""
        if events & EV_ESTABLISHED and socket.listener is not None:
            socket.listener.half_open.pop(socket.key, None)
            socket.listener.accepted.append(socket)
            socket.listener = None
        if events & EV_FIN:
            socket.read_shut = socket.end_of_stream = True
        if events & (EV_RESET | EV_TIMEOUT):
            socket.error = _error_of(events, before, socket)
        self.transmit(socket)
        if events & EV_CLOSED:
            self.forget(socket)

    def fail(self, socket: Socket, code: int) -> None:
        """An error from the network: it ends what is being opened by us, nothing else."""
        if socket.state == SYN_SENT:
            self.drop(socket)
            socket.error = code
        else:
            socket.soft_error = code

    def transmit(self, socket: Socket) -> None:
        """Send what the connection of *socket* has to send now, and note when it wants to be woken."""
        connection = socket.connection
        if connection is None:
            return
        connection.offer(socket.settings.receive_room, socket.unread)
        for out in connection.segments(self.now):
            self._send(out, socket)
        self.wake(socket)

    def wake(self, socket: Socket) -> None:
        """Note when the connection of *socket* wants to be woken."""
        self._timers.set(socket, socket.connection.deadline if socket.connection is not None else None)

    def _send(self, out: Any, socket: Socket) -> None:
        """The segment *out* of *socket*, to where the SYN came from if the peer sent it."""
        assert socket.peer is not None
        settings = socket.settings
        tos, ttl = (settings.tclass, settings.hops) if is_ip6(socket.peer[0]) else (settings.tos, settings.ttl)
        self.network.send_segment(out, socket.local, socket.peer, socket.peer_mac, tos | int(out.ect), ttl)

    def initial_number(self, local: Place, peer: Place) -> int:
        """The first sequence number of a connection opened now."""
        return self._numbers.of(local, peer, self.now + self.site.isn_clock)

    # What sockets ask for.

    def bind(self, socket: Socket, ip: int, port: int) -> None:
        """BIND."""
        bound = socket.bound_port or (socket.connection is not None and socket.connection.state != CLOSED)
        if bound and socket.domain == AF_INET6:
            raise OSError(errno.EINVAL, "bound already")
        if domain_of(ip) not in socket.reach:
            raise OSError(errno.EINVAL, "IPV6_V6ONLY")
        if ip not in _WILDCARDS and not self.site.is_ours(ip):
            raise OSError(errno.EADDRNOTAVAIL, "not our address")
        if bound:
            raise OSError(errno.EINVAL, "bound already")
        self.ports.bind(socket, ip, port)
        socket.keeps_port = port != 0

    def listen(self, socket: Socket, backlog: int) -> None:
        """LISTEN; once more changes the backlog."""
        if not socket.listening and (socket.state != CLOSED or socket.phase is not Phase.UNCONNECTED):
            raise OSError(errno.EINVAL, "not a fresh socket")
        if not socket.bound_port:
            self.ports.bind(socket, socket.bound_ip, 0)
        self.ports.listen(socket)
        socket.backlog = backlog if backlog >= 0 else MOST_HALF_OPEN
        socket.listening = True
        socket.connection = None

    def unlisten(self, socket: Socket) -> None:
        """End listening: who has connected, and was not accepted, is reset; half-open connections are forgotten."""
        self.ports.unlisten(socket)
        socket.listening = False
        for child in [*socket.half_open.values()]:
            self.forget(child)
        socket.half_open.clear()
        while socket.accepted:
            self.abort(socket.accepted.popleft())
        if not socket.keeps_port:
            self.ports.release(socket)
        self.disconnect(socket)

    def connect(self, socket: Socket, ip: int, port: int) -> None:
        """Active open: the SYN is sent."""
        source = self._source(socket, ip)
        ip = source if ip in _WILDCARDS else ip
        local_port = socket.bound_port or self.ports.for_client(source, ip, port)
        if (source, local_port, ip, port) in self.connections:
            raise OSError(errno.EADDRNOTAVAIL, "connected already")
        socket.local, socket.peer, socket.peer_mac = (source, local_port), (ip, port), None
        socket.error = socket.soft_error = socket.unread = socket.urgent = 0
        socket.bound_port = local_port
        socket.connection = Connection(socket.settings, self.tuning, socket.speaks_ip6)
        isn = self.initial_number(socket.local, socket.peer)
        socket.connection.connect(socket.settings, socket.local, socket.peer, isn, self.now)
        self.connections[socket.key] = socket
        self.transmit(socket)

    def _source(self, socket: Socket, ip: int) -> int:
        """Where *socket* connects to *ip* from. OSError ENETUNREACH: it cannot."""
        somewhere = ip in _WILDCARDS or (self.site.is_station(ip) and self.site.next_hop(ip) is not None)
        source = socket.bound_ip if socket.bound_ip not in _WILDCARDS else self.site.source_for(ip)
        if not somewhere or source is None or domain_of(ip) not in socket.reach:
            raise OSError(errno.ENETUNREACH, "no way there")
        return source

    def abort(self, socket: Socket) -> None:
        """End the connection of *socket* with an RST where its state asks for one."""
        out = socket.connection.abort() if socket.connection is not None else None
        if out is not None:
            self._send(out, socket)
        self.forget(socket)

    def drop(self, socket: Socket) -> None:
        """End the connection of *socket* without a word to the peer."""
        if socket.connection is not None:
            socket.connection.abort()
        self.forget(socket)

    def disconnect(self, socket: Socket) -> None:
        """Listening is over, or it is known that connecting has failed: the socket may begin anew."""
        socket.phase, socket.unread = Phase.UNCONNECTED, 0
        socket.read_shut = socket.write_shut = socket.end_of_stream = False
        if socket.bound_port:
            socket.local = (socket.bound_ip, socket.bound_port)

    def forget(self, socket: Socket) -> None:
        """The connection is over: nothing can be sent or received any more."""
        socket.read_shut = socket.write_shut = True
        self._timers.set(socket, None)
        if socket.listener is not None:
            socket.listener.half_open.pop(socket.key, None)
        if socket.peer is not None and self.connections.get(socket.key) is socket:
            del self.connections[socket.key]
        if not socket.keeps_port or not socket.is_open:
            self.ports.release(socket)

    def release(self, socket: Socket) -> None:
        """The socket is closed; its connection, if it has one, lives on."""
        socket.is_open = False
        if socket.connection is None or socket.connection.state == CLOSED:
            self.ports.release(socket)

    def reset(self) -> None:
        """End everything."""
        for socket in list(self.connections.values()):
            self.abort(socket)
        for listener in list(self.ports.listeners.values()):
            self.unlisten(listener)
        self.ports.bound.clear()
        self.network.to_ourselves.clear()


def _error_of(events: int, before: int, socket: Socket) -> int:
    """What a reset in the state *before*, or giving up, means to the application."""
    if events & EV_TIMEOUT:
        return socket.soft_error or errno.ETIMEDOUT
    # Of an active open, in SYN-RECEIVED too (RFC 9293 section 3.10.7.4).
    if before == SYN_SENT or (before == SYN_RECEIVED and socket.connection is not None and socket.connection.active):
        return errno.ECONNREFUSED
    return errno.EPIPE if socket.end_of_stream else errno.ECONNRESET
