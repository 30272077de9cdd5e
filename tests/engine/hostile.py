"""Frames that nobody should send, most of them with right checksums so that what lies behind those is looked at."""

from __future__ import annotations

import random
import struct

from tests.engine.host import CLIENT_IP, CLIENT_MAC, LISTEN, SERVER_IP, SERVER_MAC
from tests.operators.models import checksum

_NEAR = (0, 1, -1, 2, -2, 100, -100, 2047, 2048, 65535, 1 << 30, 1 << 31, (1 << 31) - 1)
_OPTIONS = (b"", b"", b"\x02\x04\x05\xb4", b"\x02\x04\x00\x00", b"\x01\x01\x01\x00", b"\x02\x00\x00\x00", b"\x08\x0a" + bytes(10))


def tcp_frame(
    sport: int, dport: int, seq: int, ack: int, flags: int, *, window: int = 65535, options: bytes = b"", data: bytes = b"",
    offset: int | None = None, fragment: int = 0x4000,
) -> bytes:  # fmt: skip
    """A frame from the client's address to the server's, with right checksums. *offset*: of the data, in words, true or not."""
    words = 5 + len(options) // 4 if offset is None else offset
    fields = (sport, dport, seq % 2**32, ack % 2**32, words << 4, flags, window, 0, 0)
    tcp = struct.pack("!HHIIBBHHH", *fields) + options + data
    addresses = struct.pack("!II", CLIENT_IP, SERVER_IP)
    total = checksum(addresses + struct.pack("!HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + total.to_bytes(2, "big") + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, fragment, 64, 6, 0) + addresses
    ip = ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
    return SERVER_MAC + CLIENT_MAC + b"\x08\x00" + ip + tcp


def segments(rng: random.Random, port: int, seq: int, ack: int) -> bytes:
    """A segment of the connection from *port* whose next numbers are *seq* and *ack*, with anything in it."""

    def beside(number: int) -> int:
        return number + rng.choice((0, rng.choice(_NEAR), rng.randrange(2**32)))

    return tcp_frame(
        rng.choice((port, port, rng.randrange(65536))),
        rng.choice((LISTEN, LISTEN, LISTEN, rng.randrange(65536))),
        beside(seq),
        beside(ack),
        rng.choice((rng.randrange(256), 0x10, 0x18, 0x11, 0x02, 0x04, 0x12)),
        window=rng.choice((65535, 65535, 0, 1, rng.randrange(65536))),
        options=rng.choice(_OPTIONS),
        data=rng.randbytes(rng.choice((0, 0, 1, 16, rng.randrange(1400)))),
        offset=rng.choice((None, None, None, rng.randrange(16))),
        fragment=rng.choice((0x4000, 0x4000, 0, 0x2000, 0x0007)),
    )


def spoilt(rng: random.Random, frame: bytes) -> bytes:
    """*frame* as it is, or cut, or with bytes changed, the header checksum of IP mended or not."""
    kind = rng.randrange(6)
    if kind == 0:
        return frame[: rng.randrange(len(frame))]
    if kind == 1:
        changed = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(12, len(frame))] = rng.choice((0, 1, 0x45, 0x4F, 0xFF, rng.randrange(256)))
        if rng.random() < 0.7:
            size = min(max(changed[14] % 16 * 4, 20), len(changed) - 14)
            changed[24:26] = b"\0\0"
            changed[24:26] = checksum(bytes(changed[14 : 14 + size])).to_bytes(2, "big")
        return bytes(changed)
    return frame


def harmless(rng: random.Random, port: int, seq: int, ack: int) -> bytes:
    """A segment for the connection from *port* that is none of its own: it can guess ports and addresses, not the next number."""
    data = rng.randbytes(rng.choice((0, 1, 900)))
    beside = rng.choice((1, 5, 1000, 60_000, -3000, -60_000, 1 << 30))
    return tcp_frame(port, LISTEN, seq + beside, ack - rng.choice((0, 70_000)), rng.randrange(256), data=data)
