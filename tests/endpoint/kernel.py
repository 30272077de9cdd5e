"""The line protocol on the sockets of the kernel that runs the tests, for what needs no network but a loopback."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct

from apps.endpoint import linux as n

FIRST = 101
_libc = ctypes.CDLL(None, use_errno=True)
_libc.recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.recv.restype = ctypes.c_ssize_t


class Kernel:
    """Sockets by descriptor, which count from FIRST; close them by `close`."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def ask(self, line: str) -> tuple[int, int]:
        """RESULT and ERRNO."""
        verb, *words = line.split()
        try:
            return getattr(self, f"_{verb.lower()}")(*words) or 0, 0
        except OSError as error:
            return -1, error.errno or 0

    def close(self) -> None:
        """End everything."""
        for found in self._sockets.values():
            found.close()
        self._sockets.clear()

    def _add(self, made: socket.socket) -> int:
        """The lowest free descriptor; what was accepted does not block either."""
        made.setblocking(False)
        fd = min({*range(FIRST, FIRST + len(self._sockets) + 1)} - self._sockets.keys())
        self._sockets[fd] = made
        return fd

    def _of(self, fd: str) -> socket.socket:
        return self._sockets[int(fd)]

    def _socket(self, domain: str, kind: str, protocol: str) -> int:
        return self._add(socket.socket(int(domain), n.number(kind), int(protocol)))

    def _bind(self, fd: str, ip: str, port: str) -> None:
        self._of(fd).bind((ip, int(port)))

    def _listen(self, fd: str, backlog: str) -> None:
        self._of(fd).listen(int(backlog))

    def _accept(self, fd: str) -> int:
        return self._add(self._of(fd).accept()[0])

    def _connect(self, fd: str, ip: str, port: str) -> None:
        self._of(fd).connect((ip, int(port)))

    def _peerport(self, fd: str) -> int:
        return int(self._of(fd).getpeername()[1])

    def _write(self, fd: str, length: str, flags: str = "0") -> int:
        return self._of(fd).send(bytes(int(length)), n.number(flags))

    def _read(self, fd: str, length: str, flags: str = "0") -> int:
        """Not by `socket.recv`, which does not ask the kernel for 0 bytes."""
        taken = int(_libc.recv(self._of(fd).fileno(), ctypes.create_string_buffer(int(length) + 1), int(length), n.number(flags)))
        if taken < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return taken

    def _shutdown(self, fd: str, how: str) -> None:
        self._of(fd).shutdown(int(how))

    def _close(self, fd: str) -> None:
        self._sockets.pop(int(fd)).close()

    def _setsockopt(self, fd: str, level: str, name: str, value: str) -> None:
        self._of(fd).setsockopt(n.number(level), n.number(name), n.number(value))

    def _getsockopt(self, fd: str, level: str, name: str) -> int:
        return self._of(fd).getsockopt(n.number(level), n.number(name))

    def _ioctl(self, fd: str, request: str) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self._of(fd), n.number(request), bytes(4)))[0])

    def _poll(self, fd: str, events: str, timeout_ms: str) -> int:
        poll = select.poll()
        poll.register(self._of(fd), n.number(events))
        return next((found for _, found in poll.poll(int(timeout_ms))), 0)
