"""Headers and checksums against byte-by-byte models; ISNs against SipHash written out."""

from __future__ import annotations

import socket
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from dpdk_io.memory import aligned, guard, signed
from tcp.checksum import fold, ip_checksum, ip_intact, ones_sum, pseudo_sum, tcp6_intact, tcp_checksum, tcp_intact
from tcp.header import (
    header_len,
    n_blocks,
    options_len,
    parse_header,
    parse_options,
    segment_header_len,
    write_checksum,
    write_header,
)
from tcp.isn import SECRET, initial, keep_secret, siphash12
from tcp.segment import OPT_MSS, OPT_SACK, OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE, SEGMENT, SYN
from tcp.seq import advance, distance


def slow_sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def stored(value: int) -> int:
    """The 16 bits that `store16` puts, as a big-endian word."""
    return int.from_bytes(int(value).to_bytes(2, "little"), "big")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1500), st.integers(0, 9))
def test_ones_sum(data: bytes, shift: int) -> None:
    memory = np.frombuffer(b"\xee" * shift + data + b"\xee" * 9, np.uint8).copy()
    address = memory.ctypes.data + shift
    with guard((address, len(data))):
        assert stored(fold(ones_sum(address, len(data), 0))) == slow_sum(data)


def test_ones_sum_of_a_jumbo_of_ones() -> None:
    memory = np.full(9000, 0xFF, np.uint8)
    assert fold(ones_sum(memory.ctypes.data, 9000, (1 << 48) - 1)) == 0xFFFF


@pytest.mark.conformance("rfc9293:MUST-2")
@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(min_size=20, max_size=1500))
def test_tcp_checksum(source: int, destination: int, segment: bytes) -> None:
    memory = np.frombuffer(segment, np.uint8).copy()
    memory[16:18] = 0
    address = memory.ctypes.data
    pseudo = struct.pack("!IIBBH", source, destination, 0, 6, len(segment))
    value = tcp_checksum(address, len(segment), pseudo_sum(source, destination, len(segment)))
    assert stored(value) == slow_sum(pseudo + memory.tobytes()) ^ 0xFFFF
    write_checksum(address, value)
    assert tcp_checksum(address, len(segment), pseudo_sum(source, destination, len(segment))) == 0
    memory[len(segment) - 1] ^= 1
    assert tcp_checksum(address, len(segment), pseudo_sum(source, destination, len(segment))) != 0


@pytest.mark.conformance("rfc9293:MUST-3")
@settings(deadline=None)
@given(
    st.binary(min_size=20, max_size=70).filter(any),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**16 - 1),
    st.booleans(),
)
def test_intact_is_what_sums_to_ones(header: bytes, addresses: bytes, flaw: int, mended: bool) -> None:
    memory = np.frombuffer(header, np.uint8).copy()
    address = memory.ctypes.data
    ip = np.frombuffer(bytes(12) + addresses[:8], np.uint8).copy()
    ip6 = np.frombuffer(bytes(8) + addresses * 2, np.uint8).copy()
    beside = struct.pack("!HH", 6, len(header))
    if mended:
        memory[16:18] = 0
        source, destination = struct.unpack("!II", addresses[:8])
        write_checksum(address, tcp_checksum(address, len(header), pseudo_sum(source, destination, len(header))) ^ flaw)
    data = memory.tobytes()
    even = data + bytes(len(data) % 2) + beside
    with guard(*((part.ctypes.data, len(part)) for part in (memory, ip, ip6))):
        assert bool(ip_intact(address, len(header))) == (slow_sum(data) == 0xFFFF)
        assert bool(tcp_intact(ip.ctypes.data, address, len(header))) == (slow_sum(even + addresses[:8]) == 0xFFFF)
        assert bool(tcp6_intact(ip6.ctypes.data, address, len(header))) == (slow_sum(even + addresses * 2) == 0xFFFF)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_fold_is_the_sum_of_all_words(total: int) -> None:
    words = (total & (1 << 64) - 1).to_bytes(8, "big")
    assert fold(total) == slow_sum(words)


def test_ip_checksum_of_a_known_header() -> None:
    header = np.frombuffer(bytes.fromhex("450000730000400040110000c0a80001c0a800c7"), np.uint8).copy()
    assert stored(ip_checksum(header.ctypes.data, 20)) == 0xB861


