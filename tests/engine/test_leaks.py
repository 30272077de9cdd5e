"""After a run every mbuf is back in its pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps import trafficengine
from apps.load import load_traffic
from dpdk_io import open_ports
from dpdk_io.jit import JIT

CONNECTIONS = 20_000 if JIT else 100


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"devices": ["loopback:scatter"], "cores": "0,1", "steering": "rss"},
        {"request": r"GET / HTTP/1.0\r\n\r\n", "expect": "HTTP/1.1 404"},
        {"payload": 1400, "fin_by_client": 2, "fin_by_server": 9},
        {
            "devices": ["loopback:scatter"], "cores": "0,1",
            "impair": "delay=1ms,jitter=1ms,duplicate=20%,rate=1gbit,limit=300", "max_open": 100,
        },
    ],
)  # fmt: skip
def test_every_mbuf_comes_back(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[list[int]] = []

    @contextmanager
    def watched(*arguments: Any) -> Iterator[Any]:
        with open_ports(*arguments) as ports:
            free.append([port.free_mbufs() for port in ports])
            yield ports
            free.append([port.free_mbufs() for port in ports])

    monkeypatch.setattr(trafficengine, "open_ports", watched)
    config, _ = load_traffic(None, {**options, "connections": CONNECTIONS, "quiet": True})
    result = trafficengine.run(config)
    assert result.total.connections.completed == CONNECTIONS * len(config.cores)
    assert free[0] == free[1]
