"""The secret behind initial sequence numbers, the user's own and the same in every run (RFC 6528 section 3).

With it, and a clock that goes on between runs, a connection of a later run begins beyond what the peer remembers in TIME_WAIT.
"""

from __future__ import annotations

import os
import secrets

from dpdk_io.cache import cache_dir, unfinished

_BYTES = 16


def isn_secret() -> tuple[int, int] | None:
    """Two words of 63 bits; None when they cannot be kept."""
    try:
        kept = _kept()
    except OSError:
        return None
    return int.from_bytes(kept[:8], "little") >> 1, int.from_bytes(kept[8:], "little") >> 1


def _kept() -> bytes:
    path = cache_dir() / "isn-secret"
    kept = path.read_bytes() if path.exists() else b""
    if len(kept) != _BYTES:
        kept = secrets.token_bytes(_BYTES)
        fresh = unfinished(path)
        fresh.write_bytes(kept)
        os.replace(fresh, path)
    return kept
