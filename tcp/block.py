"""A structure that kernels share: one record, and the arrays that it points to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Block:
    """Keeps *arrays* alive as long as *record* may be used."""

    record: Any
    """The structure's record, in 64-byte aligned memory: what kernels take."""
    arrays: tuple[np.ndarray, ...]

    @property
    def address(self) -> int:
        """The address of the record, for `record_at`."""
        return int(self.arrays[0].ctypes.data)
