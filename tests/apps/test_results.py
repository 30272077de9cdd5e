"""The result: cores added up, the JSON as docs/result.schema.json says, the exit code, and the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.goodput import Moved
from apps.report import Progress, doctor_text, number, result_text
from apps.result import CAUSES, COUNTERS, DURATION, SIGINT, SIGTERM, Connections, CoreResult, Interval, Memory, Result, Role
from pipeline.histogram import bucket, new_histogram

ROOT = Path(__file__).parent.parent.parent
SCHEMA = json.loads((ROOT / "docs/result.schema.json").read_text())


def histogram(*values_ns: int) -> np.ndarray:
    counts = new_histogram()
    for value in values_ns:
        counts[bucket(np.int64(value))] += 1
    return counts


def role(completed: int, failed: int = 0, max_open: int = 1, **counters: int) -> Role:
    made = Role(Connections(completed + failed, completed, completed, failed, max_open, max_open - 1))
    made.counters.update(counters)
    made.causes.update(ActiveClose=completed, Timeout=failed)
    return made


def core(index: int, failed: int = 0) -> CoreResult:
    return CoreResult(
        core=index, elapsed_s=2.0, packets_received=700, packets_sent=710,
        client=role(100, failed, 5 + index, SentSyn=100 + failed),
        server=role(90, 0, 3, RecvSyn=90), syn_cookies={"sent": 7, "accepted": index},
        memory=Memory(10, {"conns": 640 + index, "index": 160}, 99), drops={"parse.short": 2 * index, "rx_nombuf": 0},
        beside_tcp={"arp_responder": 1 + index},
        connect=histogram(1000, 2000, 3000),
        lifetime=histogram(10_000),
        intervals=[Interval(1.0, 60, 50), Interval(2.0, 40, 50, 0.5, Moved(5, 10, 15, 20))][: 2 - index],
        moved=Moved(1000, 2000, 3000 + index, 4000),
    )  # fmt: skip


def two_cores(**more: Any) -> Result:
    return Result("trafficengine", ("net_ring0", "null"), [core(0), core(1)], 2.0, seed=7, **more)


def conforms(value: Any, schema: dict[str, Any], path: str = "$") -> None:
    """The part of JSON schema that docs/result.schema.json uses."""
    if "$ref" in schema:
        target = SCHEMA
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return conforms(value, target, path)
    if "const" in schema:
        assert value == schema["const"], path
    if "enum" in schema:
        assert value in schema["enum"], path
    kinds = {"integer": int, "number": (int, float), "string": str, "object": dict, "array": list, "null": type(None)}
    allowed = schema.get("type", [])
    if allowed:
        names = [allowed] if isinstance(allowed, str) else allowed
        assert any(type(value) in (kinds[n] if isinstance(kinds[n], tuple) else (kinds[n],)) for n in names), f"{path}: {value!r}"
    if "minimum" in schema:
        assert value >= schema["minimum"], path
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value), path
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            assert inner is not False, f"{path}.{key} is not in the schema"
            conforms(item, inner, f"{path}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            conforms(item, schema.get("items", {}), f"{path}[{index}]")
    return None


def test_cores_are_added_up() -> None:
    made = two_cores().to_json()
    assert made["device"] == "net_ring0 null"
    assert made["cores"] == [0, 1]
    assert made["connections"] == {
        "attempted": 200,
        "established": 200,
        "completed": 200,
        "failed": 0,
        "max_open": 6,
        "max_established": 5,
    }
    assert made["roles"]["server"]["completed"] == 180
    assert (made["client"]["SentSyn"], made["server"]["RecvSyn"], made["server"]["SentSyn"]) == (200, 180, 0)
    assert made["release_causes"]["client"] == {**dict.fromkeys(CAUSES, 0), "ActiveClose": 200}
    assert made["drops"] == {"parse.short": 2, "rx_nombuf": 0}
    assert made["beside_tcp"] == {"arp_responder": 3}
    assert (made["cps"], made["pps"]) == (100.0, 1410.0)
    assert made["packets"] == {"received": 1400, "sent": 1420}
    none = dict.fromkeys(("client", "server"), {"sent": 0.0, "received": 0.0})
    some = {"client": {"sent": 10.0, "received": 20.0}, "server": {"sent": 30.0, "received": 40.0}}
    assert made["intervals"] == [
        {"t": 1.0, "started": 120, "completed": 100, "goodput": none},
        {"t": 2.0, "started": 40, "completed": 50, "goodput": some},
    ]
    assert made["goodput"] == {"client": {"sent": 1000.0, "received": 2000.0}, "server": {"sent": 3000.5, "received": 4000.0}}
    assert made["syn_cookies"] == {"sent": 14, "accepted": 1}
    tables = {"conns": 1281, "index": 320, "other": 198}
    assert made["memory"] == {"connections": 20, "per_connection": 80.0, "total": 1799, "tables": tables}
    assert made["latency_us"]["connect"]["count"] == 6
    assert made["latency_us"]["connect"]["p50"] == pytest.approx(2, rel=0.01)
    assert made["latency_us"]["lifetime"]["max"] == pytest.approx(10, rel=0.01)
    assert [share["core"] for share in made["pipelines"]] == [0, 1]
    assert made["pipelines"][1]["connections"]["max_open"] == 6
    assert list(made["client"]) == list(COUNTERS)


@pytest.mark.parametrize(
    "result", [two_cores(), two_cores(ended_by=SIGINT, wanted=5, asked_cps=2.5), Result("m", ("null",), [CoreResult()], 0.0)]
)
def test_json_conforms_to_its_schema(result: Result) -> None:
    made = json.loads(json.dumps(result.to_json()))
    conforms(made, SCHEMA)
    assert list(made) == SCHEMA["required"]
    assert [*made["pipelines"][0]] == SCHEMA["$defs"]["share"]["required"]


def test_numpy_counts_become_plain_numbers() -> None:
    made = core(0)
    made.packets_sent = np.int64(5)  # type: ignore[assignment]
    made.client.counters["SentSyn"] = np.uint64(9)  # type: ignore[assignment]
    made.client.connections.completed = np.int64(100)  # type: ignore[assignment]
    made.drops["parse.short"] = np.int64(1)  # type: ignore[assignment]
    made.intervals = [Interval(np.float64(1.0), np.int64(1), np.int64(2))]  # type: ignore[arg-type]
    conforms(
        json.loads(
            json.dumps(Result("x", ("null",), [made], np.float64(1.0), ports={"null": {"ipackets": np.int64(3)}}).to_json())
        ),
        SCHEMA,
    )  # type: ignore[dict-item]


def test_exit_codes() -> None:
    assert two_cores(wanted=200).exit_code == 0
    assert two_cores(wanted=201).exit_code == 1
    assert two_cores(wanted=201, ended_by=DURATION).exit_code == 0
    stuck = CoreResult(elapsed_s=1.0, client=Role(Connections(attempted=5)))
    assert Result("x", (), [stuck], 1.0, ended_by=DURATION).exit_code == 1
    assert Result("x", (), [CoreResult()], 1.0, ended_by=DURATION).exit_code == 0
    assert two_cores(ended_by=SIGINT).exit_code == 130
    assert two_cores(ended_by=SIGTERM).exit_code == 143
    assert Result("x", (), [core(0, failed=1)], 1.0, wanted=100).exit_code == 1
    wrong = core(0)
    wrong.unexpected = 1
    assert Result("x", (), [wrong], 1.0).exit_code == 1


def test_a_server_alone_reports_its_connections() -> None:
    made = CoreResult(elapsed_s=1.0, server=role(90))
    assert Result("x", (), [made], 1.0).to_json()["connections"]["completed"] == 90


def test_tables() -> None:
    text = result_text(two_cores(ports={"net_ring0": {"ipackets": 5, "imissed": 0}}))
    assert "200 of 200 connections completed, 0 failed" in text
    assert ["SentSyn", "200", "0"] in [line.split() for line in text.splitlines()]
    assert "parse.short" in text
    assert "rx_nombuf" not in text
    assert "net_ring0 ipackets" in text
    assert "imissed" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_tables_fit_80_columns_with_large_numbers() -> None:
    big = 10**10
    result = two_cores()
    for share in result.cores:
        share.client = role(big, big, 10**6, **dict.fromkeys(COUNTERS, big))
        share.server = share.client
        share.packets_sent = 10**14
        share.connect = histogram(60 * 10**9)
        share.shortfall = share.unexpected = big
    text = result_text(result)
    assert max(map(len, text.splitlines())) <= 80, text


def test_tables_of_an_app_without_connections() -> None:
    text = result_text(Result("macswap", ("null",), [CoreResult(elapsed_s=1.0, packets_received=1234, packets_sent=1234)], 1.0))
    assert "1,234 packets received, 1,234 sent" in text
    assert "connections completed" not in text
    assert "SentSyn" not in text


def test_numbers() -> None:
    assert [number(v) for v in (0, 1234567, 0.25, 99.94, 1234.5)] == ["0", "1,234,567", "0.2", "99.9", "1,234"]


def test_doctor() -> None:
    from dpdk_io.probe import Check

    text = doctor_text([Check("cores", True, "2"), Check("hugepages", False, "none", "sysctl vm.nr_hugepages=512")])
    assert text.splitlines() == ["ok   cores: 2", "no   hugepages: none", "     -> sysctl vm.nr_hugepages=512"]


class _Stream:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_progress_leaves_nothing_behind() -> None:
    stream: Any = _Stream()
    progress = Progress(True, stream)
    progress.update(12.0, 5_000_000, 3, 512, 1_234_567.8)
    progress.update(13.0, 5, 0, 1, 1.0)
    progress.update_packets(14.0, 10**15, 10.0**9)
    progress.close()
    lines = stream.text.split("\r")
    assert "5,000,000 completed" in lines[1]
    assert "3 failed" in lines[1]
    assert len(lines[2]) >= len(lines[1])
    assert lines[-2].strip() == lines[-1] == ""
    assert max(map(len, lines)) < 80
    progress.close()
    assert stream.text == "\r".join(lines)


def test_no_progress_when_it_is_not_wanted() -> None:
    stream: Any = _Stream()
    progress = Progress(False, stream)
    progress.update(1.0, 1, 0, 1, 1.0)
    progress.close()
    assert stream.text == ""


def test_goodput_is_shown_where_it_matters() -> None:
    assert "goodput" not in result_text(two_cores())
    text = result_text(two_cores(transfers=True))
    assert "client received  2,000" in " ".join(text.split()).replace("received ", "received  ")
    assert "Mbit/s" in text


def test_content_that_differs_fails_the_run() -> None:
    made = two_cores()
    assert made.exit_code == 0
    made.cores[1].server.counters["Mismatches"] = 3
    assert made.exit_code == 1
    assert "3 segments brought other content than was sent." in result_text(made)
