"""Connection records on disk: numpy record arrays, in chunks, written as the file's suffix says.

A column whose name ends in `_ip` is shown as an address, and one that has labels by name, in every format but .npy, which keeps
the records as they are. Memory does not grow with the number of records.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from apps.addresses import ip_text, octets_text
from apps.errors import ConfigError
from dpdk_io.errors import TeError

Labels = Mapping[str, Sequence[str]]


class RecordWriter(Protocol):
    """An open file of records. Both methods raise TeError when the disk does not take them."""

    def write(self, chunk: np.ndarray) -> None:
        """Append the records of *chunk*, a one-dimensional structured array."""

    def close(self) -> None:
        """Finish the file."""


def dotted(addresses: np.ndarray) -> np.ndarray:
    """Addresses as text: ints in host order, or IPv6 as on the wire. Few are different in one chunk: each is formatted once."""
    if addresses.ndim == 2:
        return _with_colons(addresses)
    different, which = np.unique(addresses, return_inverse=True)
    return np.array([ip_text(int(address)) for address in different], dtype="U15")[which]


def _with_colons(addresses: np.ndarray) -> np.ndarray:
    whole = [octets.tobytes() for octets in np.ascontiguousarray(addresses)]
    texts = {octets: octets_text(octets) for octets in set(whole)}
    return np.array([texts[octets] for octets in whole], dtype="U39")


def _flat_names(dtype: np.dtype) -> list[tuple[str, str, int | None]]:
    """(column, field, index): a field that is an array makes one column for each element, unless it is an address."""
    columns: list[tuple[str, str, int | None]] = []
    for name in dtype.names or ():
        shape = dtype[name].shape
        indices = range(shape[0]) if shape and not name.endswith("_ip") else [None]
        columns.extend((name if index is None else f"{name}_{index}", name, index) for index in indices)
    return columns


def columns(chunk: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """The chunk's columns by name, addresses dotted, labelled values by name."""
    found = {}
    for column, name, index in _flat_names(chunk.dtype):
        values = chunk[name] if index is None else chunk[name][:, index]
        if name.endswith("_ip"):
            values = dotted(values)
        elif name in labels:
            values = np.array(labels[name])[values]
        found[column] = values
    return found


class _Npy:
    """One .npy array; numpy leaves room in the header for the final length."""

    def __init__(self, path: Path, dtype: np.dtype, labels: Labels) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._dtype = dtype
        self._length = 0
        self._header()

    def _header(self) -> None:
        self._file.seek(0)
        fields = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_2_0(self._file, fields)

    def write(self, chunk: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(chunk).tobytes())
        self._length += len(chunk)

    def close(self) -> None:
        try:
            self._header()
        finally:
            self._file.close()


class _Csv:
    def __init__(self, path: Path, dtype: np.dtype, labels: Labels) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._labels = labels
        self._writer = csv.writer(self._file)
        self._writer.writerow(column for column, _, _ in _flat_names(dtype))

    def write(self, chunk: np.ndarray) -> None:
        self._writer.writerows(zip(*(values.tolist() for values in columns(chunk, self._labels).values()), strict=True))

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, dtype: np.dtype, labels: Labels) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._labels = labels

    def write(self, chunk: np.ndarray) -> None:
        table = columns(chunk, self._labels)
        rows = zip(*(values.tolist() for values in table.values()), strict=True)
        self._file.writelines(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, dtype: np.dtype, labels: Labels) -> None:
        import pyarrow.parquet

        self._labels = labels
        self._writer = pyarrow.parquet.ParquetWriter(path, self._table(np.empty(0, dtype)).schema)

    def _table(self, chunk: np.ndarray) -> Any:
        import pyarrow

        table = columns(chunk, self._labels)
        texts = {
            name: pyarrow.array(values.tolist(), pyarrow.string()) for name, values in table.items() if values.dtype.kind == "U"
        }
        return pyarrow.table({name: texts.get(name, values) for name, values in table.items()})

    def write(self, chunk: np.ndarray) -> None:
        self._writer.write_table(self._table(chunk))

    def close(self) -> None:
        self._writer.close()


_WRITERS: dict[str, Any] = {".csv": _Csv, ".npy": _Npy, ".jsonl": _JsonLines, ".parquet": _Parquet}


def records_path(value: Any, where: str) -> Path:
    """A path records can be written to. Refuses an unknown suffix, a directory that cannot be written, pyarrow missing."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(f"{where}: {value!r} is not a path; give a file that ends in {', '.join(_WRITERS)}")
    path = Path(value)
    if os.path.basename(value) != path.name:
        raise ConfigError(f"{where}: '{os.fspath(value)}' names a directory; give a file that ends in {', '.join(_WRITERS)}")
    if path.suffix not in _WRITERS:
        raise ConfigError(f"{where}: '{path.name}' has no known suffix; let it end in {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"{where}: there is no directory '{path.parent}'; make it first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"{where}: '{path}' cannot be written; choose another path or change its permissions")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"{where}: .parquet needs pyarrow; run pip install 'te-apps[parquet]', or write .npy, .csv or .jsonl")
    return path


class _Told:
    """A writer whose failures, a full disk say, are told in one line."""

    def __init__(self, path: Path, dtype: np.dtype, labels: Labels) -> None:
        self._path = path
        self._writer = self._try(_WRITERS[path.suffix], path, dtype, labels)

    def _try(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except OSError as error:
            raise TeError(
                f"records: '{self._path}' cannot be written: {error.strerror or error}; the file is incomplete"
            ) from error

    def write(self, chunk: np.ndarray) -> None:
        self._try(self._writer.write, chunk)

    def close(self) -> None:
        self._try(self._writer.close)


def open_records(path: Path, dtype: np.dtype, labels: Labels | None = None) -> RecordWriter:
    """Open *path* for records of *dtype*. *labels*: field -> the names of its values 0, 1, 2, ... TeError when writing fails."""
    return _Told(path, np.dtype(dtype), labels or {})
