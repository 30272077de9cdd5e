"""Options, ICMP errors and senders nobody can answer, as frames: built and read with scapy, which computes checksums again."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE
from tests.engine.host import CLIENT_IP, CLIENT_MAC, LISTEN, SERVER_IP, client, server
from tests.engine.peer import Peer, dotted, mac_text, payload, told

ALL = {"options": OPT_WSCALE | OPT_SACK_PERMITTED | OPT_TIMESTAMPS}
LINUX = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1000, 0)), ("NOP", None), ("WScale", 7)]


def options_of(packet: Any) -> dict[str, Any]:
    return {name: value for name, value in packet[TCP].options if name != "NOP"}


@pytest.mark.conformance("rfc9293:MUST-4", "rfc9293:MUST-14", "rfc9293:MUST-64")
def test_a_linux_syn_with_all_options() -> None:
    host = server(limits=ALL)
    peer = Peer(host)
    (answer,) = peer.send("S", options=LINUX)
    options = options_of(answer)
    ours = options.pop("Timestamp")
    assert options == {"MSS": 1460, "SAckOK": b"", "WScale": 0}
    assert ours[1] == 1000
    stamp = [("NOP", None), ("NOP", None), ("Timestamp", (1007, ours[0]))]
    assert peer.send("A", options=stamp) == []
    (answer,) = peer.send("PA", b"echo this", options=stamp)
    assert payload(answer) == b"echo this"
    assert options_of(answer) == {"Timestamp": (ours[0], 1007)}
    assert peer.take([peer.segment("A", b"no timestamp")]) == []


def test_a_syn_with_mss_sack_and_scale_is_answered_in_kind() -> None:
    host = server()
    peer = Peer(host)
    syn = [("MSS", 1400), ("NOP", None), ("NOP", None), ("SAckOK", b""), ("NOP", None), ("WScale", 3)]
    answer = peer.connect(options=syn)
    assert options_of(answer) == {"MSS": 1460, "SAckOK": b"", "WScale": 0}
    assert answer[IP].len == 52


def test_what_comes_twice_is_reported() -> None:
    """RFC 2883: the first block of the ACK."""
    host = server(limits={"delack_ms": 0})
    peer = Peer(host)
    peer.connect(options=[("SAckOK", b"")])
    start = peer.seq
    peer.send("A", b"0123456789")
    (answer,) = peer.take([peer.segment("A", b"0123456789", seq=start)])
    assert options_of(answer) == {"SAck": (start, (start + 10) % 2**32)}
    assert answer[TCP].ack == peer.seq


@pytest.mark.parametrize("options", [0, OPT_WSCALE, OPT_SACK_PERMITTED, OPT_WSCALE | OPT_SACK_PERMITTED, ALL["options"]])
def test_a_client_offers_what_it_is_told_to(options: int) -> None:
    host = client(limits={"options": options})
    (frame,) = host.run()
    names = set(options_of(Ether(frame)))
    wanted = {"WScale": OPT_WSCALE, "SAckOK": OPT_SACK_PERMITTED, "Timestamp": OPT_TIMESTAMPS}
    assert names == {"MSS"} | {name for name, bit in wanted.items() if options & bit}


def test_an_urgent_segment_is_taken_in_line_and_counted() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    (answer,) = peer.send("UPA", b"attention", urgptr=3)
    assert payload(answer) == b"attention"
    assert host.counters("server")["Urgent"] == 1


def test_a_lone_segment_is_acknowledged_when_its_time_has_come() -> None:
    host = server()
    peer = Peer(host)
    peer.connect()
    assert peer.send("A", b"GET / HTTP/1.1\r\n") == []
    host.advance(50)
    (frame,) = host.run()
    assert told(Ether(frame)) == ("A", peer.ack, peer.seq, b"")


def from_address(peer: Peer, src: str, **fields: Any) -> bytes:
    frame = Ether(peer.segment("S", **fields))
    frame[IP].src = src
    del frame[IP].chksum, frame[TCP].chksum
    return bytes(frame)


@pytest.mark.conformance("rfc9293:MUST-63")
@pytest.mark.parametrize("src", ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"])
@pytest.mark.parametrize("port", [LISTEN, LISTEN + 1])
def test_senders_that_cannot_be_answered(src: str, port: int) -> None:
    host = server()
    assert host.run([from_address(Peer(host, to=port), src)]) == []
    assert host.drops() == {"tcp_check.bad_source" if src.startswith("255") else "tcp_state.bad_source": 1}
    assert host.counters("server") == {}


def test_land() -> None:
    """A SYN from the very address and port it is for."""
    host = server()
    assert host.run([from_address(Peer(host, port=LISTEN), dotted(SERVER_IP))]) == []
    assert host.drops() == {"tcp_state.bad_source": 1}


def icmp(quoted: Any, kind: int, code: int, mtu: int = 0, spoil: int = 0) -> bytes:
    """An error about the frame *quoted*, from a router to its sender."""
    sent = Ether(bytes(quoted))
    part = bytes(sent[IP])[:28]
    error = ICMP(type=kind, code=code, nexthopmtu=mtu) if code == 4 and kind == 3 else ICMP(type=kind, code=code)
    frame = Ether(src=mac_text(CLIENT_MAC), dst=sent.src) / IP(src="10.9.9.9", dst=sent[IP].src) / error / part
    made = bytearray(bytes(frame))
    made[-1] ^= spoil
    return bytes(made)


def test_port_unreachable_ends_an_attempt() -> None:
    host = client()
    (syn,) = host.run()
    assert host.run([icmp(syn, 3, 3)]) == []
    assert host.drops() == {"tcp_icmp.heeded": 1}
    counters = host.counters("client")
    assert (counters["failed"], counters["PassiveRst"], counters.get("open", 0)) == (1, 1, 0)


@pytest.mark.conformance("rfc9293:MUST-54", "rfc9293:MUST-56.1", "rfc9293:MUST-56.2", "rfc9293:MUST-56.3")
@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 1), (3, 5), (11, 0), (12, 0)])
def test_soft_errors_are_counted_and_change_nothing(kind: int, code: int) -> None:
    host = client()
    (syn,) = host.run()
    assert host.run([icmp(syn, kind, code)]) == []
    assert host.drops() == {"tcp_icmp.heeded": 1}
    assert host.counters("client")["open"] == 1


@pytest.mark.conformance("rfc9293:MUST-55")
def test_errors_that_are_not_heeded_are_counted() -> None:
    host = client()
    (syn,) = host.run()
    host.run([icmp(syn, 4, 0)])
    assert host.drops() == {"tcp_icmp.discarded": 1}
    host.run([icmp(syn, 3, 3, spoil=1)])
    assert host.drops() == {"tcp_icmp.discarded": 1, "tcp_icmp.bad_checksum": 1}
    other = Ether(syn)
    other[TCP].sport = 4
    host.run([icmp(other, 3, 3)])
    assert host.drops() == {"tcp_icmp.discarded": 2, "tcp_icmp.bad_checksum": 1}
    ping = Ether(src=mac_text(CLIENT_MAC), dst=mac_text(CLIENT_MAC)) / IP(src="10.9.9.9", dst=dotted(CLIENT_IP)) / ICMP()
    host.run([bytes(ping)])
    assert host.drops()["icmp"] == 1
    assert host.counters("client")["open"] == 1


def test_a_narrow_path_gets_smaller_segments() -> None:
    host = server(payload=1400)
    peer = Peer(host)
    peer.connect(options=[("MSS", 1460)])
    text = bytes(range(256)) * 5
    (answer,) = peer.send("PA", text, ack=peer.ack)
    assert len(payload(answer)) == len(text)
    again = host.run([icmp(answer, 3, 4, mtu=700)])
    assert [len(payload(Ether(frame))) for frame in again] == [660, 620]
    assert b"".join(payload(Ether(frame)) for frame in again) == text
    assert host.drops() == {"tcp_icmp.heeded": 1}


@pytest.mark.parametrize("cut", range(20, 56, 3))
def test_errors_cut_short(cut: int) -> None:
    """However little is quoted: counted, and nothing beyond the end is read."""
    host = client(fenced=True)
    (syn,) = host.run()
    whole = Ether(icmp(syn, 3, 3))
    short = bytes(whole[ICMP])[: max(cut - 20, 8)]
    frame = Ether(src=whole.src, dst=whole.dst) / IP(src="10.9.9.9", dst=whole[IP].dst, proto=1) / short
    host.run([bytes(frame)])
    assert sum(host.drops().values()) == 1
    assert host.counters("client").get("failed", 0) == 0
