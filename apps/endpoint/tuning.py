"""How every connection of an endpoint negotiates and behaves: what net.ipv4.tcp_* is to Linux, with the same defaults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE


class Ecn(Enum):
    """Who may ask for explicit congestion notification."""

    OFF = "off"
    PASSIVE = "passive"
    """The peer."""
    ON = "on"
    """Both."""


@dataclass(frozen=True)
class Tuning:
    """net.ipv4.tcp_timestamps, tcp_sack, tcp_window_scaling, tcp_ecn and tcp_congestion_control."""

    timestamps: bool = True
    sack: bool = True
    window_scale: bool = True
    ecn: Ecn = Ecn.PASSIVE
    congestion: str = "cubic"
    """One of apps.config.CONGESTION."""

    @property
    def options(self) -> int:
        """The OPT_ bits of what SYNs offer."""
        offered = ((self.timestamps, OPT_TIMESTAMPS), (self.sack, OPT_SACK_PERMITTED), (self.window_scale, OPT_WSCALE))
        return sum(bit for on, bit in offered if on)
