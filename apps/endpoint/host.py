"""One host on one link: frames in, frames out, a clock that somebody else sets, and the sockets between."""

from __future__ import annotations

import errno
import random
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from apps.addresses import Interface
from apps.endpoint.connection import Connection
from apps.endpoint.frames import Ethernet, Ipv4, Place, Reader, Writer, arp, ethernet, icmp_error, ipv4, is_ping
from apps.endpoint.icmp import TOO_LARGE, is_fatal, meaning
from apps.endpoint.neighbours import Neighbours
from apps.endpoint.settings import retransmission_seconds
from apps.endpoint.sockets import Phase, Socket
from apps.endpoint.timers import Timers
from apps.endpoint.tuning import Tuning
from dpdk_io.memory import aligned
from operators import wire
from tcp import SEGMENT
from tcp.connection import CLOSED, SYN_RECEIVED, SYN_SENT
from tcp.events import (
    EV_CLOSED,
    EV_DATA,
    EV_ESTABLISHED,
    EV_FIN,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_REUSE,
    EV_RST_DUE,
    EV_SYN,
    EV_TIMEOUT,
)
from tcp.isn import initial
from tcp.open import listen
from tcp.reset import reset_for
from tcp.segment import ACK, FIN, RST, SYN

_EPHEMERAL = range(32_768, 61_000)
_MOST_HALF_OPEN = 1024
_FIRST_GROUP = 0xE0000000


@dataclass(frozen=True)
class Site:
    """Where the host stands: its addresses, MAC address, router and the neighbours it need not ask for."""

    interfaces: tuple[Interface, ...]
    mac: int
    gateway: int | None = None
    neighbours: dict[int, int] = field(default_factory=dict)
    isn_keys: tuple[int, int] = (0, 0)
    isn_clock: int = 0
    """Microseconds by which the clock of sequence numbers is ahead of the host's."""


class Packet(NamedTuple):
    """Where a segment arrived, and from whom."""

    local: Place
    peer: Place
    source_mac: int


