"""Connection records in each format, as other programs read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from apps.errors import ConfigError
from apps.records import open_records, records_path
from dpdk_io.errors import TeError

RECORD = np.dtype([("start_us", "<i8"), ("client_ip", "<u4"), ("server_port", "<u2"), ("cause", "u1"), ("deltas", "<u4", (2,))])
LABELS = {"cause": ("Unknown", "Timeout", "ActiveClose")}


def chunk(start: int, count: int) -> np.ndarray:
    made = np.zeros(count, RECORD)
    made["start_us"] = np.arange(start, start + count)
    made["client_ip"] = 0x0A000001
    made["server_port"] = 65535
    made["cause"] = np.arange(start, start + count) % 3
    made["deltas"] = [7, 4294967295]
    return made


def written(path: Path) -> Path:
    writer = open_records(path, RECORD, LABELS)
    for start, count in ((0, 3), (3, 0), (3, 5)):
        writer.write(chunk(start, count))
    writer.close()
    return path


ROW = {
    "start_us": 2,
    "client_ip": "10.0.0.1",
    "server_port": 65535,
    "cause": "ActiveClose",
    "deltas_0": 7,
    "deltas_1": 4294967295,
}


def test_npy(tmp_path: Path) -> None:
    read = np.load(written(tmp_path / "r.npy"))
    assert read.dtype == RECORD
    assert read.tobytes() == chunk(0, 8).tobytes()


def test_npy_can_be_mapped(tmp_path: Path) -> None:
    assert np.load(written(tmp_path / "r.npy"), mmap_mode="r").shape == (8,)


def test_csv(tmp_path: Path) -> None:
    with written(tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[2] == {name: str(value) for name, value in ROW.items()}


def test_jsonl(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in written(tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert rows[2] == ROW


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    rows = parquet.read_table(written(tmp_path / "r.parquet")).to_pylist()
    assert len(rows) == 8
    assert rows[2] == ROW


@pytest.mark.parametrize("suffix", ["npy", "csv", "jsonl"])
def test_no_records_make_a_readable_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    open_records(path, RECORD, LABELS).close()
    if suffix == "npy":
        assert len(np.load(path)) == 0
    else:
        assert len(path.read_text().splitlines()) == (1 if suffix == "csv" else 0)


def test_a_million_records_fit_the_header(tmp_path: Path) -> None:
    writer = open_records(tmp_path / "r.npy", np.dtype([("n", "u1")]))
    for _ in range(10):
        writer.write(np.zeros(123_457, [("n", "u1")]))
    writer.close()
    assert np.load(tmp_path / "r.npy", mmap_mode="r").shape == (1_234_570,)


def test_paths(tmp_path: Path) -> None:
    assert records_path(str(tmp_path / "a.csv"), "--records") == tmp_path / "a.csv"
    (tmp_path / "dir.csv").mkdir()
    for wrong in (tmp_path / "dir.csv", tmp_path / "a", "", 5):
        with pytest.raises(ConfigError, match="--records"):
            records_path(wrong if isinstance(wrong, int) else str(wrong), "--records")


@pytest.mark.parametrize("end", ["/", "//", "/."])
def test_a_directory_is_no_file(tmp_path: Path, end: str) -> None:
    with pytest.raises(ConfigError, match=f"^--records: '{tmp_path}/a.csv{end}' names a directory; give a file that ends in"):
        records_path(f"{tmp_path}/a.csv{end}", "--records")


@pytest.mark.parametrize("suffix", ["npy", "csv", "jsonl"])
def test_a_full_disk_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"full.{suffix}"
    path.symlink_to("/dev/full")
    with pytest.raises(TeError, match="No space left"):
        written(path)


def test_addresses_of_both_families(tmp_path: Path) -> None:
    """16 bytes as on the wire make one column; an IPv4 address in them is shown as such."""
    dtype = np.dtype([("client_ip", "u1", (16,)), ("server_port", "<u2")])
    records = np.zeros(3, dtype)
    records["client_ip"][0] = np.frombuffer(bytes.fromhex("20010db8000000000000000000000100"), np.uint8)
    records["client_ip"][1:] = np.frombuffer(bytes(10) + b"\xff\xff\x0a\x00\x00\x01", np.uint8)
    texts = ["2001:db8::100", "10.0.0.1", "10.0.0.1"]
    for suffix in (".csv", ".jsonl", ".npy"):
        writer = open_records(tmp_path / f"r{suffix}", dtype)
        writer.write(records)
        writer.write(records[:0])
        writer.close()
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [row["client_ip"] for row in csv.DictReader(file)] == texts
    assert [json.loads(line)["client_ip"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == texts
    assert np.array_equal(np.load(tmp_path / "r.npy"), records)
