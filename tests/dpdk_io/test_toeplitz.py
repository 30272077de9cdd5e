"""The Toeplitz hash against the specification's vectors and its definition, bit by bit."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.errors import UsageError
from dpdk_io.memory import aligned
from dpdk_io.toeplitz import DEFAULT_KEY, FLOW_BYTES_IP6, SYMMETRIC_KEY, flow_hash, flow_hash_ip6, table

VECTORS = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5C2B394A),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0xAFC7327F),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x10E828A2),
]
"""Source, destination, and their hash: "Verifying the RSS Hash Calculation", Microsoft."""
VECTORS_IP6 = [
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207D3D),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0xDDE51BBF),
    ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x02D1FEEF),
]
TABLES = {key: table(key, FLOW_BYTES_IP6) for key in (DEFAULT_KEY, SYMMETRIC_KEY)}
ADDRESS, PORT = st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF)


def hashed(key: bytes, src: int, dst: int, sport: int, dport: int) -> int:
    made = TABLES[key] if key in TABLES else table(key)
    return int(flow_hash(made.ctypes.data, src, dst, sport, dport))


def slow_hash(key: bytes, src: int, dst: int, sport: int, dport: int) -> int:
    """The key shifts by one bit per bit of input, and its first 32 bits count where the input bit is set."""
    data = src << 64 | dst << 32 | sport << 16 | dport
    bits, size, value = int.from_bytes(key, "big"), len(key) * 8, 0
    for position in range(96):
        if data >> (95 - position) & 1:
            value ^= (bits << position & (1 << size) - 1) >> (size - 32)
    return value


@pytest.mark.parametrize(("src", "sport", "dst", "dport", "expected"), VECTORS)
def test_published_vectors(src: str, sport: int, dst: str, dport: int, expected: int) -> None:
    flow = int(ipaddress.ip_address(src)), int(ipaddress.ip_address(dst)), sport, dport
    assert hashed(DEFAULT_KEY, *flow) == slow_hash(DEFAULT_KEY, *flow) == expected


@given(st.binary(min_size=16, max_size=52), ADDRESS, ADDRESS, PORT, PORT)
def test_any_key_and_flow_as_the_definition_says(key: bytes, src: int, dst: int, sport: int, dport: int) -> None:
    assert hashed(key, src, dst, sport, dport) == slow_hash(key, src, dst, sport, dport)


@given(ADDRESS, ADDRESS, PORT, PORT)
def test_the_symmetric_key_hashes_both_directions_alike(src: int, dst: int, sport: int, dport: int) -> None:
    assert hashed(SYMMETRIC_KEY, src, dst, sport, dport) == hashed(SYMMETRIC_KEY, dst, src, dport, sport)


def test_short_keys_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 16"):
        table(bytes(15))


def hashed_ip6(key: bytes, src: bytes, dst: bytes, sport: int, dport: int) -> int:
    words = aligned(32, np.uint8)
    words[:] = np.frombuffer(src + dst, np.uint8)
    at = words.ctypes.data
    return int(flow_hash_ip6(TABLES[key].ctypes.data, at, at + 16, sport, dport))


@pytest.mark.parametrize(("src", "sport", "dst", "dport", "expected"), VECTORS_IP6)
def test_the_specifications_vectors_over_ip6(src: str, sport: int, dst: str, dport: int, expected: int) -> None:
    addresses = [ipaddress.IPv6Address(text).packed for text in (src, dst)]
    assert hashed_ip6(DEFAULT_KEY, *addresses, sport, dport) == expected


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), PORT, PORT)
def test_both_directions_over_ip6_hash_alike_under_the_symmetric_key(addresses: bytes, sport: int, dport: int) -> None:
    there, back = addresses[:16], addresses[16:]
    assert hashed_ip6(SYMMETRIC_KEY, there, back, sport, dport) == hashed_ip6(SYMMETRIC_KEY, back, there, dport, sport)
