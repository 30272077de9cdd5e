"""The mbuf's accessors against its numpy view."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdk_io import mbuf as mb
from dpdk_io.memory import aligned


def new_mbuf() -> tuple[np.recarray, np.ndarray]:
    """A header and the buffer it points to."""
    header, buffer = aligned(1, mb.MBUF), np.zeros(mb.HEADROOM + mb.DATA_ROOM, np.uint8)
    header[0].buf_addr, header[0].buf_len = buffer.ctypes.data, len(buffer)
    return header, buffer


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFF))
def test_accessors_read_the_fields_they_are_named_after(offset: int, length: int, rss: int, segments: int) -> None:
    header, buffer = new_mbuf()
    address = header.ctypes.data
    header[0].data_off, header[0].rss, header[0].nb_segs = offset, rss, segments
    mb.set_length(address, length)
    assert (header[0].data_len, header[0].pkt_len) == (length, length)
    assert mb.data(address) == buffer.ctypes.data + offset
    assert (mb.data_len(address), mb.pkt_len(address), mb.nb_segs(address), mb.rss_hash(address)) == (
        length,
        length,
        segments,
        rss,
    )
    assert mb.tailroom(address) == len(buffer) - offset - length


def test_leaving_checksums_to_the_device_keeps_other_flags() -> None:
    header, _ = new_mbuf()
    header[0].ol_flags = 1 << 3
    mb.leave_checksums(header.ctypes.data, 14, 20)
    assert int(header[0].ol_flags) == 1 << 3 | 1 << 52 | 1 << 54 | 1 << 55
    assert int(header[0].tx_offload) == 14 | 20 << 7


def test_clear_undoes_all_a_packet_leaves_behind_and_keeps_the_rest() -> None:
    header, _ = new_mbuf()
    for name in ("data_off", "refcnt", "nb_segs", "port", "ol_flags", "pkt_len", "data_len", "pool", "next"):
        header[0][name] = 7
    mb.clear(header.ctypes.data)
    cleared = ("data_off", "nb_segs", "ol_flags", "pkt_len", "data_len", "next")
    assert [int(header[0][name]) for name in cleared] == [mb.HEADROOM, 1, 0, 0, 0, 0]
    assert [int(header[0][name]) for name in ("refcnt", "port", "pool")] == [7, 7, 7]


@pytest.mark.parametrize(
    ("name", "value", "alone"),
    [
        ("port", 7, True), ("ol_flags", 1 << 55, True), ("data_off", 0, True),
        ("refcnt", 2, False), ("nb_segs", 2, False), ("next", 64, False),
        ("ol_flags", 1 << 62, False), ("ol_flags", 1 << 61, False),
    ],
)  # fmt: skip
def test_an_mbuf_is_lone_when_all_of_it_can_be_used_again(name: str, value: int, alone: bool) -> None:
    header, _ = new_mbuf()
    header[0].refcnt = header[0].nb_segs = 1
    header[0].pool = 4096
    header[0][name] = value
    assert mb.is_lone(header.ctypes.data) == alone
    assert mb.pool_of(header.ctypes.data) == 4096


def test_views_are_not_copies() -> None:
    header, buffer = new_mbuf()
    mb.clear(header.ctypes.data)
    mb.set_length(header.ctypes.data, 4)
    mb.frame(header.ctypes.data)[:] = [1, 2, 3, 4]
    mb.header(header.ctypes.data).port = 5
    assert buffer[mb.HEADROOM : mb.HEADROOM + 5].tolist() == [1, 2, 3, 4, 0]
    assert header[0].port == 5
