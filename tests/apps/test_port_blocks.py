"""Blocks of ports: each port has one owner, and the arithmetic is the published one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.portblocks import PortBlocks, default_port_mask, is_port_mask

MASKS = [(0xFFFF << bits) & 0xFFFF for bits in range(1, 16)]


def test_published_listen_ports() -> None:
    assert [PortBlocks(0xE000).listen_port(i) for i in range(4)] == [65535, 57343, 49151, 40959]
    assert (PortBlocks(0xE000).size, PortBlocks(0xC000).size, PortBlocks(0xC000).count) == (8192, 16384, 4)


def test_masks() -> None:
    assert [mask for mask in range(0x10000) if is_port_mask(mask)] == sorted(MASKS)
    assert not is_port_mask(0x1E000)


@given(st.sampled_from(MASKS))
def test_blocks_cover_every_port_once(mask: int) -> None:
    blocks = PortBlocks(mask)
    ports = [port for index in range(blocks.count) for port in blocks.block(index)]
    assert sorted(ports) == list(range(0x10000))


@given(st.sampled_from(MASKS), st.integers(0, 0xFFFF))
def test_owner(mask: int, port: int) -> None:
    blocks = PortBlocks(mask)
    assert port in blocks.block(blocks.owner(port))


@given(st.sampled_from(MASKS), st.integers(0, 32767))
def test_client_ports(mask: int, index: int) -> None:
    blocks = PortBlocks(mask)
    index %= blocks.count
    expected = [port for port in blocks.block(index) if port >= 1024 and port != blocks.listen_port(index)]
    assert list(blocks.client_ports(index)) == expected


@given(st.integers(1, 1000))
def test_default_mask_is_the_shortest_that_serves(cores: int) -> None:
    blocks = PortBlocks(default_port_mask(cores))
    assert cores < blocks.count <= 2 * cores
    assert min(blocks.block(cores - 1)) > 0
