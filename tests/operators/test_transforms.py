"""decrement_ttl, set_dscp, set_macs and the bookkeepers count and record."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from dpdk_io.clock import cycles
from tests.operators.conftest import Toolbox
from tests.operators.frames import BUILT, ETHER
from tests.operators.models import checksum, expected

FAST = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FAST
@given(st.integers(2, 255), st.integers(0, 0xFFFF), st.sampled_from([0, 47, 255]), st.booleans())
def test_the_ttl_goes_down_and_the_checksum_stays_right(toolbox: Toolbox, ttl: int, ident: int, proto: int, tagged: bool) -> None:
    ether = ETHER / Dot1Q(vlan=3) if tagged else ETHER
    before = ether / IP(src="10.1.2.3", dst="10.4.5.6", ttl=ttl, id=ident, proto=proto) / bytes(8)
    after = ether / IP(src="10.1.2.3", dst="10.4.5.6", ttl=ttl - 1, id=ident, proto=proto) / bytes(8)
    outcome = toolbox.one("decrement_ttl", bytes(before))
    assert (outcome.verdict, outcome.frame) == ("slow", bytes(after))


@pytest.mark.parametrize("ttl", [0, 1])
@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_without_ttl_left_is_dropped_by_name(toolbox: Toolbox, version: int, ttl: int) -> None:
    packet = IP(ttl=ttl) if version == 4 else IPv6(hlim=ttl)
    before = toolbox.drops().get("decrement_ttl.expired", 0)
    assert toolbox.one("decrement_ttl", bytes(ETHER / packet / UDP())).verdict == "drop"
    assert toolbox.drops()["decrement_ttl.expired"] == before + 1


def test_the_hop_limit_goes_down(toolbox: Toolbox) -> None:
    frame = bytes(ETHER / IPv6(hlim=9) / UDP())
    assert IPv6(toolbox.one("decrement_ttl", frame).frame[14:]).hlim == 8


@FAST
@given(st.integers(0, 255), st.integers(0, 63), st.integers(0, 0xFFFF))
def test_dscp_is_set_and_ecn_kept(toolbox: Toolbox, tos: int, dscp: int, ident: int) -> None:
    wanted = dscp << 2 | tos & 3
    frame = bytes(ETHER / IP(src="10.1.2.3", dst="10.4.5.6", tos=tos, id=ident) / UDP())
    after = toolbox.one("set_dscp", frame, dscp=dscp).frame
    assert (after[15], checksum(after[14:34])) == (wanted, 0)
    assert after[:15] + after[16:24] + after[26:] == frame[:15] + frame[16:24] + frame[26:]
    six = bytes(ETHER / IPv6(tc=tos, fl=0xABCDE) / UDP())
    assert toolbox.one("set_dscp", six, dscp=dscp).frame == bytes(ETHER / IPv6(tc=wanted, fl=0xABCDE) / UDP())


@pytest.mark.parametrize("name", ["decrement_ttl", "set_dscp"])
@pytest.mark.parametrize("frame", ["arp", "spanning tree"])
def test_what_is_not_ip_passes_untouched(toolbox: Toolbox, name: str, frame: str) -> None:
    outcome = toolbox.one(name, bytes(BUILT[frame]))
    assert (outcome.verdict, outcome.frame) == ("slow", bytes(BUILT[frame]))


@pytest.mark.parametrize("params", [{}, {"src": 0x0A0B0C0D0E0F}, {"dst": 0xFFFFFFFFFFFF}, {"src": 1, "dst": 2}], ids=str)
def test_macs_are_set_where_asked_for(toolbox: Toolbox, params: dict[str, int]) -> None:
    frame = bytes(BUILT["tcp"])
    want = b"".join(params[k].to_bytes(6, "big") if k in params else old for k, old in (("dst", frame[:6]), ("src", frame[6:12])))
    assert toolbox.one("set_macs", frame, **params).frame == want + frame[12:]


def test_count_counts_packets_and_bytes_of_all_segments(toolbox: Toolbox) -> None:
    frames = [bytes(BUILT["tcp"]), bytes(Ether() / IP() / UDP() / bytes(5000))]
    before = toolbox.state("count").copy()
    toolbox.run("count", frames)
    state = toolbox.state("count")
    assert (state.packets - before.packets, state.bytes - before.bytes) == (2, sum(map(len, frames)))


def test_drop_drops(toolbox: Toolbox) -> None:
    assert toolbox.one("drop", bytes(BUILT["tcp"])).verdict == "drop"


def test_record_keeps_the_last_packets_oldest_first(toolbox: Toolbox) -> None:
    records = toolbox.bench.core.resources["records"]
    first, start = records.seen, cycles()
    names = ["tcp", "udp", "vlan", "arp", "tcp6"] * 3
    for count, name in enumerate(names, 1):
        assert toolbox.one("record", bytes(BUILT[name])).verdict == "slow"
        assert (records.seen, len(records.read())) == (first + count, min(first + count, 8))
    rows = records.read()
    for row, name in zip(rows, names[-8:], strict=True):
        frame = bytes(BUILT[name])
        meta = expected(frame)
        assert isinstance(meta, dict)
        assert {field: row[field] for field in rows.dtype.names if field in meta} == {
            f: meta[f] for f in rows.dtype.names if f in meta
        }
        assert row["length"] == len(frame)
    assert start <= rows["at"].min()
    assert list(rows["at"]) == sorted(rows["at"])
    assert rows["at"].max() <= cycles()
