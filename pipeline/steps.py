"""What a pipeline is made of besides operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class GroupBy:
    """Send each packet down the arm that its metadata field *key* selects; an arm is steps or a verdict. Arms merge after.

    Packets of no arm take `otherwise`: steps, or a verdict; by default they go on after the arms.
    """

    key: str
    arms: Mapping[int, Sequence[Any] | int]
    otherwise: Sequence[Any] | int = field(default=())


@dataclass(frozen=True)
class Stage:
    """End the loop over the burst and start another over the packets that are left.

    What one stage prefetches for all of them, the next one needs not wait for.
    """
