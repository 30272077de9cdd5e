"""The unix socket of the line protocol: one request a connection, its answer, and the end."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from apps.endpoint.scheduler import Scheduler, Waiting
from dpdk_io.errors import UsageError

_LONGEST_LINE = 65_536
"""What is longer is no request, and is answered as one there is not."""
_LONGEST_PATH = 107


class ControlSocket:
    """Listens at *path* from the beginning to `close`, which removes it. A file that nobody listens at any more is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise UsageError(
                f"--control: {path} has more than the {_LONGEST_PATH} bytes of a socket's path; choose a shorter one"
            )
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            _make_room(path)
            self.listener.bind(str(path))
            self.listener.listen(128)
            self._made = _identity(path)
        except OSError as error:
            self.listener.close()
            raise UsageError(
                f"--control: {path} cannot be made ({error.strerror}); choose a path in a directory of yours"
            ) from error
        except UsageError:
            self.listener.close()
            raise

    def close(self) -> None:
        """Nobody listens any more. Closing twice is harmless."""
        self.listener.close()
        if self._made is not None and _identity(self.path) == self._made:
            self.path.unlink()
        self._made = None

    def __enter__(self) -> ControlSocket:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_room(path: Path) -> None:
    """Remove what an endpoint that is gone has left at *path*."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"--control: {path} exists and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        refused = probe.connect_ex(str(path)) == errno.ECONNREFUSED
    if not refused:
        raise UsageError(f"--control: {path} is in use by another program; choose another path")
    path.unlink()


class _Client:
    """One who asks: from the connection to the answer."""

    def __init__(self, connection: socket.socket, server: Server) -> None:
        self.connection = connection
        self.server = server
        self.read = b""
        self.written = b""
        self.waiting: Waiting | None = None

    def on_event(self, event: int) -> bool:
        """Something has happened; whether a request was begun."""
        if self.written:
            self._write()
        elif self.waiting is not None or event & select.EPOLLERR:
            self._leave()
        else:
            return self._read()
        return False

    def _read(self) -> bool:
        try:
            data = self.connection.recv(_LONGEST_LINE)
        except BlockingIOError:
            return False
        except OSError:
            self._leave()
            return False
        self.read += data
        line, newline, _ = self.read.partition(b"\n")
        if not newline and data and len(line) < _LONGEST_LINE:
            return False
        if not line.strip() and not newline:
            self._leave()
            return False
        self.server.watch(self, 0)
        self.server.look()
        self.waiting = self.server.scheduler.begin(line.decode(errors="replace"), self.answer)
        return True

    def answer(self, line: str) -> None:
        """Send *line*, and end."""
        self.waiting = None
        self.written = line.encode() + b"\n"
        self._write()

    def interrupt(self) -> None:
        """There will be no more to say."""
        if self.waiting is not None:
            self.waiting.cancelled = True
            self.answer(f"-1 {errno.EINTR}")
        self._leave()

    def _write(self) -> None:
        try:
            sent = self.connection.send(self.written, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self.written)
        self.written = self.written[sent:]
        if self.written:
            self.server.watch(self, select.EPOLLOUT)
        else:
            self._leave()

    def _leave(self) -> None:
        if self.waiting is not None:
            self.waiting.cancelled = True
        self.server.forget(self)
        self.connection.close()


class Server:
    """Reads requests from *control* and answers them as *scheduler* has done them. *look()* comes before each: what has arrived
    when somebody asks counts."""

    def __init__(self, control: ControlSocket, scheduler: Scheduler, look: Callable[[], object]) -> None:
        self.scheduler = scheduler
        self.look = look
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.listener, select.EPOLLIN)
        self._clients: dict[int, _Client] = {}

    def watch(self, client: _Client, events: int) -> None:
        """Hear of *events* of a client; of its going away always."""
        self._epoll.modify(client.connection, events)

    def forget(self, client: _Client) -> None:
        """The client is gone."""
        number = client.connection.fileno()
        if self._clients.pop(number, None) is not None:
            self._epoll.unregister(number)

    def wait(self, seconds: float) -> bool:
        """Sleep until a client wants something, at most *seconds*; whether one does. epoll itself knows only milliseconds."""
        return bool(select.select([self._epoll.fileno()], [], [], seconds)[0])

    def serve(self) -> bool:
        """Do what clients want; whether anything was begun."""
        begun = False
        for number, event in self._epoll.poll(0):
            if number == self._control.listener.fileno():
                begun |= self._accept()
            elif number in self._clients:
                begun |= self._clients[number].on_event(event)
        return begun

    def _accept(self) -> bool:
        """Take in who knocks, and their requests where those are there already."""
        begun = False
        while True:
            try:
                connection, _ = self._control.listener.accept()
            except OSError:
                return begun
            connection.setblocking(False)
            client = _Client(connection, self)
            self._clients[connection.fileno()] = client
            self._epoll.register(connection, select.EPOLLIN)
            begun |= client.on_event(select.EPOLLIN)

    def close(self) -> None:
        """Leave everybody; who waits is told that the call was interrupted."""
        for client in list(self._clients.values()):
            client.interrupt()
        self._epoll.close()
