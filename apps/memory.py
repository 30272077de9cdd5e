"""How much memory a run's tables take, and whether the machine has it."""

from __future__ import annotations

from pathlib import Path

from apps.config import TrafficConfig
from apps.errors import ConfigError
from operators.sizes import table_bytes

_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
_GIB = 1 << 30


def check_memory(config: TrafficConfig, connections: int) -> None:
    """ConfigError when the tables for *connections* on each core of each device are larger than the memory that is free: the
    kernel would grant them, and end the process when they fill."""
    transfers = config.transfers_among(connections)
    one = table_bytes(connections, config.records is not None, transfers, config.timed, config.has_ip6)
    needed = one * len(config.cores) * len(config.devices)
    free = available()
    if free is not None and needed > free:
        raise ConfigError(
            f"--max-open: the tables for {connections:,} connections on each core take {needed / _GIB:.1f} GiB, and "
            f"{free / _GIB:.1f} GiB of memory are free; give less, or fewer cores"
        )


def available() -> int | None:
    """Bytes of memory that a process can still get; None when the system does not say."""
    try:
        lines = _MEMINFO.read_text().splitlines()
        (free,) = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        return None
    for limit, used in _GROUP_LIMITS:
        try:
            free = min(free, int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):
            continue
    return free
