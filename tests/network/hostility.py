"""Hostile frames, all from a seed, out of an interface: `hostility.py INTERFACE COUNT SEED`; as JSON, how many of which kind.

Segments of any kind at a listening port and beside it, with right checksums and wrong ones, a flood of SYNs from addresses that
do not answer, segments from the target's own address and port, overlapping fragments, and frames cut short. They go from 10.0.0.1
and strangers to 10.0.0.2, with the hardware addresses of tests.engine.host.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time

from tests.engine.host import LISTEN, SERVER_IP
from tests.engine.hostile import segments, spoilt, tcp_frame
from tests.operators.models import checksum

STRANGERS = 0xC6120000
SYN = 2


def from_address(frame: bytes, address: int) -> bytes:
    """*frame* with another source; the sums of RFC 1071 change as the address does."""
    changed = frame[:26] + address.to_bytes(4, "big") + frame[30:]
    ip = changed[14:24] + b"\0\0" + changed[26:34]
    length = len(frame) - 34
    pseudo = changed[26:34] + b"\0\6" + length.to_bytes(2, "big")
    tcp = changed[34:50] + b"\0\0" + changed[52:]
    return (
        changed[:14] + ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
        + tcp[:16] + checksum(pseudo + tcp).to_bytes(2, "big") + tcp[18:]
    )  # fmt: skip


def syn(rng: random.Random) -> bytes:
    """From 198.18/16, where nobody is."""
    frame = tcp_frame(rng.randrange(1, 65536), LISTEN, rng.randrange(2**32), 0, SYN, options=b"\x02\x04\x05\xb4")
    return from_address(frame, STRANGERS + rng.randrange(65536))


def land(rng: random.Random) -> bytes:
    """From the address and port it goes to."""
    return from_address(tcp_frame(LISTEN, LISTEN, rng.randrange(2**32), 0, SYN), SERVER_IP)


def fragment(rng: random.Random) -> bytes:
    """A piece of a segment that overlaps the others, from a port that the peer's own connections may use."""
    return tcp_frame(
        rng.randrange(32768, 61000),
        LISTEN,
        1,
        1,
        0x18,
        data=bytes(64),
        fragment=rng.choice((0x2000, 0x2001, 0x2003, 0x0002, 0x0005)),
    )


def wrong_sum(rng: random.Random) -> bytes:
    frame = bytearray(tcp_frame(rng.randrange(1, 65536), LISTEN, rng.randrange(2**32), rng.randrange(2**32), rng.randrange(64)))
    frame[50] ^= rng.randrange(1, 255)
    return bytes(frame)


def anything(rng: random.Random) -> bytes:
    """From ports that the peer's own connections do not use."""
    return spoilt(rng, segments(rng, rng.randrange(1, 32768), rng.randrange(2**32), rng.randrange(2**32)))


KINDS = (syn, syn, land, fragment, wrong_sum, anything, anything, anything)


def main(interface: str, count: str, seed: str) -> None:
    """In bursts of 100, at most some ten thousand a second."""
    rng = random.Random(int(seed))
    sent = dict.fromkeys((kind.__name__ for kind in KINDS), 0)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        for number in range(int(count)):
            kind = rng.choice(KINDS)
            out.send(kind(rng).ljust(60, b"\0"))
            sent[kind.__name__] += 1
            if number % 100 == 0:
                time.sleep(0.005)
    print(json.dumps(sent))


if __name__ == "__main__":
    main(*sys.argv[1:])
