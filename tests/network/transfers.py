"""The kernel's sockets at one end of transfers, as docs/tcp.md describes them; what came of each is a line of JSON.

server PORT COUNT                                  serve COUNT connections
client IP PORT COUNT AT_ONCE REQUEST RESPONSE      make COUNT connections, so many at once, of so many bytes each way
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

HEADER = struct.Struct("!IBBHQQQII")
MAGIC, VERSION, IS_PATTERN, STEP = 0xD4454150, 1, 1, 0x9E3779B97F4A7C15
CHUNK = 65536


def pattern(number: int, length: int) -> bytes:
    """The stream *number*: words a step apart, from what SplitMix64 makes of the number."""
    word = (number + STEP) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    words = np.uint64(word ^ word >> 31) + np.arange(length // 8 + 1, dtype=np.uint64) * np.uint64(STEP)
    return words.astype("<u8").tobytes()[:length]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def with_cubic(opened: socket.socket) -> socket.socket:
    """Machines differ in what they use unless told. What a listener accepts does as the listener."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    return opened


def drain(connection: socket.socket, length: int) -> bytes:
    """*length* bytes, or what there is before the end."""
    content = bytearray()
    while len(content) < length and (part := connection.recv(min(CHUNK, length - len(content)))):
        content += part
    return bytes(content)


def serve(connection: socket.socket) -> dict[str, object]:
    """A request, the response, and the other end's FIN. Time runs from the header to that FIN, or to the request's end."""
    with connection:
        header = drain(connection, HEADER.size)
        start = time.monotonic()
        magic, version, flags, _, number, request, response, rounds, _ = HEADER.unpack(header)
        assert (magic, version, flags, rounds) == (MAGIC, VERSION, IS_PATTERN, 1), header
        got = drain(connection, request)
        seconds = time.monotonic() - start
        if response:
            connection.sendall(pattern(~number % 2**64, response))
        connection.shutdown(socket.SHUT_WR)
        rest = drain(connection, 1)
        return {
            "right": digest(got) == digest(pattern(number, request)) and not rest,
            "seconds": time.monotonic() - start if response else seconds,
        }


def exchange(address: tuple[str, int], number: int, request: int, response: int) -> dict[str, object]:
    """One connection of the client's. Time runs from the established connection to the other end's FIN."""
    with socket.create_connection(address, timeout=300) as connection:
        with_cubic(connection)
        start = time.monotonic()
        connection.sendall(HEADER.pack(MAGIC, VERSION, IS_PATTERN, 0, number, request, response, 1, 0) + pattern(number, request))
        got = drain(connection, response)
        rest = drain(connection, 1)
        right = digest(got) == digest(pattern(~number % 2**64, response)) and not rest
        return {"right": right, "seconds": time.monotonic() - start}


def told(outcome: object) -> dict[str, object]:
    try:
        return outcome()  # type: ignore[operator]
    except OSError as error:
        return {"right": False, "seconds": 0.0, "error": type(error).__name__}


def server(port: str, count: str) -> list[dict[str, object]]:
    with socket.create_server(("0.0.0.0", int(port)), backlog=4096) as listener, ThreadPoolExecutor(256) as pool:
        with_cubic(listener)
        done = []
        for _ in range(int(count)):
            connection = listener.accept()[0]
            done.append(pool.submit(told, lambda connection=connection: serve(connection)))
        return [each.result() for each in done]


def client(ip: str, port: str, count: str, at_once: str, request: str, response: str) -> list[dict[str, object]]:
    with ThreadPoolExecutor(int(at_once)) as pool:
        sizes = (int(request), int(response))
        return list(pool.map(lambda k: told(lambda: exchange((ip, int(port)), k + 1, *sizes)), range(int(count))))


if __name__ == "__main__":
    for outcome in {"server": server, "client": client}[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(outcome))
