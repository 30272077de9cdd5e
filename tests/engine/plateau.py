"""All at once: N connections are opened, held, then each sends a request, gets its response and closes.

    python -m tests.engine.plateau N DEVICE [HOLD]

What is said of the plateau is counted in the tables themselves while the run goes on. Exit code 0, and the result as JSON, if all
that is to hold does.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from apps.load import load_traffic
from apps.report import result_text
from apps.trafficengine import run
from operators.tcp_engine import TcpEngine
from tcp.connection import CLIENT, ESTABLISHED

MOST_BYTES = 400
"""For each connection."""


class Watched:
    """Counts, while *n* clients are open, the connections in ESTABLISHED, until there are *n* of clients and of servers."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.seen = (0, 0)
        self._look = TcpEngine.look
        TcpEngine.look = lambda engine: self._count(engine)  # type: ignore[method-assign]

    def _count(self, engine: TcpEngine) -> None:
        self._look(engine)
        if self.seen != (self.n, self.n) and engine.max_established["client"] == self.n:
            established = engine.conns["state"] == ESTABLISHED
            clients = int((established & (engine.conns["bits"] & CLIENT != 0)).sum())
            self.seen = max(self.seen, (clients, int(established.sum()) - clients))


def check(result: dict[str, Any], n: int, seen: tuple[int, int]) -> None:
    """Everything that must hold."""
    assert seen == (n, n), f"{seen} of {n} were established at once"
    for role in ("client", "server"):
        connections = result["roles"][role]
        assert connections == dict.fromkeys(("attempted", "established", "completed", "max_open", "max_established"), n) | {
            "failed": 0
        }
        for name in ("SentPayload", "RecvPayload"):
            assert result[role][name] == n
        assert result[role]["SentRst"] == result[role]["RecvRst"] == 0, role
        # None, but where the machine holds up the core for longer than a timeout.
        assert max(result[role]["Retransmissions"], result[role]["Unexpected"]) <= n // 20, role
    assert not any(result["drops"].values()), result["drops"]
    assert result["exit_code"] == 0
    assert result["memory"]["connections"] >= 2 * n
    assert result["memory"]["per_connection"] <= MOST_BYTES


def main(n: int, device: str, hold: float) -> None:
    watched = Watched(n)
    addresses = f"198.18.0.1-198.18.0.{1 + n // 32000}/16"
    given = {"devices": [device], "interfaces": [addresses], "connections": n, "max_open": n, "hold_s": hold}
    result = run(load_traffic(None, given)[0])
    sys.stderr.write(result_text(result) + "\n")
    made = result.to_json()
    check(made, n, watched.seen)
    print(json.dumps(made))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 15.0)
