"""The calls that may block, as generators: each `yield` waits until something has changed, or until the time it gives.

What a call returns is its result; OSError is its failure.
"""

from __future__ import annotations

import errno
from collections.abc import Generator

from apps.endpoint import linux as n
from apps.endpoint.host import Host
from apps.endpoint.sockets import Phase, Socket
from tcp.connection import CLOSED, FIN_WAIT_2, SYN_SENT

Call = Generator[int | None, None, int]
"""Yields the time (us) at which it must go on at the latest, or None."""


def _check_open(socket: Socket) -> None:
    """Somebody closed the socket meanwhile."""
    if not socket.is_open:
        raise OSError(errno.EBADF, "closed meanwhile")


def accept(socket: Socket) -> Generator[int | None, None, Socket]:
    """The next connection."""
    while True:
        _check_open(socket)
        if not socket.listening:
            raise OSError(errno.EINVAL, "not listening")
        if socket.accepted:
            return socket.accepted.popleft()
        if socket.nonblocking:
            raise OSError(errno.EAGAIN, "nobody there")
        yield None


def connect(host: Host, socket: Socket, ip: int, port: int) -> Call:
    """CONNECT."""
    if socket.phase is Phase.DISCONNECTING:
        raise OSError(errno.EINVAL, "shut down")
    if socket.listening or socket.phase is Phase.CONNECTED:
        raise OSError(errno.EISCONN, "connected")
    reason = errno.EALREADY
    if socket.phase is Phase.UNCONNECTED:
        host.connect(socket, ip, port)
        socket.phase = Phase.CONNECTING
        reason = errno.EINPROGRESS
    while socket.opening:
        if socket.nonblocking:
            raise OSError(reason, "going on")
        yield None
        _check_open(socket)
    if socket.state == CLOSED:
        host.disconnect(socket)
        socket.raise_error(errno.ECONNABORTED)
    socket.phase = Phase.CONNECTED
    return 0


def read(socket: Socket, length: int, flags: int) -> Call:
    """READ."""
    if flags & n.MSG_ERRQUEUE:
        raise OSError(errno.EAGAIN, "no errors are queued")
    if socket.listening:
        raise OSError(errno.ENOTCONN, "listening")
    if flags & n.MSG_OOB:
        raise OSError(errno.EINVAL, "no urgent data")
    wanted = length if flags & n.MSG_WAITALL else min(length, socket.settings.rcvlowat)
    blocking = not (socket.nonblocking or flags & n.MSG_DONTWAIT)
    taken = 0
    while True:
        taken = min(length, socket.unread) if flags & n.MSG_PEEK else taken + socket.take(length - taken)
        if taken >= wanted and (taken or socket.unread):
            return taken
        if taken and (socket.error or socket.read_shut or not blocking):
            return taken
        if not taken and _nothing_to_come(socket):
            return 0
        if not blocking:
            raise OSError(errno.EAGAIN, "nothing there")
        yield None
        if not socket.is_open and taken:
            return taken
        _check_open(socket)


def _nothing_to_come(socket: Socket) -> bool:
    """Whether the stream has ended; OSError when that was not in order."""
    if socket.end_of_stream:
        return True
    if socket.error:
        socket.raise_error(errno.ECONNRESET)
    if socket.read_shut:
        return True
    if socket.state == CLOSED:
        raise OSError(errno.ENOTCONN, "never connected")
    return False


def write(socket: Socket, length: int, flags: int) -> Call:
    """WRITE."""
    if flags & n.MSG_OOB:
        raise OSError(errno.EOPNOTSUPP, "no urgent data")
    blocking = not (socket.nonblocking or flags & n.MSG_DONTWAIT)
    done = 0
    while True:
        if not socket.opening:
            if socket.error or not socket.can_send:
                if not done:
                    socket.raise_error(errno.EPIPE)
                return done
            done += socket.put(length - done, bool(flags & n.MSG_MORE))
            if done == length:
                return done
        if not blocking:
            if not done:
                raise OSError(errno.EAGAIN, "no room")
            return done
        yield None
        if not socket.is_open and done:
            return done
        _check_open(socket)


def poll(host: Host, socket: Socket, events: int, timeout_ms: int) -> Call:
    """POLL; a negative timeout waits for ever."""
    until = None if timeout_ms < 0 else host.now + timeout_ms * 1000
    wanted = events | n.POLLERR | n.POLLHUP
    while True:
        if not socket.is_open:
            return n.POLLNVAL
        found = socket.poll() & wanted
        if found or (until is not None and host.now >= until):
            return found
        yield until


def close(host: Host, socket: Socket) -> Call:
    """CLOSE: an RST when there is something unread or SO_LINGER is 0, else a FIN; with SO_LINGER it waits for the FIN's ACK."""
    if socket.listening:
        host.unlisten(socket)
    connection, linger = socket.connection, socket.settings.linger
    host.release(socket)
    if connection is None or not connection.alive:
        return 0
    if socket.unread or linger == 0:
        socket.unread = 0
        host.abort(socket)
        return 0
    if connection.state == SYN_SENT:
        host.drop(socket)
        return 0
    socket.read_shut = True
    connection.orphan(socket.settings, host.now)
    socket.write_shut = True
    if not connection.fin_queued:
        connection.close()
    if connection.state == FIN_WAIT_2 and socket.settings.linger2 < 0:
        host.abort(socket)
        return 0
    host.transmit(socket)
    until = host.now + linger * 1_000_000
    while linger > 0 and connection.alive and connection.state != FIN_WAIT_2 and host.now < until:
        yield until
    return 0
