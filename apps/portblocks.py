"""Which TCP ports belong to which core when a port mask steers."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_CLIENT_PORT = 1024
"""Ports below are never used as client ports."""


@dataclass(frozen=True)
class PortBlocks:
    """The 16-bit port space cut into blocks of equal size, handed out from the top: core i owns block i.

    A mask of leading ones, 0xC000 say, cuts it into blocks of `~mask + 1` ports; block i starts at
    `mask - i * (~mask + 1)`. The highest port of a block listens, the others are client ports.
    """

    mask: int

    @property
    def size(self) -> int:
        """Ports in a block."""
        return (~self.mask & 0xFFFF) + 1

    @property
    def count(self) -> int:
        """Blocks there are: the most cores the mask can serve."""
        return 0x10000 // self.size

    def block(self, core_index: int) -> range:
        """Every port of block *core_index*."""
        base = self.mask - core_index * self.size
        return range(base, base + self.size)

    def listen_port(self, core_index: int) -> int:
        """The port of block *core_index* that listens."""
        return self.block(core_index)[-1]

    def client_ports(self, core_index: int) -> range:
        """The ports of block *core_index* that clients use."""
        block = self.block(core_index)
        return range(max(block.start, FIRST_CLIENT_PORT), block.stop - 1)

    def owner(self, port: int) -> int:
        """The index of the block that holds *port*."""
        return self.count - 1 - port // self.size


def is_port_mask(mask: int) -> bool:
    """Whether *mask* is a run of leading ones in 16 bits that leaves at least two ports to a block."""
    low = ~mask & 0xFFFF
    return 0 < mask <= 0xFFFE and low & (low + 1) == 0


def default_port_mask(cores: int) -> int:
    """The mask with the largest blocks that serves *cores* cores and leaves the lowest ports to nobody."""
    return (0xFFFF << (16 - cores.bit_length())) & 0xFFFF
