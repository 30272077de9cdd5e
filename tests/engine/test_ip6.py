"""Connections over IPv6, alone and beside IPv4; neighbour discovery and pings; what a flood of addresses comes to."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)  # fmt: skip
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from apps.addresses import ip_text
from dpdk_io.jit import JIT
from operators.engine import RECORD6
from tests.engine.equalities import assert_once_each
from tests.engine.host import CLIENT_IP, CLIENT_MAC, LISTEN, SERVER_IP, SERVER_MAC, Host, client, mac_word, server
from tests.engine.peer import mac_text
from tests.engine.test_exchange import packets
from tests.engine.wire import Wire, Witness

MANY = 200 if JIT else 40
NET = 0x20010DB8 << 96
CLIENT_IP6, SERVER_IP6 = NET + 1, NET + 2
LINK_LOCAL = (0xFE80 << 112) + 2
CLIENT6, SERVER6 = ip_text(CLIENT_IP6), ip_text(SERVER_IP6)
ETHER = Ether(src=mac_text(CLIENT_MAC), dst=mac_text(SERVER_MAC))
FROM_CLIENT = ETHER / IPv6(src=CLIENT6, dst=SERVER6)


def server6(**settings: Any) -> Host:
    return server(**{"local_ips": [SERVER_IP, SERVER_IP6], "also_ours": [LINK_LOCAL], **settings})


def client6(**settings: Any) -> Host:
    targets = [(SERVER_IP6, LISTEN, mac_word(SERVER_MAC)), (SERVER_IP, LISTEN, mac_word(SERVER_MAC))]
    return client(**{"local_ips": [CLIENT_IP, CLIENT_IP6], "targets": targets, **settings})


def checked(frame: bytes) -> Packet:
    """The frame, whose checksums and length must be those that scapy computes."""
    packet, again = Ether(frame), Ether(frame)
    del again[IPv6].plen
    for layer in (TCP, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6EchoReply):
        if again.haslayer(layer):
            del again[layer].fields["chksum" if layer is TCP else "cksum"]
    assert bytes(Ether(bytes(again))) == frame
    return packet


def syn(source: str = CLIENT6, port: int = 40000, target: str = SERVER6, **fields: Any) -> bytes:
    return bytes(ETHER / IPv6(src=source, dst=target) / TCP(sport=port, dport=LISTEN, flags="S", seq=0xFFFFFFFE, **fields))


def used(host: Host) -> int:
    return int(host.engine._addresses6.record.used)


def test_the_answer_to_a_syn() -> None:
    (frame,) = server6().run([syn(options=[("MSS", 9000)])])
    packet = checked(frame)
    assert (packet.src, packet.dst) == (mac_text(SERVER_MAC), mac_text(CLIENT_MAC))
    ip, tcp = packet[IPv6], packet[TCP]
    assert (ip.src, ip.dst, ip.hlim, ip.tc, ip.nh, ip.plen) == (SERVER6, CLIENT6, 64, 0, 6, 24)
    assert (tcp.sport, tcp.dport, tcp.flags, tcp.ack, tcp.options) == (LISTEN, 40000, "SA", 0xFFFFFFFF, [("MSS", 1440)])


def test_a_flow_keeps_its_label_and_others_have_others() -> None:
    """RFC 6437."""
    host = server6()
    labels = [Ether(host.run([syn(port=port)])[0])[IPv6].fl for port in (40000, 40001, 40002)]
    assert len(set(labels)) == 3
    host.advance(1100)
    assert [Ether(frame)[IPv6].fl for frame in sorted(host.run(), key=lambda frame: frame[56:58])] == labels


def test_a_closed_port_is_refused() -> None:
    host = server6()
    (frame,) = host.run([bytes(FROM_CLIENT / TCP(sport=40000, dport=9, flags="S", seq=7))])
    assert (checked(frame)[TCP].flags, checked(frame)[TCP].ack) == ("RA", 8)
    host.run()
    assert used(host) == 2


@pytest.mark.parametrize("families", ["6", "46"])
def test_both_ends_count_exactly_what_passes(families: str) -> None:
    witness = Witness(LISTEN)
    targets = [(SERVER_IP6, LISTEN, mac_word(SERVER_MAC)), (SERVER_IP, LISTEN, mac_word(SERVER_MAC))][: len(families)]
    ours = {"local_ips": [CLIENT_IP6]} if families == "6" else {}
    near, far = client6(wanted=MANY, max_open=60, expect_echo=True, targets=targets, **ours), server6()
    Wire(near, far, witness=witness).run()
    assert near.engine.done
    assert (near.drops(), far.drops(), witness.packets) == ({}, {}, 7 * MANY)
    assert packets(near, "client") == witness.expected("client")
    assert packets(far, "server") == witness.expected("server")
    assert_once_each(near.counters("client"), far.counters("server"), MANY)
    over = [bool(source >> 32) for source, _, _ in witness.opened]
    assert sum(over) == MANY // len(families)
    assert near.counters("client")["expected"] == MANY
    for host in (near, far):
        host.assert_all_mbufs_free()


@pytest.mark.parametrize("size", [1439, 1440, 1441, 5000])
def test_messages_of_any_size_come_back_whole(size: int) -> None:
    near, far = client6(wanted=10, payload=size, max_open=4, expect_echo=True), server6(payload=size)
    wire = Wire(near, far)
    sizes = set()
    see = wire._send
    wire._send = lambda frame: (sizes.add(len(frame)), see(frame))[1]  # type: ignore[method-assign, func-returns-value]
    wire.run()
    assert max(sizes) <= 1514
    assert near.counters("client")["BytesReceived"] == near.counters("client")["BytesSent"] == 10 * size
    assert_once_each(near.counters("client"), far.counters("server"), 10)


def test_what_is_lost_is_sent_again() -> None:
    near, far = client6(wanted=40, max_open=10), server6()
    wire = Wire(near, far, fate=lambda number: number % 11 != 5)
    for _ in range(3000):
        if not wire.turn():
            wire.advance(50)
        if near.engine.done and not far.engine.open:
            break
    assert near.counters("client")["completed"] == far.counters("server")["completed"] == 40
    assert near.counters("client")["Retransmissions"] > 0


def test_a_client_goes_through_its_addresses_of_each_family() -> None:
    witness = Witness(LISTEN)
    ours = [CLIENT_IP6, CLIENT_IP, CLIENT_IP6 + 8, CLIENT_IP + 8, CLIENT_IP6 + 9]
    near = client6(wanted=60, max_open=60, local_ips=ours)
    Wire(near, server6(), witness=witness).run()
    sources = [source for source, _, _ in witness.opened]
    assert [sources.count(ip) for ip in ours] == [10, 15, 10, 15, 10]


def test_families_are_never_confused() -> None:
    """An IPv4 packet between addresses of class E, which are the numbers of our IPv6 addresses, is nobody's."""
    host = server6()
    host.run([syn()])
    number = int(host.engine.record.local) and host.engine.number(SERVER_IP6)
    frame = bytes(ETHER / IP(src=f"240.0.0.{number + 1 & 0xFF}", dst=f"240.0.0.{number & 0xFF}") / TCP(dport=LISTEN, flags="S"))
    from_e = bytes(ETHER / IP(src="240.0.0.3", dst="10.0.0.2") / TCP(dport=LISTEN, flags="S"))
    assert host.run([frame, from_e]) == []
    assert host.drops() == {"tcp_check.foreign": 1, "tcp_check.bad_source": 1}


