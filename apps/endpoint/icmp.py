"""What ICMP errors mean to a socket: Linux's table, after RFC 1122 section 3.2.2.1."""

from __future__ import annotations

import errno

TOO_LARGE = (3, 4)
"""Type and code of what says that a packet is too large for the path."""
_UNREACHABLE, _TIME_EXCEEDED, _PARAMETER_PROBLEM = 3, 11, 12

_CODES = (
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.ECONNREFUSED, errno.EMSGSIZE, errno.EOPNOTSUPP,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH,
)  # fmt: skip
"""By the code of a destination that is unreachable."""


def meaning(kind: int, code: int) -> int:
    """The errno for an ICMP error; 0 for what is to be passed over in silence, as source quench is (MUST-55)."""
    if kind == _UNREACHABLE and code < len(_CODES):
        return _CODES[code]
    return {_TIME_EXCEEDED: errno.EHOSTUNREACH, _PARAMETER_PROBLEM: errno.EPROTO}.get(kind, 0)


def is_fatal(error: int) -> bool:
    """Whether a connection that is being opened fails by it: what asks for smaller packets is no failure."""
    return error != errno.EMSGSIZE
