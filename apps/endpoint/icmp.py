"""ICMP and ICMPv6 (RFC 792, RFC 4443): pings, and what errors mean to a socket, by Linux's tables."""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from apps.addresses import is_ip6
from apps.endpoint.packets import Ip, Key, checksum, ones_sum, pseudo_header
from operators import wire

_PORTS_AND_SEQ = struct.Struct(">HHI")

_UNREACHABLE, _TIME_EXCEEDED, _PARAMETER_PROBLEM = 3, 11, 12
_FRAGMENTATION_NEEDED = 4
_CODES = (
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.ECONNREFUSED, errno.EMSGSIZE, errno.EOPNOTSUPP,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH,
)  # fmt: skip
"""By the code of a destination that is unreachable (RFC 1122 section 3.2.2.1)."""

_UNREACHABLE6, _TOO_BIG6, _TIME_EXCEEDED6, _PARAMETER_PROBLEM6 = 1, 2, 3, 4
_CODES6 = (
    errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EACCES, errno.EACCES,
)  # fmt: skip
_MOST_MTU = 0xFFFF


class IcmpError(NamedTuple):
    """An error about a segment of ours: where that came from and went to, and its sequence number."""

    key: Key
    seq: int
    code: int
    """The errno it means; 0 for what is passed over in silence."""
    mtu: int | None
    """Of a packet that was too large for its path: the bytes that path takes, 0 when nobody says. None: it was not."""


def is_ping(ip: Ip) -> bool:
    """Whether *ip* is an intact echo request."""
    kind = wire.ICMP6_ECHO_REQUEST if ip.protocol == wire.PROTO_ICMP6 else wire.ICMP_ECHO_REQUEST
    return ip.payload[:2] == bytes((kind, 0)) and len(ip.payload) >= wire.ICMP_HEADER and _is_intact(ip)


def echo_reply(ip: Ip) -> bytes:
    """The message that answers the ping *ip*. Over IPv4 it ends where the link's longest packet does (RFC 1122 section 3.2.2.6);
    over IPv6 it has all that was sent."""
    is_6 = ip.protocol == wire.PROTO_ICMP6
    rest = bytes((wire.ICMP6_ECHO_REPLY if is_6 else wire.ICMP_ECHO_REPLY, 0, 0, 0)) + ip.payload[4:]
    rest = rest if is_6 else rest[: wire.MTU - wire.IP_HEADER]
    return rest[:2] + checksum(_covered(ip) + rest) + rest[4:]


def icmp_error(ip: Ip) -> IcmpError | None:
    """The error in *ip* if it is intact and quotes a TCP segment."""
    if len(ip.payload) < wire.ICMP_HEADER or not _is_intact(ip):
        return None
    quoted = (_quoted6 if ip.protocol == wire.PROTO_ICMP6 else _quoted)(ip.payload[wire.ICMP_HEADER :])
    if quoted is None:
        return None
    (source, destination), tcp = quoted
    if len(tcp) < _PORTS_AND_SEQ.size:
        return None
    sport, dport, seq = _PORTS_AND_SEQ.unpack_from(tcp)
    meaning = _meaning6 if ip.protocol == wire.PROTO_ICMP6 else _meaning
    return IcmpError((source, sport, destination, dport), seq, *meaning(ip.payload))


def _covered(ip: Ip) -> bytes:
    """What the checksum covers beside the message: of ICMP nothing."""
    if ip.protocol == wire.PROTO_ICMP:
        return b""
    return pseudo_header(ip.source, ip.destination, wire.PROTO_ICMP6, len(ip.payload))


def _is_intact(ip: Ip) -> bool:
    return ones_sum(_covered(ip) + ip.payload) == 0


Quoted = tuple[tuple[int, int], bytes]
"""Source and destination of a packet of ours, and what there is of its segment."""


def _quoted(packet: bytes) -> Quoted | None:
    if len(packet) < wire.IP_HEADER or packet[0] >> 4 != 4 or packet[wire.IP_PROTOCOL] != wire.PROTO_TCP:
        return None
    return struct.unpack_from(">II", packet, wire.IP_SRC), packet[(packet[0] & 15) * 4 :]


def _quoted6(packet: bytes) -> Quoted | None:
    if len(packet) < wire.IP6_HEADER or packet[0] >> 4 != 6 or packet[wire.IP6_NEXT_HEADER] != wire.PROTO_TCP:
        return None
    source = int.from_bytes(packet[wire.IP6_SRC : wire.IP6_DST], "big")
    destination = int.from_bytes(packet[wire.IP6_DST : wire.IP6_HEADER], "big")
    return ((source, destination), packet[wire.IP6_HEADER :]) if is_ip6(source) and is_ip6(destination) else None


def _meaning(icmp: bytes) -> tuple[int, int | None]:
    """errno and MTU. Source quench is passed over in silence (MUST-55)."""
    kind, code = icmp[:2]
    if (kind, code) == (_UNREACHABLE, _FRAGMENTATION_NEEDED):
        return 0, int.from_bytes(icmp[6:8], "big")
    if kind == _UNREACHABLE:
        return _CODES[code] if code < len(_CODES) else 0, None
    return {_TIME_EXCEEDED: errno.EHOSTUNREACH, _PARAMETER_PROBLEM: errno.EPROTO}.get(kind, 0), None


def _meaning6(icmp: bytes) -> tuple[int, int | None]:
    """The same. No path takes less than 1280 bytes, whatever a router says (RFC 8200 section 5)."""
    kind, code = icmp[:2]
    if kind == _TOO_BIG6:
        return 0, max(min(int.from_bytes(icmp[4:8], "big"), _MOST_MTU), wire.IP6_MIN_MTU)
    if kind == _UNREACHABLE6:
        return _CODES6[code] if code < len(_CODES6) else errno.EPROTO, None
    return {_TIME_EXCEEDED6: errno.EHOSTUNREACH, _PARAMETER_PROBLEM6: errno.EPROTO}.get(kind, 0), None
