"""SETSOCKOPT and GETSOCKOPT: what a socket was told, checked and rounded as Linux does it (socket(7), tcp(7), ip(7))."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from apps.config import CONGESTION
from apps.endpoint import linux as n

_LARGEST_BUFFER = 212_992
"""net.core.rmem_max and wmem_max."""
_SMALLEST_RCVBUF, _SMALLEST_SNDBUF = 2304, 4608
_LARGEST_RCVLOWAT = 3 << 20
"""Half of what a receive buffer grows to that nobody has set (net.ipv4.tcp_rmem)."""
_AUTOTUNED_SNDBUF = 4 << 20
"""How far a send buffer grows that nobody has set (net.ipv4.tcp_wmem)."""
_RTO_INITIAL_S, _RTO_MAX_S = 1, 120
_TTL = 64
_INT_MAX = (1 << 31) - 1


@dataclass
class Settings:
    """A socket's options: times in the units of their option, sizes in bytes as GETSOCKOPT tells them."""

    rcvbuf: int = 131_072
    sndbuf: int = 16_384
    sndbuf_set: bool = False
    linger: int = -1
    keepalive: int = 0
    reuseaddr: int = 0
    reuseport: int = 0
    rcvlowat: int = 1
    nodelay: int = 0
    cork: int = 0
    maxseg: int = 0
    quickack: int = 1
    quickack_set: bool = False
    user_timeout: int = 0
    keepidle: int = 7200
    keepintvl: int = 75
    keepcnt: int = 9
    syncnt: int = 6
    linger2: int = 60
    defer_accept: int = 0
    window_clamp: int = 0
    congestion: str = ""
    """A name of apps.config.CONGESTION; empty: the host's."""
    tos: int = 0
    ttl: int = _TTL
    v6only: int = 0
    tclass: int = 0
    hops: int = _TTL

    def copy(self) -> Settings:
        """What an accepted connection inherits."""
        return replace(self)

    @property
    def receive_room(self) -> int:
        """Bytes of payload the receive buffer holds: half of it, as with net.ipv4.tcp_adv_win_scale = 1."""
        room = self.rcvbuf // 2
        return min(room, self.window_clamp) if self.window_clamp else room

    @property
    def send_room(self) -> int:
        """Bytes that may be queued and unacknowledged."""
        return self.sndbuf // 2 if self.sndbuf_set else _AUTOTUNED_SNDBUF

    def changed(self) -> dict[str, int | str]:
        """The options that are not as they were in the beginning."""
        fresh = vars(Settings())
        return {name: value for name, value in vars(self).items() if value != fresh[name] and not name.endswith("_set")}


@dataclass(frozen=True)
class Option:
    """One option: the field of `Settings` it sets, the values it takes, and how they become what is kept, and told."""

    field: str
    least: int = -_INT_MAX - 1
    most: int = _INT_MAX
    kept: Callable[[int], int] = int
    told: Callable[[int], int] = int


def _flag(field: str) -> Option:
    return Option(field, kept=lambda value: int(value != 0))


def _rcvbuf(value: int) -> int:
    return max(2 * min(max(value, 0), _LARGEST_BUFFER), _SMALLEST_RCVBUF)


def _sndbuf(value: int) -> int:
    return max(2 * min(max(value, 0), _LARGEST_BUFFER), _SMALLEST_SNDBUF)


def _rcvlowat(value: int) -> int:
    return min(value or 1, _LARGEST_RCVLOWAT) if value >= 0 else _LARGEST_RCVLOWAT


