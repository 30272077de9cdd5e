"""Plain sockets that stream: `streams.py sink|source|client ...`; what came of it is a line of JSON.

sink PORT RATE               take one connection's bytes to their end, at most RATE a second (0: as they come)
source PORT FILE             send FILE's bytes to one connection, and read until it closes
client IP PORT FILE          send FILE's bytes, and read to the end
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from pathlib import Path

CHUNK = 8192


def accept(port: int, buffer: int = 0) -> socket.socket:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listener.bind(("0.0.0.0", port))
        listener.listen()
        return listener.accept()[0]


def drain(connection: socket.socket, rate: int = 0) -> dict[str, object]:
    """Read to the end."""
    digest, count, start = hashlib.sha256(), 0, time.monotonic()
    while data := connection.recv(CHUNK):
        digest.update(data)
        count += len(data)
        if rate:
            time.sleep(max(start + count / rate - time.monotonic(), 0))
    return {"bytes": count, "sha256": digest.hexdigest(), "seconds": time.monotonic() - start}


def sink(port: str, rate: str) -> dict[str, object]:
    with accept(int(port), 16384 if int(rate) else 0) as connection:
        return drain(connection, int(rate))


def source(port: str, file: str) -> dict[str, object]:
    start = time.monotonic()
    with accept(int(port)) as connection:
        connection.sendall(Path(file).read_bytes())
        connection.shutdown(socket.SHUT_WR)
        return {**drain(connection), "seconds": time.monotonic() - start}


def client(ip: str, port: str, file: str) -> dict[str, object]:
    with socket.create_connection((ip, int(port))) as connection:
        sender = threading.Thread(target=connection.sendall, args=(Path(file).read_bytes(),))
        sender.start()
        result = drain(connection)
        sender.join()
        return result


if __name__ == "__main__":
    print(json.dumps({"sink": sink, "source": source, "client": client}[sys.argv[1]](*sys.argv[2:])))
