"""A server as its peer sees it: what is answered, byte for byte, and what is counted."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from operators.tcp_engine import http_response
from tests.engine.host import CLIENT_IP, LISTEN, SERVER_IP, server
from tests.engine.peer import ISS, Peer, dotted, payload, told
from tests.operators.models import checksum

REPLY, HEAD_LENGTH = http_response()


def test_a_syn_is_answered_by_syn_ack_with_mss() -> None:
    host = server()
    peer = Peer(host)
    answer = peer.connect(options=[("MSS", 1400), ("NOP", None), ("WScale", 7)])
    assert answer[TCP].ack == ISS + 1
    assert answer[TCP].options == [("MSS", 1460), ("NOP", None), ("WScale", 0)]
    assert answer[TCP].window == 2047
    assert (answer[IP].ttl, answer[IP].flags, answer[IP].len) == (64, "DF", 48)
    assert host.counters("server") == {
        "RecvSyn": 1, "SentSynAck": 1, "RecvSynAck2": 1, "attempted": 1, "established": 1, "open": 1, "max_open": 1,
        "SegmentsReceived": 2, "SegmentsSent": 1,
    }  # fmt: skip


@pytest.mark.conformance("rfc9293:MUST-8", "rfc9293:SHLD-1")
def test_initial_sequence_numbers_differ_by_connection_and_grow_with_time() -> None:
    """RFC 6528: a clock of 4 microseconds plus a secret for each 4-tuple."""
    host = server()
    first, other = Peer(host, 40000), Peer(host, 40001)
    one, two = first.send("S")[0][TCP].seq, other.send("S")[0][TCP].seq
    assert 1000 < (two - one) % 2**32 < 2**32 - 1000
    assert [told(a)[0] for a in first.send("R", seq=ISS + 1)] == []
    host.advance(1000)
    again = Peer(host, 40000).send("S")[0][TCP].seq
    assert (again - one) % 2**32 == pytest.approx(250_000, abs=500)


def test_echo_and_close() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    ((flags, _, ack, data),) = map(told, peer.send("PA", b"hello"))
    assert (flags, ack, data) == ("FPA", peer.seq, b"hello")
    peer.finish()
    counters = host.counters("server")
    assert counters["completed"] == counters["ActiveClose"] == counters["SentFin"] == counters["RecvFinPssv"] == 1
    assert counters["BytesSent"] == counters["BytesReceived"] == 5
    assert host.drops() == {}
    host.assert_all_mbufs_free()


@pytest.mark.parametrize("cuts", [(), (4,), (10, 11, 12, 20), tuple(range(4, 36))])
def test_get_in_any_pieces_is_answered_in_full(cuts: tuple[int, ...]) -> None:
    request = b"GET /some/file HTTP/1.1\r\nHost: a\r\n\r\n"
    host = server()
    peer = Peer(host)
    peer.connect()
    edges = [0, *cuts, len(request)]
    for start, end in zip(edges, edges[1:], strict=False):
        assert peer.received == b""
        peer.send("PA", request[start:end])
    assert peer.received == REPLY
    peer.finish()
    assert host.counters("server")["completed"] == 1


def test_head_is_answered_without_body() -> None:
    peer = Peer(server())
    peer.connect()
    peer.send("PA", b"HEAD / HTTP/1.0\r\n\r\n")
    assert peer.received == REPLY[:HEAD_LENGTH]
    assert peer.received.endswith(b"\r\n\r\n")
    peer.finish()


def test_a_large_request_is_read_to_its_end() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    request = b"GET / HTTP/1.1\r\nCookie: " + b"c" * 1400 * 30 + b"\r\n\r\n"
    for start in range(0, len(request), 1400):
        peer.send("A", request[start : start + 1400])
    assert peer.received == REPLY
    assert host.counters("server")["BytesReceived"] == len(request)
    peer.finish()


def test_requests_in_one_segment_are_all_answered() -> None:
    host = server(fin_by_server=3)
    peer = Peer(host)
    peer.connect()
    get = b"GET / HTTP/1.1\r\n\r\n"
    peer.send("PA", get + get + get[:9])
    assert peer.received == REPLY * 2
    peer.send("PA", get[9:])
    assert peer.received == REPLY * 3
    peer.finish()


def test_small_messages_are_echoed_in_turn() -> None:
    host = server(fin_by_server=10)
    peer = Peer(host)
    peer.connect()
    messages = [bytes([65 + k]) * (k + 1) for k in range(10)]
    host.run([])
    for start in (0, 5):
        frames = []
        for message in messages[start : start + 5]:
            frames.append(peer.segment("PA", message))
            peer.seq = (peer.seq + len(message)) % 2**32
        peer.take(frames)
    assert peer.received == b"".join(messages)
    peer.finish()


def test_a_peer_that_closes_first_gets_its_answer() -> None:
    """Half-close: FIN with the request, the answer after it."""
    host = server(fin_by_server=1000)
    peer = Peer(host)
    peer.connect()
    answers = peer.send("FPA", b"x" * 300)
    assert b"".join(payload(answer) for answer in answers) == b"x" * 300
    assert peer.fin
    assert peer.send("A") == []
    counters = host.counters("server")
    assert counters["completed"] == counters["PassiveClose"] == counters["RecvFin"] == counters["SentFinPssv"] == 1
    assert counters["RecvAck4Fin"] == counters["SentAck4Fin"] == 1
    host.assert_all_mbufs_free()


def test_a_fin_without_data_is_answered_by_ours() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    ((flags, _, ack, data),) = map(told, peer.send("FA"))
    assert (flags, ack, data) == ("FA", peer.seq, b"")
    assert peer.send("A") == []
    assert host.counters("server")["PassiveClose"] == 1


def test_a_reset_ends_the_connection() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    assert peer.send("R") == []
    counters = host.counters("server")
    assert (counters["failed"], counters["PassiveRst"], counters["RecvRst"]) == (1, 1, 1)
    assert [told(a)[0] for a in peer.send("PA", b"x")] == ["R"]
    host.assert_all_mbufs_free()


def test_a_reset_beside_the_next_number_is_challenged() -> None:
    """RFC 5961 section 3.2."""
    host = server()
    peer = Peer(host)
    peer.connect()
    ((flags, _, ack, _),) = map(told, host_answers(peer, peer.segment("R", seq=(peer.seq + 5) % 2**32)))
    assert (flags, ack) == ("A", peer.seq)
    assert host_answers(peer, peer.segment("R", seq=(peer.seq - 5) % 2**32)) == []
    assert [told(a)[3] for a in peer.send("PA", b"alive")] == [b"alive"]


def host_answers(peer: Peer, *frames: bytes) -> list[Ether]:
    return peer.take(list(frames))


@pytest.mark.conformance("smoltcp:doesnt_accept_wrong_port")
@pytest.mark.parametrize(
    ("flags", "data", "expected"),
    [
        ("S", b"", ("RA", 0, 101)), ("S", b"abc", ("RA", 0, 104)), ("F", b"", ("RA", 0, 101)), ("", b"", ("RA", 0, 100)),
        ("A", b"", ("R", 777, 0)), ("PA", b"abc", ("R", 777, 0)), ("SA", b"", ("R", 777, 0)), ("FA", b"", ("R", 777, 0)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("port", [LISTEN, LISTEN + 1])
def test_a_segment_for_no_connection_is_answered_by_a_reset(
    port: int, flags: str, data: bytes, expected: tuple[str, int, int]
) -> None:
    """RFC 9293 section 3.10.7.1; and 3.10.7.2 for the port that listens, where a SYN is welcome, and noise dropped."""
    host = server()
    peer = Peer(host, to=port, iss=100)
    peer.ack = 777
    answers = [told(a)[:3] for a in peer.send(flags, data)]
    if port == LISTEN and flags == "S":
        assert [a[0] for a in answers] == ["SA"]
        return
    if port == LISTEN and flags in ("", "F"):
        assert answers == []
        assert host.counters("server") == {"Unexpected": 1, "SegmentsReceived": 1}
        return
    assert answers == [expected]
    assert host.counters("server") == {"SentRst": 1, "Unexpected": 1, "SegmentsReceived": 1, "SegmentsSent": 1}
    host.assert_all_mbufs_free()


@pytest.mark.parametrize("flags", ["R", "RA", "RS", "RF", "RPA"])
def test_a_reset_is_never_answered(flags: str) -> None:
    host = server()
    for port in (LISTEN, LISTEN + 1):
        assert Peer(host, to=port).send(flags) == []
    host.assert_all_mbufs_free()


@pytest.mark.conformance("rfc9293:MUST-3")
def test_a_wrong_checksum_is_dropped_and_counted() -> None:
    host = server()
    peer = Peer(host)
    assert peer.send("S", chksum=0x1234) == []
    peer = Peer(host)
    peer.connect()
    assert peer.take([peer.segment("PA", b"abc", chksum=0x1234)]) == []
    assert host.drops() == {"tcp_check.checksum": 2}
    assert [told(a)[3] for a in peer.send("PA", b"xyz")] == [b"xyz"]


@pytest.mark.conformance("rfc9293:MUST-7", "lwip:malformed_header")
@pytest.mark.parametrize(
    "options", [b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x01\x01\x02\x04", b"\x01\x01\x01\x08", b"\x08\x0a\0\0"]
)
def test_bad_options_are_dropped_and_counted(options: bytes) -> None:
    host = server()
    assert host.run([with_options(Peer(host).segment("S"), options)]) == []
    assert host.drops() == {"tcp_check.bad_options": 1}
    assert host.counters("server") == {}


def with_options(frame: bytes, options: bytes) -> bytes:
    """The frame of a segment without data, with *options* as they are and right checksums."""
    ip, tcp = bytearray(frame[14:34]), bytearray(frame[34:54]) + options
    tcp[12] = len(tcp) << 2
    tcp[16:18] = b"\0\0"
    ip[2:4] = (20 + len(tcp)).to_bytes(2, "big")
    ip[10:12] = b"\0\0"
    ip[10:12] = checksum(bytes(ip)).to_bytes(2, "big")
    pseudo = bytes(ip[12:20]) + b"\0\x06" + len(tcp).to_bytes(2, "big")
    tcp[16:18] = checksum(pseudo + bytes(tcp)).to_bytes(2, "big")
    return frame[:14] + bytes(ip) + bytes(tcp)


@pytest.mark.conformance("smoltcp:doesnt_accept_wrong_ip")
def test_an_address_that_is_not_ours_is_dropped_and_counted() -> None:
    host = server()
    packet = Ether(Peer(host).segment("S"))
    packet[IP].dst = "10.0.0.77"
    del packet[IP].chksum, packet[TCP].chksum
    assert host.run([bytes(packet)]) == []
    assert host.drops() == {"tcp_check.foreign": 1}


def test_a_frame_for_another_station_is_dropped() -> None:
    host = server()
    frame = Peer(host).segment("S")
    assert host.run([b"\x02\0\0\0\0\x99" + frame[6:]]) == []
    assert host.drops() == {"own_mac": 1}


@pytest.mark.conformance("rfc9293:MUST-45")
def test_a_syn_is_answered_from_the_address_it_was_for() -> None:
    host = server(local_ips=[SERVER_IP, SERVER_IP + 7])
    for ip in (SERVER_IP, SERVER_IP + 7):
        packet = Ether(Peer(host).segment("S"))
        packet[IP].dst = dotted(ip)
        del packet[IP].chksum, packet[TCP].chksum
        (answer,) = map(Ether, host.run([bytes(packet)]))
        assert (answer[IP].src, answer[IP].dst, str(answer[TCP].flags)) == (dotted(ip), dotted(CLIENT_IP), "SA")


@pytest.mark.conformance("rfc9293:MUST-57.1", "rfc9293:MUST-57.2")
@pytest.mark.parametrize("group", ["10.0.0.255", "255.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("to", ["02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"])
@pytest.mark.parametrize("flags", ["S", "A"])
def test_a_segment_to_a_group_is_dropped_in_silence(group: str, to: str, flags: str) -> None:
    host = server()
    packet = Ether(Peer(host).segment(flags))
    packet.dst = to
    packet[IP].dst = group
    del packet[IP].chksum, packet[TCP].chksum
    assert host.run([bytes(packet)]) == []
    assert host.counters("server") == {}
    assert host.drops() == {"tcp_check.foreign": 1}


def test_a_tagged_segment_is_dropped_and_counted() -> None:
    host = server()
    frame = Peer(host).segment("S")
    assert host.run([frame[:12] + b"\x81\x00\x00\x05" + frame[12:]]) == []
    assert host.drops() == {"tcp_check.tagged": 1}


@pytest.mark.conformance("rfc9293:MUST-50")
def test_a_segment_with_ip_options_is_understood() -> None:
    host = server()
    packet = Ether(Peer(host).segment("S"))
    packet[IP].options = [b"\x01\x01\x01\x00"]
    del packet[IP].chksum, packet[IP].ihl, packet[IP].len, packet[TCP].chksum
    (answer,) = host.run([bytes(packet)])
    assert told(Ether(answer))[0] == "SA"


@pytest.mark.conformance("lwip:new_max_num")
def test_a_full_table_is_counted_and_room_is_used_again() -> None:
    host = server(connections=8, time_waits=4, syn_backlog=9)
    answered = [bool(Peer(host, 40000 + k).send("S")) for k in range(12)]
    assert answered == [True] * 8 + [False] * 4
    assert host.drops() == {"tcp_state.table_full": 4}
    Peer(host, 40003).send("R", seq=ISS + 1)
    late = Peer(host, 50000)
    late.connect()
    assert host.counters("server")["max_open"] == 8


@pytest.mark.parametrize("size", [2048, 5000, 32768])
def test_a_peer_that_reads_nothing_is_held_back(size: int) -> None:
    """The window of an echoing server shrinks with what lies unacknowledged in its ring; no byte of that is overwritten."""
    ring = 1 << (size - 1).bit_length()
    host = server(payload=size, fin_by_server=1_000_000)
    peer = Peer(host)
    window = peer.connect(window=0)[TCP].window
    data = bytes(k * 7 & 0xFF for k in range(3 * ring))
    sent = 0
    while sent < len(data) and window:
        piece = data[sent : sent + min(1400, window)]
        window -= len(piece)
        for answer in peer.send("A", piece, window=0, ack=peer.ack):
            window = answer[TCP].window
            assert payload(answer) == b""
        sent += len(piece)
    assert sent == ring - 1 or sent == ring
    for answer in peer.take([peer.segment("A", b"beyond", window=0)]):
        assert (payload(answer), answer[TCP].window) == (b"", window)
    peer.take([peer.segment("A", window=65535)])
    for _ in range(60):
        peer.take([peer.segment("A", window=65535)])
    assert peer.received.startswith(data[:sent])
    assert len(peer.received) - sent <= 6
