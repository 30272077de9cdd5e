"""The line protocol: one request a line, and what each of them does. docs/endpoint.md describes it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from apps.endpoint import calls
from apps.endpoint import linux as n
from apps.endpoint.families import Given, given, taken, told
from apps.endpoint.host import Host
from apps.endpoint.sockets import Socket
from tcp.connection import CLOSED, SYN_SENT

_FIRST_DESCRIPTOR = 101

_LAST_US = 0xFFFFFFFF * 1000
"""Where the clock of `tcp/`, in milliseconds, ends: after 49 days."""

AT_ONCE = 0
"""What a call yields that only lets the others have their turn."""

Work = Generator[int | None, None, int | str]
"""A request being done: yields as `calls.Call` does; its result is a number, or a line as it is."""


class Requests:
    """The requests on *host*. *manual*: its clock stands still but for ADVANCE, whose steps *wake* limits: when the next
    request that waits wants to go on."""

    def __init__(self, host: Host, *, manual: bool = False) -> None:
        self.host = host
        self.manual = manual
        self.sockets: dict[int, Socket] = {}
        self.wake: Callable[[], int | None] = lambda: None

    def begin(self, line: str) -> Work:
        """The request in *line*, ready to go. OSError: EINVAL for wrong arguments, ENOSYS for a request there is not."""
        words = line.split()
        verb = VERBS.get(words[0]) if words else None
        if verb is None:
            raise OSError(errno.ENOSYS, "no such request")
        arguments = words[1:]
        if not len(verb.kinds) - verb.optional <= len(arguments) <= len(verb.kinds):
            raise OSError(errno.EINVAL, "arguments")
        values = [convert(word) for convert, word in zip(verb.kinds, arguments, strict=False)]
        return verb.work(self, *values, *[0] * (len(verb.kinds) - len(values)))

    def _socket(self, fd: int) -> Socket:
        socket = self.sockets.get(fd)
        if socket is None:
            raise OSError(errno.EBADF, "no such descriptor")
        return socket

    def _descriptor(self, socket: Socket) -> int:
        """The lowest free one."""
        fd = _FIRST_DESCRIPTOR
        while fd in self.sockets:
            fd += 1
        self.sockets[fd] = socket
        return fd

    def reset(self) -> Work:
        """RESET."""
        for socket in self.sockets.values():
            self.host.release(socket)
        self.sockets.clear()
        self.host.reset()
        return _done(0)

    def socket(self, domain: int, kind: int, protocol: int) -> Work:
        """SOCKET."""
        if domain not in (n.AF_INET, n.AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, "domain")
        if kind & ~(n.SOCK_NONBLOCK | n.SOCK_CLOEXEC) != n.SOCK_STREAM:
            raise OSError(errno.ESOCKTNOSUPPORT, "type")
        if protocol not in (0, n.IPPROTO_TCP):
            raise OSError(errno.EPROTONOSUPPORT, "protocol")
        socket = Socket(self.host, domain)
        socket.nonblocking = bool(kind & n.SOCK_NONBLOCK)
        return _done(self._descriptor(socket))

    def bind(self, fd: int, ip: Given, port: int) -> Work:
        """BIND."""
        socket = self._socket(fd)
        self.host.bind(socket, taken(socket.domain, ip), port)
        return _done(0)

    def listen(self, fd: int, backlog: int) -> Work:
        """LISTEN."""
        self.host.listen(self._socket(fd), backlog)
        return _done(0)

    def accept(self, fd: int) -> Work:
        """ACCEPT."""
        socket = yield from calls.accept(self._socket(fd))
        return self._descriptor(socket)

    def peer_ip(self, fd: int) -> Work:
        """PEERIP."""
        return _done(told(self._socket(fd).domain, self._peer(fd)[0]))

    def peer_port(self, fd: int) -> Work:
        """PEERPORT."""
        return _done(self._peer(fd)[1])

    def _peer(self, fd: int) -> tuple[int, int]:
        socket = self._socket(fd)
        if socket.peer is None or socket.state in (CLOSED, SYN_SENT):
            raise OSError(errno.ENOTCONN, "no peer")
        return socket.peer

    def connect(self, fd: int, ip: Given, port: int) -> Work:
        """CONNECT."""
        socket = self._socket(fd)
        return calls.connect(self.host, socket, taken(socket.domain, ip), port)

    def write(self, fd: int, length: int, flags: int) -> Work:
        """WRITE."""
        return calls.write(self._socket(fd), length, flags)

    def read(self, fd: int, length: int, flags: int) -> Work:
        """READ."""
        return calls.read(self._socket(fd), length, flags)

    def shutdown(self, fd: int, how: int) -> Work:
        """SHUTDOWN."""
        self._socket(fd).shutdown(how)
        return _done(0)

    def close(self, fd: int) -> Work:
        """CLOSE."""
        socket = self._socket(fd)
        del self.sockets[fd]
        return calls.close(self.host, socket)

    def abort(self, fd: int) -> Work:
        """ABORT (RFC 9293 section 3.10.5)."""
        socket = self._socket(fd)
        del self.sockets[fd]
        if socket.listening:
            self.host.unlisten(socket)
        self.host.release(socket)
        self.host.abort(socket)
        return _done(0)

    def set_option(self, fd: int, level: int, name: int, value: int | str) -> Work:
        """SETSOCKOPT."""
        self._socket(fd).set_option(level, name, value)
        return _done(0)

    def get_option(self, fd: int, level: int, name: int) -> Work:
        """GETSOCKOPT."""
        return _done(self._socket(fd).get_option(level, name))

    def fcntl(self, fd: int, command: int, flags: int) -> Work:
        """FCNTL."""
        socket = self._socket(fd)
        if command == n.F_GETFL:
            return _done(n.O_RDWR | (n.O_NONBLOCK if socket.nonblocking else 0))
        if command != n.F_SETFL:
            raise OSError(errno.EINVAL, "command")
        socket.nonblocking = bool(flags & n.O_NONBLOCK)
        return _done(0)

    def ioctl(self, fd: int, request: int) -> Work:
        """IOCTL."""
        return _done(self._socket(fd).ioctl(request))

    def poll(self, fd: int, events: int, timeout_ms: int) -> Work:
        """POLL."""
        socket = self.sockets.get(fd)
        return _done(n.POLLNVAL) if socket is None else calls.poll(self.host, socket, events, timeout_ms)

    def info(self, fd: int) -> Work:
        """INFO."""
        return _done(json.dumps(self._socket(fd).info()))

    def advance(self, usec: int) -> Work:
        """ADVANCE: time passes from one moment at which something is due to the next, and whoever waits sees each of them."""
        if not self.manual or usec < 0:
            raise OSError(errno.EINVAL, "the clock is real")
        end = self.host.now + usec
        if end > _LAST_US:
            raise OSError(errno.EINVAL, "beyond the end of time")
        while True:
            yield AT_ONCE
            times = [time for time in (self.host.deadline, self.wake()) if time is not None and time > self.host.now]
            self.host.fire(min([end, *times]))
            if self.host.now >= end:
                yield AT_ONCE
                return 0


def _done(result: int | str) -> Work:
    """A request that is done already."""
    return result
    yield


def _within(least: int, most: int) -> Callable[[str], int]:
    def convert(word: str) -> int:
        value = n.number(word)
        if not least <= value <= most:
            raise OSError(errno.EINVAL, "out of range")
        return value

    return convert


_int = _within(-(1 << 31), (1 << 32) - 1)
_port = _within(0, 65_535)


def _option_value(word: str) -> int | str:
    """An int, in 32 bits as setsockopt(2) takes it; or what is no number, as it is."""
    try:
        value = n.number(word)
    except OSError:
        return word
    if not -(1 << 31) <= value < 1 << 32:
        raise OSError(errno.EINVAL, "out of range")
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


_size = _within(0, 1 << 40)
_time = _within(0, 1 << 50)


@dataclass(frozen=True)
class Verb:
    """A request: what does it, its arguments, and how many of the last ones may be left out."""

    work: Callable[..., Work]
    kinds: tuple[Callable[[str], Any], ...] = ()
    optional: int = 0


VERBS = MappingProxyType(
    {
        "RESET": Verb(Requests.reset),
        "SOCKET": Verb(Requests.socket, (_int, _int, _int)),
        "BIND": Verb(Requests.bind, (_int, given, _port)),
        "LISTEN": Verb(Requests.listen, (_int, _int)),
        "ACCEPT": Verb(Requests.accept, (_int,)),
        "PEERIP": Verb(Requests.peer_ip, (_int,)),
        "PEERPORT": Verb(Requests.peer_port, (_int,)),
        "CONNECT": Verb(Requests.connect, (_int, given, _port)),
        "WRITE": Verb(Requests.write, (_int, _size, _int), optional=1),
        "READ": Verb(Requests.read, (_int, _size, _int), optional=1),
        "SHUTDOWN": Verb(Requests.shutdown, (_int, _int)),
        "CLOSE": Verb(Requests.close, (_int,)),
        "ABORT": Verb(Requests.abort, (_int,)),
        "SETSOCKOPT": Verb(Requests.set_option, (_int, _int, _int, _option_value)),
        "GETSOCKOPT": Verb(Requests.get_option, (_int, _int, _int)),
        "FCNTL": Verb(Requests.fcntl, (_int, _int, _int), optional=1),
        "IOCTL": Verb(Requests.ioctl, (_int, _int)),
        "POLL": Verb(Requests.poll, (_int, _int, _int)),
        "INFO": Verb(Requests.info, (_int,)),
        "ADVANCE": Verb(Requests.advance, (_time,)),
    }
)
"""Every request there is, by its word."""
