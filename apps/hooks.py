"""What a transfer carries, as the user wants it: a file's bytes, or hooks that make and check them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba.core.errors import NumbaError, UnsupportedBytecodeError

from apps.config import TrafficConfig
from apps.errors import ConfigError
from dpdk_io.callback import Callback
from pipeline import PipelineError
from pipeline.plugins import named


@dataclass(frozen=True)
class Contents:
    """In place of the pattern; None: nothing else."""

    template: np.ndarray | None = None
    fill: Callback | None = None
    check: Callback | None = None


def contents_of(config: TrafficConfig) -> Contents:
    """Read the file and compile the hooks of *config*. ConfigError says what is wrong with them."""
    template = None
    if config.send_file is not None:
        template = np.fromfile(config.send_file, np.uint8)
    elif config.request is not None and config.transfers:
        template = np.frombuffer(config.request, np.uint8)
    fill = _hook("--payload-hook", config.payload_hook, answers=False)
    return Contents(template, fill, _hook("--check-hook", config.check_hook, answers=True))


def _hook(option: str, target: str | None, *, answers: bool) -> Callback | None:
    if target is None:
        return None
    try:
        fn: Callable[..., object] = named(target, "hook", callable)
        inspect.signature(getattr(fn, "py_func", fn)).bind(*range(4))
        return Callback(fn, answers=answers)
    except PipelineError as error:
        raise ConfigError(f"{option}: {error}") from error
    except (NumbaError, UnsupportedBytecodeError, TypeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)]
        raise ConfigError(
            f"{option}: {target} is no kernel of (address, offset, length, connection): {reason}; decorate it with @kernel"
        ) from error