def with_extensions(*headers: Packet) -> bytes:
    packet = FROM_CLIENT
    for header in headers:
        packet = packet / header
    return bytes(packet / TCP(sport=40000, dport=LISTEN, flags="S"))


def test_extension_headers_are_passed_over() -> None:
    host = server6()
    (frame,) = host.run([with_extensions(IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt())])
    assert checked(frame)[TCP].flags == "SA"
    assert checked(frame)[IPv6].nh == 6


def spoilt(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (spoilt(syn(), 60), "tcp6_check.checksum"),
        (spoilt(syn(), 37), "tcp6_check.checksum"),
        (bytes(FROM_CLIENT / TCP(dport=LISTEN, flags="S", options=[(254, b"12")]))[:-1], "parse.bad_ip"),
        (syn(target="2001:db8::3"), "tcp6_check.foreign"),
        (syn(source="ff02::1"), "tcp6_check.bad_source"),
        (syn(source="::"), "tcp6_check.bad_source"),
        (syn(source="::ffff:10.0.0.1"), "tcp6_check.bad_source"),
        (bytes(ETHER / Dot1Q(vlan=5) / FROM_CLIENT[IPv6] / TCP(dport=LISTEN, flags="S")), "tcp6_check.tagged"),
    ],
)
def test_what_is_wrong_is_counted(frame: bytes, counter: str) -> None:
    host = server6()
    assert host.run([frame]) == []
    assert host.drops() == {counter: 1}
    assert used(host) == 2


