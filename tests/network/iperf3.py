"""The control connection of an iperf3 client, over a kernel's socket: the data connection is somebody else's, by its cookie.

iperf3.py COOKIE up|down BYTES

iperf3 takes what begins with the cookie, 36 characters and a NUL, for the data connection, wherever it comes from. On stderr:
"ready", it may come; "running", it has come. When it is over, the test is ended, and what the server counted is printed: bytes,
and bytes a second. To ask often whether it is over takes the server's core: that is done only where the server tells the time.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

PORT = 5201
TEST_START, TEST_RUNNING, TEST_END, PARAM_EXCHANGE, CREATE_STREAMS, EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = (
    1, 2, 4, 9, 10, 13, 14, 16,
)  # fmt: skip
ESTABLISHED, CLOSE_WAIT = 1, 8
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, NLMSG_ERROR = 4, 20, 1, 2
ALL, ANY, STATE, RQUEUE = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1, 56
"""Of sock_diag(7): all states, any cookie; where in inet_diag_msg the state and the bytes unread are, of which a FIN is one."""
SETTINGS = {"tcp": True, "omit": 0, "time": 0, "parallel": 1, "len": 128 * 1024, "client_version": "3.12"}
STREAM = {"id": 1, "bytes": 0, "retransmits": -1, "jitter": 0, "errors": 0, "packets": 0, "start_time": 0, "end_time": 1}
RESULTS = {"cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0, "sender_has_retransmits": -1, "streams": [STREAM]}


def expect(control: socket.socket, *states: int) -> None:
    for state in states:
        said = control.recv(1)
        assert said == bytes([state]), (said, state)


def tell(control: socket.socket, what: dict[str, object]) -> None:
    text = json.dumps(what).encode()
    control.sendall(struct.pack("!I", len(text)) + text)


def hear(control: socket.socket) -> dict[str, list[dict[str, float]]]:
    (size,) = struct.unpack("!I", control.recv(4, socket.MSG_WAITALL))
    return json.loads(control.recv(size, socket.MSG_WAITALL))


def data_connection() -> tuple[bytes, bytes, bytes, bytes]:
    """Ports and addresses, as sock_diag(7) wants them, of the connection to the server from elsewhere. It was just accepted."""
    rows = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    ours = [row[1:3] for row in rows if row[1].endswith(f":{PORT:04X}") and int(row[3], 16) in (ESTABLISHED, CLOSE_WAIT)]
    ((here, there),) = [row for row in ours if "0100007F:" not in row[1]]
    sides = [side.split(":") for side in (here, there)]
    ports = [bytes.fromhex(port) for _, port in sides]
    addresses = [struct.pack("=4I", *(int(ip[at : at + 8], 16) for at in range(0, 32, 8))) for ip, _ in sides]
    return ports[0], ports[1], addresses[0], addresses[1]


def is_over(diag: socket.socket, data: tuple[bytes, bytes, bytes, bytes]) -> bool:
    """Has the server read the end of its data connection, or lost it? What TEST_END finds unread is neither counted nor taken:
    the server resets the connection."""
    request = struct.pack("=BBBBI", socket.AF_INET6, socket.IPPROTO_TCP, 0, 0, ALL) + b"".join(data) + struct.pack("=IQ", 0, ANY)
    diag.send(struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + request)
    answer = diag.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR:
        return True
    unread = struct.unpack_from("=I", answer, 16 + RQUEUE)[0]
    return answer[16 + STATE] != ESTABLISHED and unread == 0


def wait_until(true: Callable[[], bool], pause: float) -> None:
    while not true():
        time.sleep(pause)


def main(cookie: str, direction: str, size: str) -> None:
    with socket.create_connection(("127.0.0.1", PORT), timeout=120) as control:
        control.sendall(cookie.encode() + b"\0")
        expect(control, PARAM_EXCHANGE)
        tell(control, {**SETTINGS, "num": int(size), **({"reverse": True} if direction == "down" else {})})
        expect(control, CREATE_STREAMS)
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        expect(control, TEST_START, TEST_RUNNING)
        sys.stderr.write("running\n")
        sys.stderr.flush()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as diag:
            data = data_connection()
            wait_until(lambda: is_over(diag, data), 0.005 if direction == "up" else 0.05)
        control.sendall(bytes([TEST_END]))
        expect(control, EXCHANGE_RESULTS)
        tell(control, RESULTS)
        (stream,) = hear(control)["streams"]
        expect(control, DISPLAY_RESULTS)
        control.sendall(bytes([IPERF_DONE]))
        sys.stdout.write(f"{stream['bytes']} {stream['bytes'] / stream['end_time']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
