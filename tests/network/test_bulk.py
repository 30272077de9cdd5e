"""One connection over a clean veth, beside a kernel's, both ways: all of it arrives, and not at a crawl.

How fast, to the tenth, and with iperf3 as the peer too, `make soak` tells: on a machine with other work that is the scheduler's
business.
"""

from __future__ import annotations

import pytest

from tests.network.bulk import measured

pytestmark = pytest.mark.root
LEAST = 0.25
"""Of a kernel's goodput: what a lost window, or a timeout now and then, does not reach."""


@pytest.mark.parametrize("name", ["to curl", "from nginx"])
def test_a_connection_is_no_order_slower_than_a_kernels(name: str) -> None:
    engine, kernel = measured(name, 200_000_000, rounds=3)
    assert engine >= LEAST * kernel
