"""The kernel sends fragments: pings and segments for a link that takes less than they have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.network.command import outcome
from tests.network.endpoints import KERNEL6, OURS, OURS6, endpoint
from tests.network.lab import Lab, Namespace
from tests.network.test_hostile_network import assert_all_accounted_for
from tests.network.test_ip6 import add_ip6, on_a_tap, speak_ip6
from tests.network.transferring import SCRIPT, Plan, Transfers, lines

pytestmark = pytest.mark.root

NARROW = 1280
"""Bytes of the longest packet that the kernel sends to us."""


def narrow(namespace: Namespace) -> None:
    namespace.run("ip", "link", "set", "te0", "mtu", str(NARROW))


def ping(namespace: Namespace, family: str, target: str, size: int) -> str:
    """Five of them; one is answered at least. A busy machine may answer the others after ping has left."""
    return namespace.run("ping", family, "-M", "dont", "-c5", "-i0.01", "-W2", "-s", str(size), "-p", "a5", target).stdout


def beyond(lab: Lab, router: Namespace) -> Namespace:
    """A host whose way to us leads through *router*, and who lets routers fragment its packets."""
    far = lab.namespace("c")
    lab.veth(far, "f0", router, "f1")
    router.run("ip", "address", "add", "10.0.1.1/24", "dev", "f1")
    router.run("ip", "link", "set", "f1", "up")
    router.sysctl(net__ipv4__ip_forward=1)
    far.configure("f0", "10.0.1.2/24")
    far.sysctl(net__ipv4__ip_no_pmtu_disc=1)
    far.run("ip", "route", "add", "default", "via", "10.0.1.1")
    return far


def test_pings_and_transfers_in_fragments(lab: Lab) -> None:
    router, process = on_a_tap(lab, "--gateway", "10.0.0.1")
    narrow(router)
    for family, target in (("-4", "10.0.0.2"), ("-6", "fd00::2")):
        assert "wrong data" not in ping(router, family, target, 1440)
    assert "(truncated)" in ping(router, "-4", "10.0.0.2", 1800)
    plan = Plan(4, 2, 100_000, 100_000)
    far = beyond(lab, router)
    told = Transfers(lines(far.run(sys.executable, SCRIPT, "client", "10.0.0.2", "8080", *plan.sizes).stdout))
    assert (len(told.told), told.wrong) == (4, [])
    process.signal()
    run = outcome(process.finish())
    assert run.drops == {}
    assert_all_accounted_for(run)
    beside = run.result["beside_tcp"]
    assert beside["icmp_echo"] >= 10 <= 2 * beside["icmp6_echo"]
    assert beside["reassemble"] > 200
    assert run.result["server"]["Mismatches"] == 0
    assert run.result["server"]["Retransmissions"] <= run.few


def test_an_endpoint_answers_pings_in_fragments(lab: Lab, tmp_path: Path) -> None:
    with endpoint(lab, tmp_path / "te.sock", "--ip", f"{OURS6}/64") as site:
        speak_ip6(site.namespace)
        site.namespace.sysctl(net__ipv6__conf__te0__disable_ipv6=0)
        add_ip6(site.namespace, f"{KERNEL6}/64")
        narrow(site.namespace)
        for family, target in (("-4", OURS), ("-6", OURS6)):
            assert "wrong data" not in ping(site.namespace, family, target, 1440)
