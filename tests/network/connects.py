"""Connect many times with plain sockets: `connects.py HOST PORT COUNT PAYLOAD_HEX`; one JSON object with the outcomes."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor


def exchange(address: tuple[str, int], payload: bytes) -> tuple[str, int]:
    """One connection, closed by us first: its outcome, and the bytes that came back."""
    received = 0
    try:
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += len(chunk)
    except OSError as error:
        return type(error).__name__, received
    return "closed", received


def main(host: str, port: str, count: str, payload_hex: str = "") -> None:
    payload = bytes.fromhex(payload_hex)
    outcomes: Counter[str] = Counter()
    with ThreadPoolExecutor(8) as pool:
        for outcome, received in pool.map(lambda _: exchange((host, int(port)), payload), range(int(count))):
            outcomes[outcome] += 1
            outcomes["bytes"] += received
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