@pytest.mark.parametrize("mss", [0, 1460])
def test_written_header_reads_back(mss: int) -> None:
    out, seg = aligned(1, SEGMENT)[0], aligned(1, SEGMENT)[0]
    out.seq, out.ack, out.wnd, out.tcp_flags, out.mss, out.opts = 0xFFFFFFF0, 0x80000001, 65535, SYN, mss, OPT_MSS if mss else 0
    memory = np.full(64, 0xEE, np.uint8)
    address = memory.ctypes.data
    length = write_header(address, 0xC001, 80, out)
    assert length == segment_header_len(out) == header_len(address) == (24 if mss else 20)
    assert struct.unpack_from("!HHIIBBHHH", memory.tobytes()) == (
        0xC001, 80, 0xFFFFFFF0, 0x80000001, length << 2, SYN, 65535, 0, 0,
    )  # fmt: skip
    assert (memory[length:] == 0xEE).all()
    parse_header(address, seg)
    assert parse_options(address + 20, length - 20, seg)
    assert [seg[name] for name in ("seq", "ack", "wnd", "tcp_flags", "opts", "mss")] == [
        out[name] for name in ("seq", "ack", "wnd", "tcp_flags", "opts", "mss")
    ]


@pytest.mark.conformance("rfc9293:MUST-68", "rfc9293:MUST-69", "rfc9293:MUST-64")
@pytest.mark.parametrize("blocks", range(5))
@pytest.mark.parametrize("opts", range(16))
def test_written_options_read_back(opts: int, blocks: int) -> None:
    """Words of 32 bits, as another reader takes them too."""
    out, seg = aligned(1, SEGMENT)[0], aligned(1, SEGMENT)[0]
    out.opts, out.mss, out.wscale, out.ts_val, out.ts_ecr = opts | (OPT_SACK if blocks else 0), 1400, 7, 0xFFFFFFF0, 5
    out.n_blocks = blocks
    edges = [(0xFFFFFF00 + 100 * k) & 0xFFFFFFFF for k in range(2 * blocks)]
    out.blocks[: 2 * blocks] = edges
    if 20 + options_len(out) > 60:
        return
    memory = np.full(80, 0xEE, np.uint8)
    length = write_header(memory.ctypes.data, 1, 2, out)
    assert length == segment_header_len(out) == header_len(memory.ctypes.data)
    assert (memory[length:] == 0xEE).all()
    with guard((memory.ctypes.data, length)):
        assert parse_options(memory.ctypes.data + 20, length - 20, seg)
        assert int(seg.opts) == int(out.opts)
        assert not blocks or n_blocks(seg) == blocks
    for bit, names in {OPT_MSS: ["mss"], OPT_WSCALE: ["wscale"], OPT_TIMESTAMPS: ["ts_val", "ts_ecr"]}.items():
        assert all(seg[name] == (out[name] if opts & bit else 0) for name in names)
    seen = dict(TCP(memory[:length].tobytes()).options)
    wanted = {
        **({"MSS": 1400} if opts & OPT_MSS else {}),
        **({"WScale": 7} if opts & OPT_WSCALE else {}),
        **({"SAckOK": b""} if opts & OPT_SACK_PERMITTED else {}),
        **({"Timestamp": (0xFFFFFFF0, 5)} if opts & OPT_TIMESTAMPS else {}),
        **({"SAck": tuple(edges)} if blocks else {}),
    }
    assert {name: value for name, value in seen.items() if name != "NOP"} == wanted


@pytest.mark.parametrize("size", range(41))
def test_sack_option_of_any_length(size: int) -> None:
    option = bytes([5, size]) + bytes(range(max(size - 2, 0)))
    memory, seg = np.frombuffer(option + b"\x02", np.uint8).copy(), aligned(1, SEGMENT)[0]
    with guard((memory.ctypes.data, len(option))):
        good = parse_options(memory.ctypes.data, len(option), seg)
    assert good == (size >= 2)
    assert bool(int(seg.opts) & OPT_SACK) == (size in (10, 18, 26, 34))


def parsed(options: bytes) -> tuple[bool, dict[str, int]]:
    memory = np.frombuffer(options + b"\x02\x04", np.uint8).copy()
    seg = aligned(1, SEGMENT)[0]
    seg.opts = 0xFF
    with guard((memory.ctypes.data, len(options))):
        good = bool(parse_options(memory.ctypes.data, len(options), seg))
    return good, {name: int(seg[name]) for name in ("opts", "mss", "wscale", "ts_val", "ts_ecr")}


NONE = {"opts": 0, "mss": 0, "wscale": 0, "ts_val": 0, "ts_ecr": 0}


