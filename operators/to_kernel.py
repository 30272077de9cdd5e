"""to_kernel: hand packets to the slow path: the kernel-side interface of the port, or the callback registered for SLOW."""

from __future__ import annotations

from pipeline import SLOW, operator


@operator
def to_kernel():
    """Hand every packet to the kernel-side interface or the Python callback for SLOW."""
    return SLOW