def test_a_packet_that_has_not_come_to_the_end_of_its_route_is_none_of_ours() -> None:
    host = server6()
    frame = with_extensions(IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1))
    (outcome,) = host.outcomes([frame])
    assert outcome.verdict == "slow"
    assert host.run([with_extensions(IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0))])


def test_a_flood_from_random_addresses_disturbs_nobody() -> None:
    """Stray segments leave nothing, and SYNs no more than the connections that are kept half open; others get cookies."""
    host = server6(connections=64, limits={"syn_retries": 0, "rto_initial": 500, "retries": 2})
    (answer,) = host.run([syn()])
    ack = (Ether(answer)[TCP].seq + 1) % 2**32
    segment = FROM_CLIENT / TCP(sport=40000, dport=LISTEN, flags="A", seq=0xFFFFFFFF, ack=ack)
    host.run([bytes(segment)])
    rng = random.Random(4)

    def frames(flags: str, count: int) -> list[bytes]:
        sources = [ip_text(NET + rng.getrandbits(90)) for _ in range(count)]
        return [bytes(ETHER / IPv6(src=source, dst=SERVER6) / TCP(sport=5, dport=LISTEN, flags=flags)) for source in sources]

    host.run(frames("A", 640), burst=32)
    host.run()
    assert used(host) == 3
    answers = host.run(frames("S", 640), burst=32)
    host.run()
    assert used(host) == 3 + 64 // 4
    assert (len(answers), host.counters("server")["syn_cookies_sent"], host.drops()) == (640, 640 - 64 // 4, {})
    (reply,) = host.run([bytes(segment.copy().__div__(b"still here"))])
    assert bytes(checked(reply)[TCP].payload)[:10] == b"still here"
    cookie = checked(answers[-1])
    assert cookie[TCP].options == [("MSS", 1440)]
    believed = (
        ETHER / IPv6(src=cookie[IPv6].dst, dst=SERVER6) / TCP(sport=5, dport=LISTEN, flags="PA", seq=1, ack=cookie[TCP].seq + 1)
    )
    (reply,) = host.run([bytes(believed / b"with a cookie")])
    assert bytes(checked(reply)[TCP].payload)[:13] == b"with a cookie"
    assert used(host) == 3 + 64 // 4 + 1
    for _ in range(40):
        host.advance(3000)
        host.run()
    assert used(host) == 2
    host.assert_all_mbufs_free()


def test_listeners_of_one_address() -> None:
    host = server6(listen=[(SERVER_IP6, LISTEN), (SERVER_IP, 80)])
    ip4 = ETHER / IP(src="10.0.0.1", dst="10.0.0.2")
    answers = [
        Ether(host.run([bytes(frame / TCP(sport=6, dport=port, flags="S"))])[0])[TCP].flags
        for frame, port in ((FROM_CLIENT, LISTEN), (FROM_CLIENT, 80), (ip4, LISTEN), (ip4, 80))
    ]
    assert answers == ["SA", "RA", "RA", "SA"]


def test_records_have_the_addresses_in_full() -> None:
    near = client6(wanted=10, records=64)
    far = server6(records=64)
    Wire(near, far).run()
    for host in (near, far):
        records = host.engine.take_records()
        assert records.dtype == host.engine.record_dtype == RECORD6
        mapped = 0xFFFF << 32
        pairs = {tuple(int.from_bytes(r[name].tobytes(), "big") for name in ("client_ip", "server_ip")) for r in records}
        assert pairs == {(CLIENT_IP6, SERVER_IP6), (mapped | CLIENT_IP, mapped | SERVER_IP)}
        assert sorted(records["uid"].tolist()) == list(range(1, 11))


def test_an_initial_number_is_the_addresses_own() -> None:
    """It goes on from one run to the next, though the address has another number then (RFC 6528)."""
    secret = {"isn_secret": (5, 6)}
    first, second = server6(**secret), server6(**secret)
    for host in (first, second):
        host.engine.record.isn_clock = 0
    second.run([syn(source="2001:db8::77")])
    isns = [Ether(host.run([syn()])[0])[TCP].seq for host in (first, second)]
    assert (isns[1] - isns[0]) % 2**32 < 1000


# Neighbour discovery


def solicitation(target: int = SERVER_IP6, source: str = CLIENT6, option: bool = True, **fields: Any) -> Packet:
    low = target & 0xFFFFFF
    group = Ether(src=mac_text(CLIENT_MAC), dst=f"33:33:ff:{low >> 16:02x}:{low >> 8 & 255:02x}:{low & 255:02x}")
    ip = IPv6(**{"src": source, "dst": f"ff02::1:ff{low >> 16:02x}:{low & 0xFFFF:x}", "hlim": 255, **fields})
    packet = group / ip / ICMPv6ND_NS(tgt=ip_text(target))
    return packet / ICMPv6NDOptSrcLLAddr(lladdr=mac_text(CLIENT_MAC)) if option else packet


@pytest.mark.parametrize("target", [SERVER_IP6, LINK_LOCAL])
@pytest.mark.parametrize("option", [True, False])
def test_a_solicitation_is_answered(target: int, option: bool) -> None:
    (frame,) = server6().run([bytes(solicitation(target, option=option)) + bytes(0 if option else 8)])
    packet = checked(frame)
    assert len(frame) == 86
    assert (packet.src, packet.dst) == (mac_text(SERVER_MAC), mac_text(CLIENT_MAC))
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (ip_text(target), CLIENT6, 255)
    answer = packet[ICMPv6ND_NA]
    assert (answer.tgt, answer.R, answer.S, answer.O) == (ip_text(target), 0, 1, 1)
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == mac_text(SERVER_MAC)


def test_who_looks_whether_an_address_is_free_hears_that_it_is_not() -> None:
    """RFC 4862 section 5.4.4: all nodes do."""
    (frame,) = server6().run([bytes(solicitation(source="::", option=False))])
    packet = checked(frame)
    assert (packet.dst, packet[IPv6].dst) == ("33:33:00:00:00:01", "ff02::1")
    assert (packet[ICMPv6ND_NA].S, packet[ICMPv6ND_NA].O) == (0, 1)


def test_a_solicitation_for_others_goes_on() -> None:
    host = server6()
    assert host.run([bytes(solicitation(SERVER_IP6 + 1))]) == []
    assert host.drops() == {"icmp6": 1}


BROKEN = [
    bytes(solicitation(hlim=64)),
    bytes(solicitation(source="::")),
    bytes(solicitation(source="ff02::2")),
    spoilt(bytes(solicitation()), 85),
    bytes(solicitation(option=False) / b"\x01\x00" / bytes(6)),
    bytes(solicitation(option=False) / b"\x01\x02" / bytes(6)),
    bytes(solicitation(option=False) / ICMPv6NDOptSrcLLAddr(lladdr="33:33:00:00:00:01")),
]


@pytest.mark.parametrize("frame", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_solicitation_is_counted(frame: bytes) -> None:
    """RFC 4861 section 7.1.1."""
    host = server6()
    assert host.run([frame]) == []
    assert list(host.drops().values()) == [1]
    assert next(iter(host.drops())) in ("nd_learn.malformed", "nd_responder.malformed")


HOP = NET + 0xABCDEF99


def asking() -> Host:
    """A host with a next hop whose IPv6 address is all it knows."""
    return Host(CLIENT_IP, CLIENT_MAC, local_ips=[CLIENT_IP, CLIENT_IP6], asked=[HOP])


def advertisement(target: int = HOP, mac: bytes = SERVER_MAC, **fields: Any) -> bytes:
    ip = IPv6(**{"src": ip_text(target), "dst": CLIENT6, "hlim": 255, **fields})
    ether = Ether(src=mac_text(SERVER_MAC), dst=mac_text(CLIENT_MAC))
    return bytes(ether / ip / ICMPv6ND_NA(tgt=ip_text(target), S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac_text(mac)))


def test_the_question() -> None:
    host = asking()
    (frame,) = host.run()
    packet = checked(frame)
    assert (packet.src, packet.dst, len(frame)) == (mac_text(CLIENT_MAC), "33:33:ff:cd:ef:99", 86)
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (CLIENT6, "ff02::1:ffcd:ef99", 255)
    assert packet[ICMPv6ND_NS].tgt == ip_text(HOP)
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == mac_text(CLIENT_MAC)
    assert host.neighbours6.unknown() == [HOP]


def test_it_is_asked_four_times_a_second_until_it_is_answered() -> None:
    host = asking()
    assert [len(host.run()) for _ in range(3)] == [1, 0, 0]
    host.advance(251)
    assert len(host.run()) == 1
    host.run([advertisement()])
    assert host.neighbours6.unknown() == []
    assert int(host.neighbours6.mac_word(HOP)[0]).to_bytes(6, "little") == SERVER_MAC
    host.advance(1000)
    assert host.run() == []


def test_an_address_is_learned_from_a_question_too() -> None:
    host = asking()
    (answer,) = host.run([bytes(solicitation(CLIENT_IP6, source=ip_text(HOP)))])[-1:]
    assert host.neighbours6.unknown() == []
    assert Ether(answer)[ICMPv6ND_NA].tgt == CLIENT6


@pytest.mark.parametrize(
    "frame",
    [advertisement(HOP + 1), advertisement(hlim=254), advertisement(mac=b"\x01\0\0\0\0\x01"), spoilt(advertisement(), 84)],
    ids=["another", "from afar", "group", "checksum"],
)
def test_nothing_is_learned_of_others_or_from_what_is_broken(frame: bytes) -> None:
    host = asking()
    host.run()
    assert host.run([frame]) == []
    assert host.neighbours6.unknown() == [HOP]
    assert sum(host.drops().values()) == 1


# Echo


def ping(target: str = SERVER6, data: bytes = b"hello") -> Packet:
    return ETHER / IPv6(src=CLIENT6, dst=target, hlim=3) / ICMPv6EchoRequest(id=7, seq=8, data=data)


@pytest.mark.parametrize("data", [b"", b"x", b"hello", bytes(1400)])
@pytest.mark.parametrize("target", [SERVER_IP6, LINK_LOCAL])
def test_a_ping_is_answered(target: int, data: bytes) -> None:
    (frame,) = server6().run([bytes(ping(ip_text(target), data))])
    packet = checked(frame)
    assert (packet.src, packet.dst) == (mac_text(SERVER_MAC), mac_text(CLIENT_MAC))
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (ip_text(target), CLIENT6, 64)
    echo = packet[ICMPv6EchoReply]
    assert (echo.id, echo.seq, echo.data) == (7, 8, data)


def test_pings_that_are_not_answered() -> None:
    host = server6()
    to_group = ping("ff02::1")
    to_group.dst = "33:33:00:00:00:01"
    others = [ping("2001:db8::3"), to_group]
    assert host.run([bytes(packet) for packet in others]) == []
    assert host.drops() == {"icmp6": 2}
    assert host.run([spoilt(bytes(ping()), 60)]) == []
    assert host.drops() == {"icmp6": 2, "icmp6_echo.bad_checksum": 1}
    assert len(host.run([bytes(ping(data=bytes(1452))), bytes(ping(data=bytes(1453)))])) == 1
    assert host.drops() == {"icmp6": 2, "icmp6_echo.bad_checksum": 1, "icmp6_echo.too_long": 1}


def test_what_a_hundred_thousand_connections_would_take() -> None:
    """40 bytes each at most."""
    arrays = server6(connections=100_000).engine._addresses6.arrays
    assert sum(np.asarray(array).nbytes for array in arrays) < 40 * 100_600 + 64 + 131_072 * 4


# Errors


def error(kind: type[Packet], quoted: Packet, **fields: Any) -> bytes:
    """An ICMPv6 error of a router's that quotes *quoted*."""
    router = ETHER / IPv6(src="2001:db8::fe", dst=SERVER6)
    return bytes(router / kind(**fields) / IPerror6(bytes(quoted[IPv6])[:48]))


def sending() -> tuple[Host, Packet]:
    """A server with 3,000 bytes under way, and the last segment it has sent."""
    host = server6(response_kind="text", response=bytes(3000))
    (answer,) = host.run([syn(options=[("MSS", 1440)])])
    ack = (Ether(answer)[TCP].seq + 1) % 2**32
    request = FROM_CLIENT / TCP(sport=40000, dport=LISTEN, flags="PA", seq=0xFFFFFFFF, ack=ack, window=60000) / b"go"
    sent = host.run([bytes(request)])
    return host, Ether(sent[0])


@pytest.mark.parametrize(("mtu", "size"), [(1400, 1340), (100, 1220), (9000, None)])
def test_a_packet_too_big_makes_segments_smaller(mtu: int, size: int | None) -> None:
    """RFC 8201; no smaller than 1280 bytes (RFC 8200 section 5)."""
    host, quoted = sending()
    assert quoted[IPv6].plen == 1460
    again = [checked(frame) for frame in host.run([error(ICMPv6PacketTooBig, quoted, mtu=mtu)])]
    if size is None:
        assert again == []
        assert host.drops() == {"tcp6_icmp.discarded": 1}
        return
    assert host.drops() == {"tcp6_icmp.heeded": 1}
    assert again[0][IPv6].plen == 20 + size
    assert again[0][TCP].seq == quoted[TCP].seq


@pytest.mark.conformance("packetimpact:TCPSynSentUnreachable6")
def test_a_port_unreachable_ends_an_attempt() -> None:
    near = client6(targets=[(SERVER_IP6, LISTEN, mac_word(SERVER_MAC))])
    (frame,) = near.run()
    router = Ether(dst=mac_text(CLIENT_MAC), src=mac_text(SERVER_MAC)) / IPv6(src=SERVER6, dst=CLIENT6)
    quoted = IPerror6(bytes(Ether(frame)[IPv6]))
    near.run([bytes(router / ICMPv6DestUnreach(code=3) / quoted)])
    assert near.counters("client").get("failed") is None
    near.run([bytes(router / ICMPv6DestUnreach(code=4) / quoted)])
    assert near.counters("client")["failed"] == 1
    assert near.drops() == {"tcp6_icmp.heeded": 2}


def test_errors_that_are_not_believed() -> None:
    host, quoted = sending()
    other = quoted.copy()
    other[TCP].dport = 9
    old = quoted.copy()
    old[TCP].seq -= 100
    damaged = spoilt(error(ICMPv6PacketTooBig, quoted, mtu=1300), 61)
    strange = [error(ICMPv6PacketTooBig, packet, mtu=1300) for packet in (other, old)]
    assert host.run([*strange, damaged]) == []
    assert host.drops() == {"tcp6_icmp.discarded": 2, "tcp6_icmp.bad_checksum": 1}
