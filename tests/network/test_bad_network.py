"""Transfers with the kernel's sockets over a path that loses, delays, reorders, duplicates: every byte right, none improper."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.lab import Lab, Loss, Wire
from tests.network.transferring import KERNEL, ROLES, Plan, by_a_kernel, by_our_client, goodput, on_a_bad_path

pytestmark = pytest.mark.root

MEGABYTE = 1_000_000


@pytest.mark.parametrize("role", ROLES)
def test_megabytes_each_way_over_a_bad_path(lab: Lab, tmp_path: Path, role: str) -> None:
    on_a_bad_path(lab, tmp_path, role, Plan(20, 20, MEGABYTE, MEGABYTE), delay=0.005)


@pytest.mark.parametrize(("request_size", "response_size"), [(MEGABYTE, 0), (0, MEGABYTE)], ids=["up", "down"])
def test_losses_cost_no_more_than_they_cost_a_kernel(lab: Lab, request_size: int, response_size: int) -> None:
    """Lenient, for a busy machine and few transfers: `make soak` does many, and is strict."""
    ours, middle, theirs = lab.distant(f"{KERNEL}/24")
    for namespace in (ours, theirs):
        namespace.sysctl(net__ipv4__tcp_early_retrans=3)
    Wire(middle, 0.01)
    Loss(middle, "numgen random mod 1000 < 30")
    plan = Plan(8, 8, request_size, response_size)
    kernel, engine = by_a_kernel(ours, theirs, plan), by_our_client(ours, theirs, plan)
    assert kernel.wrong == engine.wrong == []
    assert goodput([engine], MEGABYTE) > 0.5 * goodput([kernel], MEGABYTE)
