"""The line protocol from the client's end, as any script would speak it."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any


class Client:
    """Asks the endpoint at *path*."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)

    def line(self, request: str, seconds: float = 20.0) -> str:
        """The line that answers *request*; the server has ended the connection after it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(self.path)
            connection.sendall(request.encode() + b"\n")
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        assert answer.endswith(b"\n"), answer
        assert answer.count(b"\n") == 1
        return answer[:-1].decode()

    def ask(self, request: str) -> tuple[int, int]:
        """RESULT and ERRNO."""
        result, error = self.line(request).split()
        return int(result), int(error)

    def done(self, request: str) -> int:
        """RESULT of a request that succeeds."""
        result, error = self.ask(request)
        assert error == 0, f"{request}: {result} {error}"
        return result

    def info(self, fd: int) -> dict[str, Any]:
        """INFO."""
        return json.loads(self.line(f"INFO {fd}"))

    def later(self, request: str) -> Later:
        """*request*, asked by a thread of its own."""
        return Later(self, request)


class Later:
    """A request that may block."""

    def __init__(self, client: Client, request: str) -> None:
        self._answer: list[tuple[int, int]] = []
        self._thread = threading.Thread(target=lambda: self._answer.append(client.ask(request)), daemon=True)
        self._thread.start()

    @property
    def blocked(self) -> bool:
        """Whether there is no answer, a moment later."""
        self._thread.join(0.2)
        return self._thread.is_alive()

    @property
    def pair(self) -> tuple[int, int]:
        """The answer."""
        self._thread.join(20)
        assert self._answer, "still blocked"
        return self._answer[0]
