"""Linux's numbers (x86-64) by the names of its manuals. Requests take both: `SO_RCVBUF` or 8, `MSG_PEEK|MSG_TRUNC` or 0x22."""

from __future__ import annotations

import re
from errno import EINVAL

AF_INET, AF_INET6 = 2, 10
SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC = 1, 0o4000, 0o2000000
F_GETFL, F_SETFL, O_RDWR, O_NONBLOCK = 3, 4, 2, 0o4000
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2
SIOCINQ, SIOCOUTQ, SIOCOUTQNSD = 0x541B, 0x5411, 0x894B

MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL = 0x1, 0x2, 0x20, 0x40, 0x100
MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_MORE = 0x2000, 0x4000, 0x8000

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
POLLRDNORM, POLLWRNORM, POLLRDHUP = 0x40, 0x100, 0x2000

SOL_IP, SOL_SOCKET, SOL_TCP, SOL_IPV6 = 0, 1, 6, 41
IP_TOS, IP_TTL = 1, 2
IPV6_UNICAST_HOPS, IPV6_V6ONLY, IPV6_TCLASS = 16, 26, 67
SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_LINGER, SO_REUSEPORT = 2, 3, 4, 7, 8, 9, 13, 15
SO_RCVLOWAT, SO_ACCEPTCONN, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_PROTOCOL, SO_DOMAIN = 18, 30, 32, 33, 38, 39
TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2 = 1, 2, 3, 4, 5, 6, 7, 8
TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_QUICKACK, TCP_CONGESTION, TCP_USER_TIMEOUT = 9, 10, 12, 13, 18

IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6 = SOL_IP, SOL_TCP, SOL_IPV6
PF_INET, PF_INET6 = AF_INET, AF_INET6
FIONREAD, TIOCOUTQ = SIOCINQ, SIOCOUTQ

NUMBERS = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int) and name != "EINVAL"}
"""Every name a request may use."""


_NUMBER = re.compile(r"-?[0-9]{1,40}|0[xX][0-9a-fA-F]{1,40}")


def number(word: str) -> int:
    """The value of *word*: decimal, 0x.., a name, or several joined by `|`. OSError EINVAL for anything else."""
    value = 0
    for part in word.split("|"):
        value |= NUMBERS[part] if part in NUMBERS else _plain(part)
    return value


def _plain(word: str) -> int:
    if not _NUMBER.fullmatch(word):
        raise OSError(EINVAL, f"no number: {word}")
    return int(word, 16) if word.lower().startswith("0x") else int(word)
