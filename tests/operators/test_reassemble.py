"""reassemble: fragments in any order, against a slow model; and what hostile ones do."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.l2 import Ether

from dpdk_io.jit import JIT
from operators.fragments import Fragments
from operators.icmp_echo import icmp_echo
from operators.parse import parse
from operators.reassemble import reassemble
from operators.to_kernel import to_kernel
from pipeline import NEXT, operator
from pipeline.testing import Bench
from tests.operators.fragments_model import CE, ECT, NOT_ECT, Model, Piece, cut, whole
from tests.operators.frames import ETHER, IP4, IP6
from tests.operators.models import FIELDS, expected

CAPACITY = 4
RATE = 10**15
"""Cycles in a second: those that really pass are next to nothing."""
PINGED = 0x0A040507
BODY = bytes((0, 9, 0, 9, 0, 40, 0, 0, 1, 2, 3, 4, 0x50)) + bytes(range(13, 100))
"""Makes sense as UDP and as TCP."""


@operator(state=[("readable", "i8")])
def note_length(length, state):
    """Remember how many bytes can be read."""
    state.readable = length
    return NEXT


class Rig:
    """`reassemble` behind parse, with a table of four datagrams and a clock that the test moves."""

    def __init__(self) -> None:
        self.table = Fragments(capacity=CAPACITY, rate=RATE)
        echo = icmp_echo(ip=PINGED, mask=0xFFFFFFFF)
        self.bench = Bench([parse, reassemble, note_length, echo, to_kernel], resources={"fragments": lambda core: self.table})
        self._state: Any = self.bench.core.states[1][0]

    def reset(self) -> None:
        self.table.datagrams.fragments[:] = 0
        for name in ("whole", *reassemble.drops):
            self._state[name] = 0

    def advance(self, seconds: float) -> None:
        self.table.datagrams.began[:] -= int(seconds * RATE)

    def put(self, frame: bytes, segment: int = 2048) -> bytes | None:
        """The frame that goes on, with all that parse says of it."""
        (outcome,) = self.bench.run([frame], segment=segment)
        if outcome.verdict != "slow":
            return None
        assert {name: outcome.meta[name] for name in FIELDS} == expected(outcome.frame)
        assert int(self.bench.core.states[2]["readable"][0]) == len(outcome.frame)
        return outcome.frame

    @property
    def counters(self) -> dict[str, int]:
        """Those that are not zero."""
        return {name: int(self._state[name]) for name in ("whole", *reassemble.drops) if self._state[name]}


@pytest.fixture(scope="module")
def made() -> Rig:
    return Rig()


@pytest.fixture
def rig(made: Rig) -> Rig:
    made.reset()
    return made


FAMILIES = pytest.mark.parametrize("version", [4, 6])


@FAMILIES
@pytest.mark.parametrize("sizes", [[8], [24, 16], [8, 8, 40], [8, 16, 24, 32]])
def test_any_order_gives_the_same_datagram(rig: Rig, version: int, sizes: list[int]) -> None:
    orders = list(itertools.permutations(cut(BODY, sizes, version=version)))
    for ident, pieces in enumerate(orders if JIT else orders[::5]):
        *others, last = [piece._replace(ident=ident) for piece in pieces]
        assert [rig.put(piece.frame) for piece in others] == [None] * len(others)
        assert rig.put(last.frame) == whole([*others, last])
    assert rig.counters == {"whole": ident + 1}


@pytest.mark.parametrize("size", [576, 1500, 2034])
def test_as_scapy_cuts_it(rig: Rig, size: int) -> None:
    """What RFC 1122 and RFC 8200 ask for at least, and what fits an mbuf."""
    packet = IP(bytes(IP4 / ICMP(id=1, seq=2) / bytes(size - 28)))
    frames = [bytes(ETHER / piece) for piece in fragment(packet, fragsize=360)]
    assert [rig.put(frame) for frame in frames][-1] == bytes(ETHER / packet)
    udp = UDP(sport=1, dport=2) / bytes(size - 48)
    packet6 = Ether(bytes(ETHER / IP6 / udp))
    frames = [bytes(piece) for piece in fragment6(ETHER / IP6 / IPv6ExtHdrFragment() / udp, 400)]
    assert [rig.put(frame) for frame in frames][-1] == bytes(packet6)
    assert rig.counters == {"whole": 2}


@FAMILIES
def test_headers_are_those_of_the_first(rig: Rig, version: int) -> None:
    headers = bytes((1, 1, 1, 1)) if version == 4 else bytes((0, 0, 1, 4, 0, 0, 0, 0)) * 2
    first, last = cut(BODY, [24], version=version)
    first = first._replace(headers=headers, vlan=7)
    assert rig.put(last._replace(vlan=7).frame) is None
    assert rig.put(first.frame) == whole([first, last])


def test_the_first_of_ip6_says_what_follows(rig: Rig) -> None:
    first, last = cut(BODY, [24], version=6)
    assert rig.put(last._replace(proto=6).frame) is None
    assert rig.put(first.frame) == whole([first, last])


@FAMILIES
@pytest.mark.parametrize("other", [{"ident": 2}, {"source": 4}, {"vlan": 5}, {"proto": 6}])
def test_datagrams_are_told_apart(rig: Rig, version: int, other: dict[str, int]) -> None:
    first, last = cut(BODY, [24], version=version)
    for piece in (first, last._replace(**other)):  # type: ignore[arg-type]
        found = rig.put(piece.frame)
    assert (found is None) == ("proto" not in other or version == 4)


def test_families_are_told_apart(rig: Rig) -> None:
    first, last = cut(BODY, [24])
    assert [rig.put(piece.frame) for piece in (first, last._replace(version=6))] == [None, None]


@FAMILIES
def test_a_duplicate_changes_nothing(rig: Rig, version: int) -> None:
    pieces = cut(BODY, [24, 16], version=version)
    for piece in (pieces[0], pieces[0], pieces[2], pieces[2]):
        assert rig.put(piece.frame) is None
    assert rig.put(pieces[1].frame) == whole(pieces)
    assert rig.counters == {"whole": 1, "duplicate": 2}


@FAMILIES
@pytest.mark.parametrize("start", [0, 8, 16])
def test_a_part_of_a_fragment_again(rig: Rig, version: int, start: int) -> None:
    """RFC 8200 section 4.5 lets none but exact duplicates of IPv6 pass."""
    pieces = cut(BODY, [24, 16], version=version)
    again = Piece(version=version, start=start, data=BODY[start : start + 8], more=True)
    assert [rig.put(piece.frame) for piece in (pieces[0], again, pieces[1])] == [None] * 3
    assert (rig.put(pieces[2].frame) == whole(pieces)) == (version == 4)
    assert rig.counters == ({"whole": 1, "duplicate": 1} if version == 4 else {"overlap": 2, "unfinished": 2})


@FAMILIES
@pytest.mark.parametrize(
    "other",
    [
        Piece(start=8, data=bytes(8), more=True),
        Piece(start=0, data=BODY[:32], more=True),
        Piece(start=16, data=BODY[16:32], more=True),
        Piece(start=0, data=bytes(24), more=True),
        Piece(start=40, data=BODY[40:-1]),
        Piece(start=40, data=BODY[40:] + b"x"),
        Piece(start=200, data=BODY[:8], more=True),
        Piece(start=40, data=bytes(56), more=True),
        Piece(start=16, data=BODY[16:24]),
    ],
    ids=["within", "longer", "across", "other bytes", "shorter", "longer last", "beyond", "no last", "an earlier last"],
)
def test_what_overlaps_or_changes_the_length_ends_the_datagram(rig: Rig, version: int, other: Piece) -> None:
    """RFC 5722, and for IPv4 the same."""
    first, middle, last = cut(BODY, [24, 16], version=version)
    for piece in (first, last, other._replace(version=version), middle):
        assert rig.put(piece.frame) is None
    lost = rig.counters
    assert lost.pop("unfinished") == 1
    assert sum(lost.values()) == 3
    assert lost.keys() <= {"overlap", "conflict"}


@pytest.mark.parametrize("size", [8, 16, 24])
def test_a_first_fragment_without_the_whole_header_of_tcp(rig: Rig, size: int) -> None:
    """RFC 1858, RFC 3128: a filter would not see the flags."""
    body = BODY[:12] + b"\x70" + BODY[13:]
    pieces = cut(body, [size], proto=6)
    assert [rig.put(piece.frame) for piece in reversed(pieces)] == [None, None]
    assert rig.counters == {"tiny": 2}
    pieces = cut(body, [32], proto=6)
    assert [rig.put(piece.frame) for piece in pieces][1] == whole(pieces)


@pytest.mark.parametrize("extensions", [1, 3])
def test_a_first_fragment_without_the_whole_chain_of_headers(rig: Rig, extensions: int) -> None:
    """RFC 7112: extension headers behind the fragment header."""
    body = bytes(IPv6ExtHdrDestOpt(nh=60)) * (extensions - 1) + bytes(IPv6ExtHdrDestOpt(nh=6)) + BODY
    for size in range(8, 8 * extensions + 20, 8):
        for piece in reversed(cut(body, [size], version=6, proto=60)):
            assert rig.put(piece.frame) is None
        assert rig.counters == {"tiny": size // 4}
    pieces = cut(body, [8 * extensions + 24], version=6, proto=60, ident=1)
    assert [rig.put(piece.frame) for piece in pieces][1] == whole(pieces)


@FAMILIES
def test_lengths_that_are_none(rig: Rig, version: int) -> None:
    """Such a fragment is lost, and no other."""
    first, last = cut(BODY, [24], version=version)
    assert rig.put(first.frame) is None
    for wrong in (
        first._replace(data=BODY[:23]), first._replace(start=24, data=BODY[24:25]), first._replace(data=b""),
        last._replace(start=65528, data=BODY[:16]),
    ):  # fmt: skip
        assert rig.put(wrong.frame) is None
    assert rig.counters == {"unfinished": 1, "malformed": 4}
    assert rig.put(last.frame) == whole([first, last])


@FAMILIES
def test_what_is_too_long_for_an_mbuf(rig: Rig, version: int) -> None:
    data = random.Random(1).randbytes(4000)
    for piece in cut(data, [1000, 1000, 1000], version=version):
        assert rig.put(piece.frame) is None
    assert rig.counters == {"too_long": 4}
    rig.reset()
    for piece in cut(data[:2048], [1024], version=version):
        assert rig.put(piece.frame) is None
    assert rig.counters == {"too_long": 2}


def test_a_fragment_in_several_segments_is_not_looked_through(rig: Rig) -> None:
    for piece in cut(BODY, [24]):
        assert rig.put(piece.frame, segment=50) is None
    assert rig.counters == {"too_long": 2}


@FAMILIES
def test_after_a_minute_nobody_waits(rig: Rig, version: int) -> None:
    first, last = cut(BODY, [24], version=version)
    for seconds, outcome in ((59.9, True), (60.1, False)):
        rig.reset()
        rig.put(first.frame)
        rig.advance(seconds)
        assert (rig.put(last.frame) is not None) == outcome
    assert rig.counters == {"timed_out": 1, "unfinished": 1}


@FAMILIES
def test_a_flood_of_first_fragments(rig: Rig, version: int) -> None:
    first, last = cut(BODY, [24], version=version)
    for ident in range(50):
        assert rig.put(first._replace(ident=ident).frame) is None
    assert rig.counters == {"evicted": 50 - CAPACITY, "unfinished": CAPACITY}
    assert rig.put(last._replace(ident=50 - CAPACITY - 1).frame) is None
    for ident in range(50 - CAPACITY + 1, 50):
        assert rig.put(last._replace(ident=ident).frame) is not None


def test_a_fragment_that_is_everything_is_not_mixed_with_others(rig: Rig) -> None:
    """RFC 6946."""
    first, last = cut(BODY, [24], version=6)
    alone = Piece(version=6, data=BODY)
    assert rig.put(first.frame) is None
    assert rig.put(alone.frame) == whole([alone])
    assert rig.put(last.frame) == whole([first, last])
    assert rig.counters == {"whole": 2}


@pytest.mark.parametrize(
    ("marks", "outcome"),
    [((ECT, ECT), "whole"), ((ECT, CE), "whole"), ((CE, ECT), "whole"), ((NOT_ECT, CE), "conflict"), ((CE, NOT_ECT), "conflict")],
)
@FAMILIES
def test_marks_of_congestion_are_not_lost(rig: Rig, version: int, marks: tuple[int, int], outcome: str) -> None:
    """RFC 3168 section 5.3."""
    pieces = [piece._replace(ecn=mark) for piece, mark in zip(cut(BODY, [24], version=version), marks, strict=True)]
    frame = [rig.put(piece.frame) for piece in pieces][1]
    assert rig.counters == ({"whole": 1} if outcome == "whole" else {"conflict": 2})
    assert frame == (whole(pieces) if outcome == "whole" else None)


def test_neighbour_discovery_in_fragments_is_not_believed(rig: Rig) -> None:
    """RFC 6980."""
    asked = bytes(IPv6(hlim=255, src="fd00::1:2", dst="fd00::3:4") / ICMPv6ND_NS(tgt="fd00::3:4"))[40:]
    pinged = bytes(IP6 / ICMPv6EchoRequest(data=b"ping"))[40:]
    assert rig.put(Piece(version=6, data=asked, proto=58).frame) is None
    assert rig.put(Piece(version=6, data=pinged, proto=58).frame) is not None
    assert rig.counters == {"malformed": 1, "whole": 1}


def test_what_is_malformed_when_whole_is_dropped_whole(rig: Rig) -> None:
    for piece in cut(BODY[:12] + b"\x10" + BODY[13:], [24, 24], proto=6):
        assert rig.put(piece.frame) is None
    assert rig.counters == {"malformed": 3}
    rig.reset()
    nested = Piece(version=6, data=bytes((17, 0, 0, 0, 0, 0, 0, 1)) + BODY, proto=44)
    assert rig.put(nested.frame) is None
    assert rig.counters == {"malformed": 1}


SCENARIOS = {
    "basic": ((0, 504, 1008), True),
    "out of order": ((1008, 0, 504), True),
    "duplicate": ((0, 504, 504, 1008), True),
    "subset": ((0, 504, 256, 1008), True),
    "overlap": ((0, 760, 504, 1008), False),
}


@pytest.mark.conformance("packetimpact:IPv4FragmentReassembly")
@pytest.mark.parametrize(("starts", "answered"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_ping_in_fragments(rig: Rig, starts: tuple[int, ...], answered: bool) -> None:
    ping = Ether(bytes(ETHER / IP(src="10.1.2.3", dst="10.4.5.7", id=5) / ICMP(id=1, seq=2) / random.Random(2).randbytes(1472)))
    message = bytes(ping[ICMP])
    for start in starts:
        size = 128 if start == 256 else 504
        more = "MF" if start + size < len(message) else 0
        head = IP(src="10.1.2.3", dst="10.4.5.7", id=5, proto=1, frag=start // 8, flags=more)
        outcome = rig.bench.run([bytes(ETHER / head / message[start : start + size])])[0]
    assert (outcome.verdict == "tx") == answered
    if answered:
        answer = Ether(src=ping.dst, dst=ping.src) / IP(src="10.4.5.7", dst="10.1.2.3", id=5) / ICMP(type=0, id=1, seq=2)
        assert outcome.frame == bytes(answer / message[8:])


def test_packets_that_are_no_fragments_go_on(rig: Rig) -> None:
    frame = bytes(ETHER / IP4 / TCP() / b"data")
    assert rig.put(frame) == frame
    assert rig.counters == {}


OTHER_BODY = bytes(255 - byte for byte in BODY)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """Of one of a few datagrams, most of them true."""
    version = draw(st.sampled_from([4, 4, 6]))
    start = draw(st.sampled_from([0, 0, 8, 16, 24, 32, 40, 48, 2040]))
    more = draw(st.booleans()) or (version == 4 and start == 0)
    size = draw(st.sampled_from([8, 16, 24, 32] if more else [1, 7, 8, 15, 16, 24]))
    body = draw(st.sampled_from([BODY, BODY, BODY, OTHER_BODY]))
    at = start % 80
    return Piece(
        version=version, ident=draw(st.sampled_from([1, 1, 1, 2])),
        proto=draw(st.sampled_from([17, 17, 17, 17, 6, 253])), start=start, more=more, data=body[at : at + size],
        ecn=draw(st.sampled_from([0, 0, 0, 0, 3])), vlan=draw(st.sampled_from([0, 0, 0, 9])),
    )  # fmt: skip


STEPS = st.lists(st.one_of(pieces(), pieces(), pieces(), st.sampled_from([1, 31, 61])), max_size=40)


@settings(deadline=None, max_examples=400 if JIT else 60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
@example([Piece(start=0, data=BODY[:24], more=True), 61, Piece(start=24, data=BODY[24:40])])
def test_as_the_model(rig: Rig, steps: list[Piece | int]) -> None:
    rig.reset()
    model = Model(CAPACITY)
    fed, left = 0, int(rig.bench.core.left[1].sum())
    for step in steps:
        if isinstance(step, int):
            rig.advance(step)
            model.now += step
            continue
        fed += 1
        assert rig.put(step.frame) == model.put(step)
        assert rig.counters == {name: count for name, count in model.counters.items() if count}
    assert fed == sum(rig.counters.values()) + model.joined
    assert int(rig.bench.core.left[1].sum()) - left == fed - rig.counters.get("whole", 0)
