"""What arrives for TCP: segments to connections and listeners, ICMP errors to the connections they are about."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from apps.endpoint.connection import Connection
from apps.endpoint.icmp import IcmpError
from apps.endpoint.packets import Ip, Place
from apps.endpoint.segments import Reader
from apps.endpoint.settings import retransmission_seconds
from apps.endpoint.sockets import Phase, Socket
from dpdk_io.memory import aligned
from tcp import SEGMENT
from tcp.connection import SYN_RECEIVED
from tcp.events import EV_DATA, EV_OUT_OF_ORDER, EV_REUSE, EV_RST_DUE, EV_SYN, EV_URGENT
from tcp.open import listen
from tcp.reset import reset_for
from tcp.segment import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from apps.endpoint.host import Host

MOST_HALF_OPEN = 1024


class Packet(NamedTuple):
    """Where a segment arrived, and from whom."""

    local: Place
    peer: Place
    source_mac: int


class Arrivals:
    """Hears what the network of *host* brings; what its functions return is why something was dropped, or nothing."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = Reader()
        self._reset_memory = aligned(1, SEGMENT)
        self._reset: Any = self._reset_memory[0]

    def icmp_error(self, error: IcmpError) -> str:
        """It fails a connection that is being opened, and is remembered otherwise (RFC 1122 section 4.2.3.9); it must quote a
        sequence number in flight (RFC 5927 section 4.1)."""
        socket = self._host.connections.get(error.key)
        if socket is None or socket.connection is None or not socket.connection.covers(error.seq):
            return "icmp_ignored"
        self._host.concerned = socket
        if error.mtu is not None:
            socket.connection.on_too_large(error.seq, error.mtu, self._host.now)
            self._host.transmit(socket)
        elif error.code:
            self._host.fail(socket, error.code)
        return ""

    def silent(self, hop: int) -> None:
        """Nobody answers for the next hop *hop*."""
        for socket in list(self._host.connections.values()):
            if socket.peer is not None and socket.peer_mac is None and self._host.site.next_hop(socket.peer[0]) == hop:
                self._host.fail(socket, errno.EHOSTUNREACH)

    def moved(self, hop: int, before: int | None, mac: int) -> None:
        """Passive connections follow the neighbour: the peer itself, or the router that the SYN came from."""
        for socket in self._host.connections.values():
            if socket.peer is None or socket.peer_mac is None:
                continue
            ip = socket.peer[0]
            if ip == hop or (socket.peer_mac == before and self._host.site.next_hop(ip) == hop):
                socket.peer_mac = mac

    def segment(self, ip: Ip, source_mac: int) -> str:
        """A TCP segment for one of our addresses."""
        wrong = self._reader.read(ip)
        if wrong:
            return wrong
        sport, dport = struct.unpack_from(">HH", ip.payload)
        packet = Packet((ip.destination, dport), (ip.source, sport), source_mac)
        socket = self._host.connections.get((*packet.local, *packet.peer))
        if socket is None:
            return self._to_nobody(packet)
        self._host.concerned = socket
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
            socket.deferred_until = self._host.now + seconds * 1_000_000
            connection.wait(seconds * 1000, self._host.now)
            self._host.wake(socket)
        return self._host.now < socket.deferred_until

    def _to_connection(self, socket: Socket, packet: Packet) -> None:
        connection, seg = socket.connection, self._reader.segment
        assert connection is not None
        before = connection.state
        events, taken = connection.receive(seg, self._host.now)
        if events & EV_REUSE:
            self._host.forget(socket)
            self._to_nobody(packet)
            return
        text = bool(events & EV_DATA) or bool(events & EV_OUT_OF_ORDER and int(seg.payload_len))
        if text and socket.refuses_data(before):
            self._answer_with_reset(packet)
            self._host.drop(socket)
            socket.error = errno.ECONNRESET
            return
        if events & EV_RST_DUE:
            self._answer_with_reset(packet)
        socket.unread += taken
        if events & EV_URGENT:
            socket.urgent = max(socket.unread + connection.urgent, 0)
        self._host.follow(socket, connection, events, before)

    def _to_nobody(self, packet: Packet) -> str:
        """A segment for no connection: a SYN may open one, everything else gets an RST (RFC 9293 section 3.10.7.1)."""
        listener = self._host.ports.listener(*packet.local)
        events = EV_RST_DUE if listener is None else int(listen(self._reader.segment))
        if events & EV_RST_DUE:
            self._answer_with_reset(packet)
        return self._open(listener, packet) if listener is not None and events & EV_SYN else ""

    def _open(self, listener: Socket, packet: Packet) -> str:
        """Passive open, by the SYN that is there."""
        if len(listener.accepted) > listener.backlog or len(listener.half_open) >= MOST_HALF_OPEN:
            return "backlog"
        host = self._host
        child = Socket(host, listener.domain, listener.settings.copy())
        child.phase = Phase.CONNECTED
        child.local, child.peer, child.peer_mac, child.listener = packet.local, packet.peer, packet.source_mac, listener
        child.connection = Connection(child.settings, host.tuning, child.speaks_ip6)
        isn = host.initial_number(child.local, child.peer)
        child.connection.accept(self._reader.segment, child.settings, child.local, child.peer, isn, host.now)
        listener.half_open[child.key] = child
        host.connections[child.key] = child
        host.concerned = child
        host.transmit(child)
        return ""

    def _answer_with_reset(self, packet: Packet) -> None:
        if reset_for(self._reader.segment, self._reset):
            self._host.network.send_segment(self._reset, *packet)
