"""The file of connection records of a real run: nothing lost, and the two ends of each connection agree."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from operators.engine import RECORD
from tests.network.command import te_apps

pytestmark = pytest.mark.usefixtures("compiled")

CONNECTIONS = 50_000


def ends(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clients' records and the servers', each by uid."""
    return tuple(np.sort(records[records["role"] == role], order="uid") for role in (0, 1))


def test_each_connection_has_both_its_records(tmp_path: Path) -> None:
    file = tmp_path / "records.npy"
    run = te_apps("trafficengine", "--connections", CONNECTIONS, "--records", file, "--quiet", seconds=120)
    assert (run.code, run.drops) == (0, {})
    records = np.load(file)
    assert records.dtype == RECORD
    clients, servers = ends(records)
    assert clients["uid"].tolist() == servers["uid"].tolist() == list(range(1, CONNECTIONS + 1))
    for name in ("client_ip", "server_ip", "client_port", "server_port", "core"):
        assert np.array_equal(clients[name], servers[name])
    check_course(clients, "SYN_SENT ESTABLISHED LAST_ACK CLOSED", 2, run.result)
    check_course(servers, "SYN_RECEIVED ESTABLISHED FIN_WAIT_1 TIME_WAIT", 3, run.result)


def check_course(records: np.ndarray, states: str, cause: int, result: dict) -> None:
    """Every record has *states* and *cause*, one payload each way, and times that grow and lie within the run."""
    from tcp.connection import STATE_NAMES

    numbers = [STATE_NAMES.index(name) for name in states.split()]
    n = len(numbers)
    assert set(records["n_states"].tolist()) == {n}
    assert set(map(tuple, records["states"].tolist())) == {(*numbers, *[0] * (8 - n))}
    assert set(records["cause"].tolist()) == {cause}
    assert set(records["sent_payloads"].tolist()) == set(records["received_payloads"].tolist()) == {1}
    deltas = records["deltas"].astype(np.int64)
    assert (np.diff(deltas[:, : n - 1]) >= 0).all()
    assert not deltas[:, n - 1 :].any()
    end = result["elapsed_s"] * 1e6 + 1e6
    assert ((records["start_us"] >= 0) & (records["start_us"] + deltas[:, n - 2] < end)).all()
    assert deltas[:, 0].max() <= result["latency_us"]["lifetime"]["max"] * 1.05 + 100


@pytest.mark.parametrize(
    ("options", "causes"), [((), "Passive Active"), (("--fin-by-client", "1", "--fin-by-server", "9"), "Active Passive")]
)
def test_records_as_text(tmp_path: Path, options: tuple[str, ...], causes: str) -> None:
    file = tmp_path / "records.csv"
    run = te_apps("trafficengine", "--connections", 300, "--records", file, "--quiet", *options, seconds=120)
    assert run.code == 0
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    client, server = (f"{cause}Close" for cause in causes.split())
    assert Counter((row["role"], row["cause"]) for row in rows) == {("client", client): 300, ("server", server): 300}
    assert {row["states_1"] for row in rows} == {"ESTABLISHED"}
    assert {row["server_ip"] for row in rows} == {"198.18.0.1"}
    assert {row["server_port"] for row in rows} == {"65535"}


def test_the_seed_says_in_which_order_ports_are_used(tmp_path: Path) -> None:
    def ports(seed: int) -> list[int]:
        file = tmp_path / "records.npy"
        run = te_apps("trafficengine", "--connections", 500, "--seed", seed, "--records", file, "--quiet", seconds=120)
        assert run.result["seed"] == seed
        return ends(np.load(file))[0]["client_port"].tolist()

    first = ports(1)
    assert len(set(first)) == 500
    assert ports(1) == first
    assert ports(2) != first
    assert sorted(first) != first
