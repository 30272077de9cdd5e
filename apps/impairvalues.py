"""What `--impair` and the table `run.impair` hold: a network's troubles by name, with their units."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from apps.config import Impairment
from apps.errors import ConfigError, nearest
from apps.values import integer, shown

_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SIZES = {"": 1, "k": 1_000, "m": 1_000_000}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?([a-z]*)", re.IGNORECASE)
_LONGEST = 60.0
"""Seconds."""


def _probability(value: Any, where: str) -> float:
    """A number of 0 to 1, or a percentage."""
    try:
        percent = isinstance(value, str) and value.endswith("%")
        found = float(value[:-1]) / 100 if percent else float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: {shown(value)} is no probability; give one like 1% or 0.01") from None
    if not 0.0 <= found <= 1.0:
        raise ConfigError(f"{where}: {shown(value)} is out of range; give a probability of 0% to 100%, or of 0 to 1")
    return found


def _quantity(units: Mapping[str, float], example: str, most: float) -> Callable[[Any, str], float]:
    def convert(value: Any, where: str) -> float:
        match = _QUANTITY.fullmatch(str(value))
        if isinstance(value, bool) or match is None or (match[2].lower() not in units and float(match[1]) != 0.0):
            raise ConfigError(f"{where}: {shown(value)} is not understood; give a number and {_listed(units)}, like {example}")
        found = float(match[1]) * units.get(match[2].lower(), 1.0)
        if found > most:
            raise ConfigError(f"{where}: {shown(value)} is too much; give at most {_largest(units, most)}")
        return found

    return convert


def _listed(units: Mapping[str, float]) -> str:
    return " or ".join(unit or "nothing" for unit in units)


def _largest(units: Mapping[str, float], most: float) -> str:
    unit = list(units)[-1]
    return f"{most / units[unit]:g}{unit}"


def _bytes(value: Any, where: str) -> int:
    return int(_quantity(_SIZES, "150k", 1e9)(value, where))


def _count(value: Any, where: str, low: int, high: int) -> int:
    return integer(low, high)(int(value) if isinstance(value, str) and value.isdecimal() else value, where)


_time = _quantity(_TIMES, "20ms", _LONGEST)
_CONVERT: dict[str, Callable[[Any, str], Any]] = {
    "loss": _probability,
    "corrupt": _probability,
    "duplicate": _probability,
    "reorder": _probability,
    "delay": _time,
    "jitter": _time,
    "rate": _quantity(_RATES, "10mbit", 1e12),
    "queue": _bytes,
    "limit": lambda value, where: _count(value, where, 1, 1 << 22),
    "seed": lambda value, where: _count(value, where, 0, (1 << 63) - 1),
}


def impairment(value: Any, where: str) -> Impairment:
    """`loss=1%,delay=20ms,...`, or a table of the same. ConfigError for what is unknown or cannot be."""
    table = _split(value, where) if isinstance(value, str) else value
    if not isinstance(table, dict) or not table:
        raise ConfigError(f"{where}: {shown(value)} impairs nothing; give {', '.join(_CONVERT)}, like loss=1%,delay=20ms")
    for name in table:
        if name not in _CONVERT:
            raise ConfigError(f"{where}: there is no '{name}'{nearest(name, _CONVERT) or '; there are ' + ', '.join(_CONVERT)}")
    made = Impairment(**{name: _CONVERT[name](given, f"{where} {name}") for name, given in table.items()})
    if made.jitter > made.delay:
        raise ConfigError(f"{where} jitter: {made.jitter:g} s is more than the delay of {made.delay:g} s; give at most the delay")
    if made.reorder and not (made.delay or made.rate):
        raise ConfigError(f"{where} reorder: a packet overtakes those that are held; give a delay or a rate, too")
    return made


def _split(text: str, where: str) -> dict[str, str]:
    """The items of `name=value,name=value`."""
    table: dict[str, str] = {}
    for item in text.split(","):
        name, equals, given = (part.strip() for part in item.partition("="))
        if not (name and equals and given):
            raise ConfigError(f"{where}: {shown(item)} is not understood; give NAME=VALUE, like loss=1%")
        if name in table:
            raise ConfigError(f"{where}: {name} is given twice; give it once")
        table[name] = given
    return table
