"""The user's cache directory: private, and written to so that another process never sees half a file."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


def chosen_dir() -> Path:
    """`$TE_APPS_CACHE`, or `te-apps` in `$XDG_CACHE_HOME` or in `~/.cache`."""
    chosen = os.environ.get("TE_APPS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(chosen or os.path.join(base, "te-apps"))


def cache_dir() -> Path:
    """`chosen_dir`, created with mode 0700 where it is missing. What lies there is executed: one that others may write, or this
    user may not, is replaced by a temporary one, gone at exit."""
    path = chosen_dir()
    return path if usable(path) else _temporary()


def usable(path: Path) -> bool:
    """Whether *path* is, or can be made, a directory that this user can write, and nobody else."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and status.st_mode & 0o022 == 0 and os.access(path, os.W_OK | os.X_OK)


@cache
def _temporary() -> Path:
    path = tempfile.mkdtemp(prefix="te-apps-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


def unfinished(target: Path) -> Path:
    """A new empty file beside *target*, to be written and then moved there with `os.replace`."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    return Path(name)