def _window_clamp(value: int) -> int:
    return max(value, _SMALLEST_RCVBUF // 2) if value else 0


def _linger2(seconds: int) -> int:
    """Seconds in FIN-WAIT-2: at most 120, 60 for 0; -1: none at all."""
    return min(seconds, 120) or 60 if seconds >= 0 else -1


def _retransmissions(seconds: int) -> int:
    """How many timeouts of a SYN-ACK fit into *seconds*."""
    count, period, timeout = 0, 0, _RTO_INITIAL_S
    while seconds > period and count < 255:
        count += 1
        period += timeout
        timeout = min(2 * timeout, _RTO_MAX_S)
    return count


def retransmission_seconds(count: int) -> int:
    """Seconds until the *count*-th timeout of a SYN-ACK."""
    return sum(min(_RTO_INITIAL_S << k, _RTO_MAX_S) for k in range(count))


OPTIONS: Mapping[tuple[int, int], Option] = MappingProxyType(
    {
        (n.SOL_SOCKET, n.SO_RCVBUF): Option("rcvbuf", kept=_rcvbuf),
        (n.SOL_SOCKET, n.SO_SNDBUF): Option("sndbuf", kept=_sndbuf),
        (n.SOL_SOCKET, n.SO_RCVBUFFORCE): Option("rcvbuf", kept=lambda value: max(2 * value, _SMALLEST_RCVBUF)),
        (n.SOL_SOCKET, n.SO_SNDBUFFORCE): Option("sndbuf", kept=lambda value: max(2 * value, _SMALLEST_SNDBUF)),
        (n.SOL_SOCKET, n.SO_LINGER): Option("linger", kept=lambda value: max(value, -1)),
        (n.SOL_SOCKET, n.SO_KEEPALIVE): _flag("keepalive"),
        (n.SOL_SOCKET, n.SO_REUSEADDR): _flag("reuseaddr"),
        (n.SOL_SOCKET, n.SO_REUSEPORT): _flag("reuseport"),
        (n.SOL_SOCKET, n.SO_RCVLOWAT): Option("rcvlowat", kept=_rcvlowat),
        (n.SOL_TCP, n.TCP_NODELAY): _flag("nodelay"),
        (n.SOL_TCP, n.TCP_CORK): _flag("cork"),
        (n.SOL_TCP, n.TCP_QUICKACK): _flag("quickack"),
        (n.SOL_TCP, n.TCP_KEEPIDLE): Option("keepidle", 1, 32_767),
        (n.SOL_TCP, n.TCP_KEEPINTVL): Option("keepintvl", 1, 32_767),
        (n.SOL_TCP, n.TCP_KEEPCNT): Option("keepcnt", 1, 127),
        (n.SOL_TCP, n.TCP_SYNCNT): Option("syncnt", 1, 127),
        (n.SOL_TCP, n.TCP_LINGER2): Option(
            "linger2", kept=lambda value: min(value, 120) if value > 0 else 60 if value == 0 else -1
        ),
        (n.SOL_TCP, n.TCP_DEFER_ACCEPT): Option("defer_accept", kept=_retransmissions, told=retransmission_seconds),
        (n.SOL_TCP, n.TCP_WINDOW_CLAMP): Option(
            "window_clamp", kept=lambda value: max(value, _SMALLEST_RCVBUF // 2) if value else 0
        ),
        (n.SOL_TCP, n.TCP_USER_TIMEOUT): Option("user_timeout", 0),
        (n.SOL_IP, n.IP_TOS): Option("tos", kept=lambda value: value & 0xFC),
        (n.SOL_IPV6, n.IPV6_V6ONLY): _flag("v6only"),
        (n.SOL_IPV6, n.IPV6_TCLASS): Option("tclass", -1, 255, kept=lambda value: max(value, 0) & 0xFC),
        (n.SOL_IPV6, n.IPV6_UNICAST_HOPS): Option("hops", -1, 255, kept=lambda value: _TTL if value == -1 else value),
        (n.SOL_IP, n.IP_TTL): Option("ttl", -1, 255, kept=lambda value: _TTL if value == -1 else value),
    }
)
"""What SETSOCKOPT and GETSOCKOPT have in common. TCP_MAXSEG, and what can only be read, is the socket's."""

_WRITE_ONLY = ((n.SOL_SOCKET, n.SO_RCVBUFFORCE), (n.SOL_SOCKET, n.SO_SNDBUFFORCE))
_MAXSEG_LEAST, _MAXSEG_MOST = 88, 32_767


def name_in(value: int) -> str:
    """The name that an int holds to whose memory setsockopt(2) is pointed: its bytes up to a zero."""
    return (value & 0xFFFFFFFF).to_bytes(4, "little").partition(b"\0")[0].decode("latin-1")


def as_int(name: str) -> int:
    """The int that getsockopt(2) has put the beginning of *name* into."""
    return int.from_bytes(name.encode()[:4], "little")


def set_option(settings: Settings, level: int, name: int, value: int | str) -> None:
    """Check and note *value*; OSError EINVAL, ENOENT or ENOPROTOOPT."""
    if (level, name) == (n.SOL_TCP, n.TCP_CONGESTION):
        wanted = value if isinstance(value, str) else name_in(value)
        if wanted not in CONGESTION:
            raise OSError(errno.ENOENT, "TCP_CONGESTION")
        settings.congestion = wanted
        return
    if isinstance(value, str):
        raise OSError(errno.EINVAL, "no number")
    if (level, name) == (n.SOL_TCP, n.TCP_MAXSEG):
        if value and not _MAXSEG_LEAST <= value <= _MAXSEG_MOST:
            raise OSError(errno.EINVAL, "TCP_MAXSEG")
        settings.maxseg = value
        return
    option = OPTIONS.get((level, name))
    if option is None:
        raise OSError(errno.ENOPROTOOPT, "unknown option")
    if not option.least <= value <= option.most or (option.field, value) == ("ttl", 0):
        raise OSError(errno.EINVAL, option.field)
    setattr(settings, option.field, option.kept(value))
    if option.field in ("sndbuf", "quickack"):
        setattr(settings, f"{option.field}_set", True)


def get_option(settings: Settings, level: int, name: int) -> int:
    """What GETSOCKOPT says; OSError ENOPROTOOPT."""
    option = OPTIONS.get((level, name))
    if option is None or (level, name) in _WRITE_ONLY:
        raise OSError(errno.ENOPROTOOPT, "unknown option")
    return option.told(getattr(settings, option.field))
