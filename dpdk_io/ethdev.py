"""DPDK ports for compiled code: the same five kernels as `loopback`, over the shim.

`port` is the port's number, `pool` a mempool's address; bursts are at most 65535 packets.
"""

from __future__ import annotations

from dpdk_io import mbuf as mb
from dpdk_io.jit import kernel, native

__all__ = ["alloc_bulk", "free_bulk", "reuse", "rx_burst", "tx_burst"]

_rx_burst = native("te_rx_burst", "i64", "i64", "i64", "i64", "i64")
_tx_burst = native("te_tx_burst", "i64", "i64", "i64", "i64", "i64")
_alloc_bulk = native("te_alloc_bulk", "i64", "i64", "i64", "i64")
_free_bulk = native("te_free_bulk", "void", "i64", "i64")


@kernel
def rx_burst(port, queue, mbufs, n):
    """Move up to *n* received mbufs to the words at *mbufs*; how many."""
    return _rx_burst(port, queue, mbufs, n)


@kernel
def tx_burst(port, queue, mbufs, n):
    """Send the *n* mbufs at *mbufs*, in order, as far as there is room; how many. The others still belong to the caller."""
    return _tx_burst(port, queue, mbufs, n)


@kernel
def alloc_bulk(pool, mbufs, n):
    """Write the addresses of *n* cleared mbufs to the words at *mbufs* and return n, or return 0 when so many are not free."""
    return _alloc_bulk(pool, mbufs, n)


@kernel
def free_bulk(pool, mbufs, n):
    """Give back the *n* mbufs at the words at *mbufs*, every segment of their chains included, to the pools they are from."""
    _free_bulk(mbufs, n)


@kernel
def reuse(pool, mbuf):
    """Clear an mbuf that nobody needs any more, as if from `alloc_bulk`. False: it must be freed, being another pool's, shared,
    of several segments, or with a buffer that is not its own."""
    if not mb.is_lone(mbuf) or mb.pool_of(mbuf) != pool:
        return False
    mb.clear(mbuf)
    return True
