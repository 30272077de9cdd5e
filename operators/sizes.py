"""What an engine's tables take, and addresses as ranges."""

from __future__ import annotations

from collections.abc import Iterable

from operators.engine import HISTORY, PACE, PAIR, TRANSFER
from tcp.connection import COLD
from tcp.index import index_bytes
from tcp.ip6 import addresses_bytes
from tcp.slots import SLOT_BYTES
from tcp.wheel import ENTRY

PER_CONNECTION = ("conns", "colds", "histories", "index", "slots", "wheel", "transfers", "paces", "app_wheel", "ip6")
"""The tables that have an entry for each connection; `histories` only with records, `transfers` where there may be some,
as many as there may be, `paces` and `app_wheel` where applications do anything by the clock, `ip6` where there is IPv6."""


def table_bytes(connections: int, records: bool, transfers: int = 0, timed: bool = False, ip6: bool = False) -> int:
    """What these take for so many connections, of which *transfers* can be transfers, *timed* ones, but for their constant
    parts."""
    one = PAIR.itemsize + COLD.itemsize + (HISTORY.itemsize if records else 0) + ENTRY.itemsize + SLOT_BYTES
    one += ENTRY.itemsize if timed else 0
    pooled = TRANSFER.itemsize + (PACE.itemsize if timed else 0) + (SLOT_BYTES if transfers < connections else 0)
    return one * connections + pooled * transfers + index_bytes(connections) + (addresses_bytes(connections) if ip6 else 0)


def runs(addresses: Iterable[int]) -> list[tuple[int, int]]:
    """*addresses* as ranges without gaps, each its first and how many there are, in the order of their first mention."""
    found: list[tuple[int, int]] = []
    for address in addresses:
        if found and address == sum(found[-1]):
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((address, 1))
    return found
