"""The reader of captures finds what was sent again in vain, and nothing else."""

from __future__ import annotations

from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tests.network.frames import write_pcap
from tests.network.needless import read

FIRST = 2**32 - 100
DATA = b"d" * 50


def sent(offset: int, data: bytes = DATA, flags: str = "A") -> bytes:
    tcp = TCP(sport=1, dport=2, seq=(FIRST + offset) % 2**32, flags=flags)
    return bytes(Ether() / IP(src="10.0.0.2", dst="10.0.0.1") / tcp / data)


def acked(offset: int, *blocks: tuple[int, int]) -> bytes:
    edges = [(FIRST + edge) % 2**32 for block in blocks for edge in block]
    tcp = TCP(sport=2, dport=1, ack=(FIRST + offset) % 2**32, flags="A", options=[("SAck", tuple(edges))] if edges else [])
    return bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / tcp)


def found(tmp_path: Path, *frames: bytes, grace: float = 0.0) -> tuple[int, int, int]:
    opening = (sent(0, b"", "S"), *(sent(1 + 50 * k) for k in range(4)))
    result = read(write_pcap(tmp_path / "read.pcap", [*opening, *frames]), "10.0.0.2", grace)
    return result.segments, result.again, len(result.needless)


def test_nothing_again(tmp_path: Path) -> None:
    assert found(tmp_path, acked(201), sent(201)) == (5, 0, 0)


def test_again_before_it_was_known_to_have_arrived(tmp_path: Path) -> None:
    assert found(tmp_path, acked(51), sent(51), acked(101), sent(101)) == (6, 2, 0)


def test_again_after_an_ack(tmp_path: Path) -> None:
    assert found(tmp_path, acked(101), sent(51)) == (5, 1, 1)


def test_again_after_a_sack_across_the_wrap(tmp_path: Path) -> None:
    assert found(tmp_path, acked(1, (51, 151)), sent(101), sent(1), sent(151)) == (7, 3, 1)


def test_what_has_just_arrived_is_not_known_yet(tmp_path: Path) -> None:
    assert found(tmp_path, acked(101), sent(51), grace=0.1) == (5, 1, 0)


def test_a_host_that_was_held_up_has_not_heard_yet(tmp_path: Path) -> None:
    """It hears within 2.5 frames, sends nothing for six, then sends in vain; when it must have heard, that is needless."""
    waiting, new = [acked(101)] * 5, sent(201)
    assert found(tmp_path, *waiting, sent(1), sent(51), grace=2.5e-6) == (6, 2, 0)
    assert found(tmp_path, *waiting, new, new, new, sent(1), grace=2.5e-6) == (8, 3, 1)
    assert found(tmp_path, acked(101), new, acked(101), sent(251), acked(101), sent(1), grace=2.5e-6) == (7, 1, 1)