@pytest.mark.conformance("rfc9293:MUST-6", "rfc9293:MUST-7", "lwip:malformed_header")
@pytest.mark.parametrize(
    ("options", "good", "values"),
    [
        ("", True, {}),
        ("00", True, {}),
        ("01010101", True, {}),
        ("020405b4", True, {"opts": OPT_MSS, "mss": 1460}),
        ("01030307", True, {"opts": OPT_WSCALE, "wscale": 7}),
        ("04020101", True, {"opts": OPT_SACK_PERMITTED}),
        ("0101080a0000000180000002", True, {"opts": OPT_TIMESTAMPS, "ts_val": 1, "ts_ecr": 0x80000002}),
        (
            "020405b40402080a000000010000000001030307", True,
            {"opts": OPT_MSS | OPT_SACK_PERMITTED | OPT_TIMESTAMPS | OPT_WSCALE, "mss": 1460, "wscale": 7, "ts_val": 1},
        ),
        ("00020405b4", True, {}),
        ("fd04aabb020405b4", True, {"opts": OPT_MSS, "mss": 1460}),
        ("020305b4", False, {}),
        ("0203050203", False, {}),
        ("0200", False, {}),
        ("0201", False, {}),
        ("ff00ffff", False, {}),
        ("02", False, {}),
        ("0204", False, {}),
        ("020405", False, {}),
        ("01010102", False, {}),
        ("020405b40800", False, {"opts": OPT_MSS, "mss": 1460}),
        ("080a00000001", False, {}),
    ],
)  # fmt: skip
def test_parse_options(options: str, good: bool, values: dict[str, int]) -> None:
    assert parsed(bytes.fromhex(options)) == (good, NONE | values)


@pytest.mark.conformance("rfc9293:MUST-7", "lwip:malformed_header")
@settings(deadline=None)
@given(st.binary(max_size=40))
def test_parse_options_stays_inside_and_ends(options: bytes) -> None:
    good, values = parsed(options)
    assert good in (True, False)
    assert values["opts"] < 16


def slow_siphash(key0: int, key1: int, data: bytes, compress: int, finish: int) -> int:
    mask = (1 << 64) - 1
    v = [key0 ^ 0x736F6D6570736575, key1 ^ 0x646F72616E646F6D, key0 ^ 0x6C7967656E657261, key1 ^ 0x7465646279746573]

    def left(x: int, n: int) -> int:
        return (x << n | x >> (64 - n)) & mask

    def rounds(n: int) -> None:
        for _ in range(n):
            for a, b, turn, half in ((0, 1, 13, True), (2, 3, 16, False), (0, 3, 21, False), (2, 1, 17, True)):
                v[a] = (v[a] + v[b]) & mask
                v[b] = left(v[b], turn) ^ v[a]
                v[a] = left(v[a], 32) if half else v[a]

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data)])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(compress)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(finish)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_siphash_model_gives_the_published_vector() -> None:
    key0, key1 = struct.unpack("<QQ", bytes(range(16)))
    assert slow_siphash(key0, key1, bytes(range(15)), 2, 4) == 0xA129CA6149BE45E5


@pytest.mark.conformance("rfc9293:MUST-9", "rfc9293:SHLD-1")
@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=12, max_size=12))
def test_siphash(key0: int, key1: int, data: bytes) -> None:
    first, rest = struct.unpack("<QI", data)
    fast = siphash12(signed(key0), signed(key1), signed(first), rest)
    assert int(fast) & (2**64 - 1) == slow_siphash(key0, key1, data, 1, 3)
    local_ip, peer_ip = struct.unpack_from("<II", data)
    local_port, peer_port = struct.unpack_from("<HH", data, 8)
    assert initial(secret(key0, key1), local_ip, local_port, peer_ip, peer_port, 0) == int(fast) & 0xFFFFFFFF


def secret(key0: int, key1: int) -> Any:
    record = aligned(1, SECRET)[0]
    keep_secret(record, key0, key1)
    return record


@pytest.mark.conformance("rfc9293:MUST-8", "rfc9293:SHLD-1")
def test_isn_runs_with_the_clock_and_differs_by_connection() -> None:
    us = 1 << 40
    peer = int.from_bytes(socket.inet_aton("198.18.0.1"), "big")
    isns = {port: int(initial(secret(5, 6), 1, port, peer, 80, us)) for port in range(1024, 1224)}
    assert len(set(isns.values())) == 200
    assert all(0 <= isn < 1 << 32 for isn in isns.values())
    assert distance(int(initial(secret(5, 6), 1, 1024, peer, 80, us + 4000)), isns[1024]) == 1000
    assert initial(secret(5, 7), 1, 1024, peer, 80, us) != isns[1024]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_distance_is_the_inverse_of_advance(seq: int, n: int) -> None:
    assert 0 <= advance(seq, n) < 1 << 32
    assert distance(advance(seq, n), seq) == n
