"""Ask an endpoint one thing, and print what it answers.

te-apps endpoint --device tap:te0 --ip 10.0.0.2/24 --control /tmp/te.sock &
python examples/ask.py /tmp/te.sock SOCKET 2 1 6
"""

import socket
import sys


def ask(path: str, request: str) -> str:
    """The line that the endpoint at *path* answers *request* with."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(request.encode() + b"\n")
        with connection.makefile() as answer:
            return answer.readline().rstrip("\n")


if __name__ == "__main__":
    print(ask(sys.argv[1], " ".join(sys.argv[2:])))