class Host:
    """Everything between a device and the calls. `now` is in microseconds; `frames` wait to be sent."""

    def __init__(self, site: Site, now: int = 1_000_000, seed: int | None = None, tuning: Tuning | None = None) -> None:
        self.site = site
        self.tuning = tuning or Tuning()
        self.now = now
        self.frames: deque[bytes] = deque()
        self.connections: dict[tuple[int, int, int, int], Socket] = {}
        self.listeners: dict[tuple[int, int], Socket] = {}
        self.bound: set[Socket] = set()
        self.counters: Counter[str] = Counter()
        self.addresses = tuple(interface.address for interface in site.interfaces)
        self._neighbours = Neighbours(site.neighbours, self._ask, self._silent)
        self._reader = Reader()
        self._writer = Writer(site.mac)
        self._reset_memory = aligned(1, SEGMENT)
        self._reset: Any = self._reset_memory[0]
        self._random = random.Random(seed)
        self._timers = Timers()
        self._to_ourselves: deque[bytes] = deque()

    # Time.

    @property
    def deadline(self) -> int | None:
        """When `fire` is due next; None: never."""
        times = [time for time in (self._timers.first, self._neighbours.deadline) if time is not None]
        return min(times, default=None)

    def fire(self, now: int) -> None:
        """It is *now*: do what is due."""
        self.now = max(self.now, now)
        self._neighbours.fire(self.now)
        for socket in self._timers.due(self.now):
            connection = socket.connection
            if connection is None or connection.deadline is None:
                continue
            events = connection.on_timer(self.now)
            if events & EV_RST_DUE:
                self._send(connection.reset(), socket)
            self._settle(socket, connection, events, CLOSED)
        self.settle()

    # Frames.

    def frame(self, frame: bytes) -> None:
        """What the device received."""
        self._frame(frame)
        self.settle()

    def settle(self) -> None:
        """Hear what we have sent to an address of our own."""
        while self._to_ourselves:
            self._frame(self._to_ourselves.popleft())

    def _frame(self, frame: bytes) -> None:
        self.counters[self._taken_in(frame)] += 1
        del self.counters[""]

    def _taken_in(self, frame: bytes) -> str:
        """Take *frame* in; why it was dropped, or nothing."""
        if len(frame) < wire.ETH_HEADER:
            return "runt"
        ether = ethernet(frame)
        if ether.destination != self.site.mac and not ether.to_group:
            return "not_for_us"
        if ether.ethertype == wire.ETHERTYPE_ARP:
            return self._arp(ether)
        if ether.ethertype != wire.ETHERTYPE_IPV4:
            return "not_for_us"
        ip = ipv4(ether.content)
        if ip is None:
            return "bad_ip"
        if ip.destination not in self.addresses or ether.to_group:
            return "not_for_us"
        if not self._is_station(ip.source):
            return "bad_source"
        if ip.is_fragment:
            return "fragment"
        if ip.protocol == wire.PROTO_TCP:
            return self._segment(ip, ether.source)
        return self._icmp(ip, ether.source) if ip.protocol == wire.PROTO_ICMP else "not_for_us"

    def _is_station(self, ip: int) -> bool:
        """Whether *ip* can be the address of somebody who sends (MUST-63)."""
        if ip >> 24 in (0, 127) or ip >= _FIRST_GROUP:
            return False
        return all(i.is_host(ip) for i in self.site.interfaces if i.holds(ip))

    def _arp(self, ether: Ethernet) -> str:
        """Requests for our addresses are answered, answers noted."""
        packet = arp(ether.content)
        if packet is None or packet.operation not in (wire.ARP_REQUEST, wire.ARP_REPLY):
            return "bad_arp"
        if packet.target_ip not in self.addresses:
            return "not_for_us"
        if packet.operation == wire.ARP_REPLY:
            self._neighbours.learn(packet.sender_ip, packet.sender_mac)
        elif packet.sender_ip != packet.target_ip:
            self.frames.append(self._writer.arp_reply(packet.target_ip, packet.sender_mac, packet.sender_ip))
        return ""

    def _icmp(self, ip: Ipv4, source_mac: int) -> str:
        """Pings are answered. An error about one of our segments fails a connection that is being opened, and is remembered
        otherwise (RFC 1122 section 4.2.3.9); it must quote a sequence number in flight (RFC 5927 section 4.1)."""
        if is_ping(ip):
            self._emit(self._writer.echo_reply(ip, source_mac), ip.source)
            return ""
        error = icmp_error(ip)
        socket = self.connections.get(error.key) if error is not None else None
        if error is None or socket is None or socket.connection is None or not socket.connection.covers(error.seq):
            return "icmp_ignored"
        if (error.type, error.code) == TOO_LARGE:
            socket.connection.on_too_large(error.seq, error.mtu, self.now)
            self.transmit(socket)
        code = meaning(error.type, error.code)
        if code:
            self._fail(socket, code)
        return ""

    def _fail(self, socket: Socket, code: int) -> None:
        """An error from the network: it ends what is being opened by us, nothing else."""
        if socket.state == SYN_SENT and is_fatal(code):
            self.drop(socket)
            socket.error = code
        else:
            socket.soft_error = code

    def _segment(self, ip: Ipv4, source_mac: int) -> str:
        """A TCP segment for one of our addresses."""
        wrong = self._reader.read(ip)
        if wrong:
            return wrong
        sport, dport = struct.unpack_from(">HH", ip.payload)
        packet = Packet((ip.destination, dport), (ip.source, sport), source_mac)
        socket = self.connections.get((*packet.local, *packet.peer))
        if socket is None:
            return self._to_nobody(packet)
        if self._held_back(socket):
            return "held_back"
        self._to_connection(socket, packet)
        return ""

    def _held_back(self, socket: Socket) -> bool:
        """The handshake's last ACK is not heard while the accept queue is full, or before data when that is waited for."""
        listener, seg, connection = socket.listener, self._reader.segment, socket.connection
        if listener is None or connection is None or connection.state != SYN_RECEIVED:
            return False
        flags = int(seg.tcp_flags)
        if flags & (ACK | RST | SYN) != ACK:
            return False
        if len(listener.accepted) > listener.backlog:
            return True
        deferred = listener.settings.defer_accept
        if not deferred or int(seg.payload_len) or flags & FIN:
            return False
        if socket.deferred_until is None:
            seconds = retransmission_seconds(deferred)
            socket.deferred_until = self.now + seconds * 1_000_000
            connection.wait(seconds * 1000, self.now)
            self._timers.set(socket, connection.deadline)
        return self.now < socket.deferred_until

    def _to_connection(self, socket: Socket, packet: Packet) -> None:
        connection, seg = socket.connection, self._reader.segment
        assert connection is not None
        before = connection.state
        events, taken = connection.receive(seg, self.now)
        if events & EV_REUSE:
            self._forget(socket)
            self._to_nobody(packet)
            return
        text = bool(events & EV_DATA) or bool(events & EV_OUT_OF_ORDER and int(seg.payload_len))
        if text and socket.refuses_data(before):
            self._answer_with_reset(packet)
            self.drop(socket)
            socket.error = errno.ECONNRESET
            return
        if events & EV_RST_DUE:
            self._answer_with_reset(packet)
        socket.unread += taken
        self._settle(socket, connection, events, before)

    def _to_nobody(self, packet: Packet) -> str:
        """A segment for no connection: a SYN may open one, everything else gets an RST (RFC 9293 section 3.10.7.1)."""
        ip, port = packet.local
        listener = self.listeners.get((ip, port)) or self.listeners.get((0, port))
        events = EV_RST_DUE if listener is None else int(listen(self._reader.segment))
        if events & EV_RST_DUE:
            self._answer_with_reset(packet)
        return self._open_passively(listener, packet) if listener is not None and events & EV_SYN else ""

    def _open_passively(self, listener: Socket, packet: Packet) -> str:
        if len(listener.accepted) > listener.backlog or len(listener.half_open) >= _MOST_HALF_OPEN:
            return "backlog"
        child = Socket(self, listener.settings.copy())
        child.phase = Phase.CONNECTED
        child.local, child.peer, child.peer_mac, child.listener = packet.local, packet.peer, packet.source_mac, listener
        child.connection = Connection(child.settings, self.tuning)
        isn = self._isn(child.local, child.peer)
        child.connection.accept(self._reader.segment, child.settings, child.local, child.peer, isn, self.now)
        listener.half_open[child.key] = child
        self.connections[child.key] = child
        self.transmit(child)
        return ""

    def _answer_with_reset(self, packet: Packet) -> None:
        if reset_for(self._reader.segment, self._reset):
            self._emit(self._writer.tcp(self._reset, packet.local, packet.peer, packet.source_mac), packet.peer[0])

    # What follows from events.

    def _settle(self, socket: Socket, connection: Connection, events: int, before: int) -> None:
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
            self._forget(socket)

    def transmit(self, socket: Socket) -> None:
        """Send what the connection of *socket* has to send now, and note when it wants to be woken."""
        connection = socket.connection
        if connection is None:
            return
        connection.offer(socket.settings.receive_room, socket.unread)
        for out in connection.segments(self.now):
            self._send(out, socket)
        self._timers.set(socket, connection.deadline)

    def _send(self, out: Any, socket: Socket) -> None:
        """The segment *out* of *socket*, by its neighbour's MAC address."""
        assert socket.peer is not None
        settings, local, peer = socket.settings, socket.local, socket.peer
        frame = self._writer.tcp(out, local, peer, self.site.mac, settings.tos | int(out.ect), settings.ttl)
        if peer[0] in self.addresses:
            self._emit(frame, peer[0])
            return
        if socket.peer_mac is not None:
            self._emit(socket.peer_mac.to_bytes(6, "big") + frame[6:], peer[0])
            return
        hop = self._next_hop(peer[0])
        if hop is None:
            self.counters["no_route"] += 1
        elif not self._neighbours.send(hop, lambda mac: self.frames.append(mac.to_bytes(6, "big") + frame[6:]), self.now):
            self.counters["no_neighbour"] += 1

    def _emit(self, frame: bytes, ip: int) -> None:
        (self._to_ourselves if ip in self.addresses else self.frames).append(frame)

    def _next_hop(self, ip: int) -> int | None:
        if self._neighbours.is_known(ip) or any(interface.holds(ip) for interface in self.site.interfaces):
            return ip
        return self.site.gateway

    def _ask(self, ip: int) -> None:
        own = next((i.address for i in self.site.interfaces if i.holds(ip)), self.addresses[0])
        self.frames.append(self._writer.arp_request(own, ip))

    def _silent(self, hop: int) -> None:
        """Nobody answers for *hop*."""
        for socket in list(self.connections.values()):
            if socket.peer is not None and socket.peer_mac is None and self._next_hop(socket.peer[0]) == hop:
                self._fail(socket, errno.EHOSTUNREACH)

    # What sockets ask for.

    def bind(self, socket: Socket, ip: int, port: int) -> None:
        """BIND."""
        if socket.local[1] or socket.connection is not None:
            raise OSError(errno.EINVAL, "bound already")
        if ip and ip not in self.addresses:
            raise OSError(errno.EADDRNOTAVAIL, "not our address")
        if port == 0:
            port = self._free_port(lambda port: not any(self._conflicts(socket, ip, port)))
        elif any(self._conflicts(socket, ip, port)):
            raise OSError(errno.EADDRINUSE, "port")
        socket.bound_ip, socket.local = ip, (ip, port)
        self.bound.add(socket)

    def _conflicts(self, socket: Socket, ip: int, port: int) -> Iterator[bool]:
        """Whoever has the port, unless both allow that others have it as well and neither listens."""
        for other in {*self.bound, *self.connections.values()}:
            if other is socket or other.local[1] != port or (ip and other.local[0] and other.local[0] != ip):
                continue
            shared = socket.settings.reuseaddr and other.settings.reuseaddr and not other.listening
            yield not shared

    def _free_port(self, is_free: Callable[[int], bool]) -> int:
        start = self._random.randrange(len(_EPHEMERAL))
        for k in range(len(_EPHEMERAL)):
            port = _EPHEMERAL[(start + k) % len(_EPHEMERAL)]
            if is_free(port):
                return port
        raise OSError(errno.EADDRNOTAVAIL, "no port is free")

    def listen(self, socket: Socket, backlog: int) -> None:
        """LISTEN; once more changes the backlog."""
        if not socket.listening and (socket.state != CLOSED or socket.phase is not Phase.UNCONNECTED):
            raise OSError(errno.EINVAL, "not a fresh socket")
        if not socket.local[1]:
            self.bind(socket, 0, 0)
        other = self.listeners.get(socket.local, socket)
        if other is not socket:
            raise OSError(errno.EADDRINUSE, "somebody listens")
        socket.backlog = backlog if backlog >= 0 else _MOST_HALF_OPEN
        socket.listening = True
        socket.connection = None
        self.listeners[socket.local] = socket

    def unlisten(self, socket: Socket) -> None:
        """End listening: who has connected, and was not accepted, is reset; half-open connections are forgotten."""
        self.listeners.pop(socket.local, None)
        socket.listening = False
        for child in [*socket.half_open.values()]:
            self._forget(child)
        socket.half_open.clear()
        while socket.accepted:
            self.abort(socket.accepted.popleft())

    def connect(self, socket: Socket, ip: int, port: int) -> None:
        """Active open: the SYN is sent."""
        ip = ip or self.addresses[0]
        if ip >= _FIRST_GROUP or any(i.holds(ip) and not i.is_host(ip) for i in self.site.interfaces):
            raise OSError(errno.ENETUNREACH, "no host")
        if ip not in self.addresses and self._next_hop(ip) is None:
            raise OSError(errno.ENETUNREACH, "no route")
        source = socket.bound_ip or self._source_for(ip)
        local_port = socket.local[1] or self._client_port(source, ip, port)
        if (source, local_port, ip, port) in self.connections:
            raise OSError(errno.EADDRNOTAVAIL, "connected already")
        socket.local, socket.peer, socket.peer_mac = (source, local_port), (ip, port), None
        socket.error = socket.soft_error = socket.unread = 0
        socket.read_shut = socket.write_shut = socket.end_of_stream = False
        socket.connection = Connection(socket.settings, self.tuning)
        isn = self._isn(socket.local, socket.peer)
        socket.connection.connect(socket.settings, socket.local, socket.peer, isn, self.now)
        self.connections[socket.key] = socket
        self.transmit(socket)

    def _client_port(self, source: int, ip: int, port: int) -> int:
        bound = {socket.local[1] for socket in self.bound}
        return self._free_port(lambda free: free not in bound and (source, free, ip, port) not in self.connections)

    def _source_for(self, ip: int) -> int:
        hop = self._next_hop(ip)
        return next((i.address for i in self.site.interfaces if hop is not None and i.holds(hop)), self.addresses[0])

    def _isn(self, local: tuple[int, int], peer: tuple[int, int]) -> int:
        return int(initial(*self.site.isn_keys, *local, *peer, self.now + self.site.isn_clock))

    def abort(self, socket: Socket) -> None:
        """End the connection of *socket* with an RST where its state asks for one."""
        out = socket.connection.abort() if socket.connection is not None else None
        if out is not None:
            self._send(out, socket)
        self._forget(socket)

    def drop(self, socket: Socket) -> None:
        """End the connection of *socket* without a word to the peer."""
        if socket.connection is not None:
            socket.connection.abort()
        self._forget(socket)

    def _forget(self, socket: Socket) -> None:
        """The connection is over: nothing can be sent or received any more."""
        socket.read_shut = socket.write_shut = True
        self._timers.set(socket, None)
        if socket.listener is not None:
            socket.listener.half_open.pop(socket.key, None)
        if socket.peer is not None and self.connections.get(socket.key) is socket:
            del self.connections[socket.key]
        if not socket.is_open:
            self.bound.discard(socket)

    def release(self, socket: Socket) -> None:
        """The socket is closed; its connection, if it has one, lives on."""
        socket.is_open = False
        if socket.connection is None or socket.connection.state == CLOSED:
            self.bound.discard(socket)

    def reset(self) -> None:
        """End everything."""
        for listener in list(self.listeners.values()):
            self.unlisten(listener)
        for socket in list(self.connections.values()):
            self.abort(socket)
        self.bound.clear()
        self._to_ourselves.clear()


def _error_of(events: int, before: int, socket: Socket) -> int:
    """What a reset in the state *before*, or giving up, means to the application."""
    if events & EV_TIMEOUT:
        return socket.soft_error or errno.ETIMEDOUT
    # Of an active open, in SYN-RECEIVED too (RFC 9293 section 3.10.7.4).
    if before == SYN_SENT or (before == SYN_RECEIVED and socket.connection is not None and socket.connection.active):
        return errno.ECONNREFUSED
    return errno.EPIPE if socket.end_of_stream else errno.ECONNRESET
