"""only, deny and own_mac against a rule written out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import PipelineError
from tests.operators.conftest import Toolbox
from tests.operators.frames import BUILT
from tests.operators.models import expected

FRAMES = {name: bytes(packet) for name, packet in BUILT.items()}
RULES = st.fixed_dictionaries(
    {},
    optional={
        "ethertype": st.sampled_from([0, 0x0800, 0x86DD, 0x0806]),
        "protocol": st.sampled_from([0, 1, 6, 17]),
        "src": st.sampled_from([0x0A010203, 0x0A010200, 0x10002]),
        "src_mask": st.sampled_from([0, 0xFFFFFF00, 0xFFFFFFFF]),
        "dst": st.sampled_from([0x0A040506, 0x0A040000, 0x30004]),
        "dst_mask": st.sampled_from([0, 0xFFFF0000, 0xFFFFFFFF]),
        "sport": st.sampled_from([0, 1, 53, 1234]),
        "dport": st.sampled_from([0, 2, 80]),
    },
)


def agrees(meta: dict[str, Any], rule: dict[str, int]) -> bool:
    wanted = {name: rule.get(name, 0) for name in ("ethertype", "sport", "dport")}
    if any(value and meta[name] != value for name, value in wanted.items()):
        return False
    if rule.get("protocol") and not (meta["ip_version"] and meta["l4_proto"] == rule["protocol"]):
        return False
    for end in ("src", "dst"):
        mask = rule.get(f"{end}_mask", 0)
        if mask and not (meta["ip_version"] == 4 and meta[end] & mask == rule.get(end, 0) & mask):
            return False
    return True


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FRAMES)), RULES)
def test_only_and_deny_follow_the_rule(toolbox: Toolbox, name: str, rule: dict[str, int]) -> None:
    meta = expected(FRAMES[name])
    assert isinstance(meta, dict)
    passes = agrees(meta, rule)
    assert toolbox.one("only", FRAMES[name], **rule).verdict == ("slow" if passes else "drop")
    assert toolbox.one("deny", FRAMES[name], **rule).verdict == ("drop" if passes else "slow")


@pytest.mark.parametrize(
    ("destination", "verdict"),
    [
        ("02000000000b", "slow"),
        ("02000000000c", "drop"),
        ("ffffffffffff", "slow"),
        ("01005e000001", "slow"),
        ("03000000000b", "slow"),
    ],
)
def test_own_mac_passes_ours_and_groups(toolbox: Toolbox, destination: str, verdict: str) -> None:
    frame = bytes.fromhex(destination) + bytes(BUILT["tcp"])[6:]
    assert toolbox.one("own_mac", frame, mac=0x02000000000B).verdict == verdict


def test_a_mistyped_parameter_names_the_right_one(toolbox: Toolbox) -> None:
    with pytest.raises(PipelineError, match=r"only: unknown parameter 'protokol'; did you mean 'protocol'\?"):
        toolbox.one("only", FRAMES["tcp"], protokol=6)
