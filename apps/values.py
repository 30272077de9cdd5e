"""From what a file or an option holds to a checked value.

A converter takes the raw value and *where* it stands (a TOML path or an option), and returns the value or raises
ConfigError with that place, the cause and the remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.config import Response
from apps.errors import ConfigError, nearest

Converter = Callable[[Any, str], Any]

MESSAGE_LIMIT = 1 << 20
"""Bytes of the longest request or response."""
TRANSFER_LIMIT = 1 << 40
"""Bytes of a round, at most."""
WINDOW_LIMIT = 0xFFFF << 14
RATE_LIMIT = 2_000_000_000

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def shown(value: Any) -> str:
    """*value* as a message quotes it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def integer(low: int, high: int, what: str = "an integer") -> Converter:
    """An int of *low* to *high*."""

    def convert(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{where}: {shown(value)} is not an integer; give {what} of {low} to {high}")
        if not low <= value <= high:
            raise ConfigError(f"{where}: {value} is out of range; give {what} of {low} to {high}")
        return value

    return convert


def positive(high: float, unit: str) -> Converter:
    """A number above 0, at most *high*, of *unit*."""

    def convert(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{where}: {shown(value)} is not a number; give {unit} above 0")
        if not (math.isfinite(value) and 0 < value <= high):
            raise ConfigError(f"{where}: {value} is out of range; give {unit} above 0, at most {high:g}")
        return float(value)

    return convert


_SIZE = re.compile(r"(\d{1,15})\s?([KMGT]i?)?B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size(low: int, high: int, unit: str = "bytes") -> Converter:
    """An int, or text with a suffix: K, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024; of *low* to *high*."""

    def convert(value: Any, where: str) -> int:
        found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if isinstance(value, bool) or not (isinstance(value, int) or found):
            raise ConfigError(f"{where}: {shown(value)} is no number of {unit}; give one like 1500, 64Ki or 10M")
        if found:
            suffix = (found[2] or "").upper()
            value = int(found[1]) * (1024 if suffix.endswith("I") else 1000) ** _POWERS[suffix.rstrip("I")]
        if not low <= value <= high:
            raise ConfigError(f"{where}: {value} is out of range; give {low} to {high} {unit}")
        return value

    return convert


_UNITS = {"ms": 1, "s": 1000, "min": 60_000}


def milliseconds(value: Any, where: str) -> int:
    """A time with its unit, such as 10ms or 1.5s, in whole milliseconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s?(ms|s|min)", value.strip()) if isinstance(value, str) else None
    if not found:
        raise ConfigError(f"{where}: {shown(value)} is no time; give one with its unit, like 10ms or 1.5s")
    ms = round(float(found[1]) * _UNITS[found[2]])
    if not 1 <= ms <= 1 << 31:
        raise ConfigError(f"{where}: {shown(value)} is out of range; give at least 1ms")
    return ms


def readable_file(value: Any, where: str) -> Path:
    """The path of a file that can be read and is not empty."""
    path = Path(text(value, where))
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise ConfigError(f"{where}: {shown(value)} cannot be read ({error.strerror}); give a file that can") from None
    if empty:
        raise ConfigError(f"{where}: {shown(value)} is empty; give a file with something in it")
    return path


def choice(*names: str) -> Converter:
    """One of *names*, in any case."""

    def convert(value: Any, where: str) -> str:
        if isinstance(value, str) and value.lower() in names:
            return value.lower()
        guess = nearest(value.lower(), names) if isinstance(value, str) else ""
        raise ConfigError(f"{where}: {shown(value)} is none of {', '.join(names)}{guess}")

    return convert


def boolean(value: Any, where: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: {shown(value)} is not a boolean; give true or false")
    return value


def text(value: Any, where: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {shown(value)} is not a string; put it in quotes")
    if not value.strip() or not value.isprintable():
        raise ConfigError(f"{where}: {shown(value)} is empty or not printable; give a string")
    return value


def name(value: Any, where: str) -> str:
    """A string that can be part of a file's name."""
    if not re.fullmatch(r"[\w.-]{1,64}", text(value, where)):
        raise ConfigError(f"{where}: {shown(value)} cannot be part of a file name; use letters, digits, '-', '_' and '.'")
    return value


def each(convert: Converter, what: str) -> Converter:
    """One value, or a list of at least one, each through *convert*; a tuple without duplicates."""

    def convert_all(value: Any, where: str) -> tuple[Any, ...]:
        items = list(value) if isinstance(value, list | tuple) else [value]
        if not items:
            raise ConfigError(f"{where}: empty; give at least one {what}")
        numbered = len(items) > 1 and not where.startswith("-")
        places = [f"{where}[{index}]" if numbered else where for index in range(len(items))]
        converted = [convert(item, place) for item, place in zip(items, places, strict=True)]
        for index, (item, place) in enumerate(zip(converted, places, strict=True)):
            if item in converted[:index]:
                raise ConfigError(f"{place}: {shown(items[index])} is given twice; name each {what} once")
        return tuple(converted)

    return convert_all


def _escaped(value: str, where: str) -> bytes:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code.startswith("x") and len(code) == 3:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise ConfigError(f"{where}: unknown escape \\{code[:1]}; use \\r \\n \\t \\0 \\xNN or \\\\")
        return _ESCAPES[code].decode("latin-1")

    plain = value.encode("utf-8").decode("latin-1")
    return re.sub(r"\\(x[0-9a-fA-F]{2}|.|$)", replace, plain, flags=re.DOTALL).encode("latin-1")


def _file_bytes(value: str, where: str) -> bytes:
    path = Path(value)
    if not path.is_file():
        raise ConfigError(f"{where}: {shown(value)} is not a file; give @ and the path of a file that exists")
    if path.stat().st_size > MESSAGE_LIMIT:
        raise ConfigError(f"{where}: {shown(value)} is larger than {MESSAGE_LIMIT} bytes; give a smaller file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: {shown(value)} cannot be read ({error.strerror}); give a readable file") from None


def message(value: Any, where: str) -> bytes:
    r"""Text with \r \n \t \0 \xNN escapes, or `@FILE` for a file's bytes as they are."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: {shown(value)} is not a text; give some, or @FILE")
    result = _file_bytes(value[1:], where) if value.startswith("@") else _escaped(value, where)
    if not 0 < len(result) <= MESSAGE_LIMIT:
        raise ConfigError(f"{where}: {len(result)} bytes is out of range; give 1 to {MESSAGE_LIMIT} bytes")
    return result


def response(value: Any, where: str) -> Response:
    """`auto`, `echo`, `http`, `text:TEXT` or `@FILE`."""
    if value in ("auto", "echo", "http"):
        return Response(value)
    if isinstance(value, str) and value.startswith("text:"):
        return Response("text", message(value.removeprefix("text:"), where))
    if isinstance(value, str) and value.startswith("@"):
        return Response("text", message(value, where))
    guess = nearest(value, ("auto", "echo", "http")) if isinstance(value, str) else ""
    raise ConfigError(f"{where}: {shown(value)} is none of auto, echo, http, text:TEXT, @FILE{guess}")
