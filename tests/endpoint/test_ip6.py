"""IPv6: both families on one host, sockets of both domains, and TCP the same over either."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from apps.addresses import ip_text, link_local, parse_ip
from tests.endpoint.rig import FAR6, OUR_MAC, OURS, OURS6, ROUTER6, THEIR_MAC, THEIRS, THEIRS6, Rig, Sent, intact

LINK_LOCAL = ip_text(link_local(bytes.fromhex(OUR_MAC.replace(":", ""))))
GROUP_MAC = "33:33:00:00:00:01"


@pytest.fixture
def rig() -> Rig:
    return Rig(ip6=True)


# TCP is the same.


def test_a_whole_connection_that_the_peer_opens(rig: Rig) -> None:
    listener = rig.listening()
    rig.shakes_hands()
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.done(f"PEERIP {fd}") == parse_ip(THEIRS6)
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_DOMAIN") == 10
    assert [rig.info(fd)[end] for end in ("local", "peer")] == [f"[{OURS6}]:80", f"[{THEIRS6}]:40000"]
    assert rig.gets("PA", 1, 1, length=100) == []
    assert rig.done(f"READ {fd} 200") == 100
    rig.done(f"WRITE {fd} 3000")
    assert rig.sent() == [Sent("A", 1, 101, 1440), Sent("A", 1441, 101, 1440)]
    assert rig.gets("A", 101, 2881) == [Sent("PA", 2881, 101, 120)]
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 3001, 101)]
    assert rig.gets("FA", 101, 3002) == [Sent("A", 3002, 102)]


def test_a_whole_connection_that_we_open(rig: Rig) -> None:
    fd = rig.connected()
    rig.done(f"SHUTDOWN {fd} 1")
    assert rig.sent() == [Sent("FA", 1, 1)]
    assert rig.gets("PA", 1, 2, length=10) == []
    rig.advance(50)
    assert rig.sent() == [Sent("A", 2, 11)]
    assert rig.gets("FA", 11, 2) == [Sent("A", 2, 12)]
    assert rig.state(fd) == "TIME_WAIT"


def test_what_is_lost_is_sent_again(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 100")
    assert rig.sent() == [Sent("PA", 1, 1, 100)]
    rig.advance(1100)
    assert Sent("PA", 1, 1, 100) in rig.sent()
    assert rig.info(fd)["retransmits"] >= 1


def syn(rig: Rig) -> Packet:
    """The SYN of a connect."""
    fd = rig.socket()
    rig.begin(f"CONNECT {fd} {THEIRS6} 9000")
    return rig.take()[-1]


def test_the_header(rig: Rig) -> None:
    first, second = syn(rig), syn(rig)
    assert dict(first[TCP].options)["MSS"] == 1440
    assert (first[IPv6].hlim, first[IPv6].tc, first[IPv6].nh) == (64, 0, 6)
    assert first[IPv6].fl != second[IPv6].fl
    rig.advance(1100)
    again = {frame[TCP].sport: frame[IPv6].fl for frame in rig.take()}
    assert again == {frame[TCP].sport: frame[IPv6].fl for frame in (first, second)}


def test_traffic_class_and_hop_limit(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_IPV6 IPV6_TCLASS 0xbb")
    rig.done(f"SETSOCKOPT {fd} SOL_IPV6 IPV6_UNICAST_HOPS 9")
    rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TOS 0x10")
    rig.done(f"WRITE {fd} 10")
    [frame] = rig.take()
    assert (frame[IPv6].tc, frame[IPv6].hlim) == (0xB8, 9)


def test_ecn_marks() -> None:
    rig = Rig(ip6=True, timestamps=False)
    listener = rig.listening()
    assert [sent.flags for sent in rig.gets("SEC", 0)] == ["SAE"]
    rig.gets("A", 1, 1)
    fd = rig.done(f"ACCEPT {listener}")
    tcp = TCP(sport=40_000, dport=80, flags="PA", seq=(rig.irs + 1) & 0xFFFFFFFF, ack=(rig.iss + 1) & 0xFFFFFFFF, window=65_535)
    rig.put(rig.from_peer(tc=3) / tcp / Raw(b"congested"))
    rig.done(f"WRITE {fd} 10")
    [frame] = rig.take()
    assert (str(frame[TCP].flags), frame[IPv6].tc) == ("PAE", 2)


def test_maxseg_is_what_the_peer_may_send(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_TCP TCP_MAXSEG 1000")
    rig.put(rig.from_peer() / TCP(sport=40_000, dport=80, flags="S"))
    assert dict(rig.take()[0][TCP].options)["MSS"] == 1000


def test_initial_numbers_are_the_addresses_own() -> None:
    """Of the whole address, by the secret (RFC 6528)."""
    seen = set()
    for peer in (THEIRS6, THEIRS6, "2001:db8::1:0:0:2"):
        rig = Rig(neighbours=(peer,), ip6=True)
        fd = rig.socket()
        rig.begin(f"CONNECT {fd} {peer} 9000")
        seen.add(rig.take()[0][TCP].seq)
    assert len(seen) == 2


def test_a_closed_port_resets(rig: Rig) -> None:
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


def test_to_ourselves(rig: Rig) -> None:
    listener, fd = rig.listening(), rig.socket()
    assert rig.begin(f"CONNECT {fd} {OURS6} 80").answer == "0 0"
    other = rig.done(f"ACCEPT {listener}")
    assert rig.done(f"PEERIP {other}") == parse_ip(OURS6)
    rig.done(f"CLOSE {fd}")
    assert rig.done(f"READ {other} 1") == 0
    anybody = rig.socket()
    assert rig.begin(f"CONNECT {anybody} :: 80").answer == "0 0"
    assert rig.take() == []


# Sockets of both domains.


def opened(rig: Rig, packet: Packet) -> str:
    """How a SYN is answered."""
    rig.put(packet / TCP(sport=5, dport=80, flags="S"))
    return str(rig.take()[0][TCP].flags)


def test_a_listener_at_all_addresses_hears_both_families(rig: Rig) -> None:
    fd = rig.socket()
    rig.done(f"BIND {fd} :: 80")
    rig.done(f"LISTEN {fd} 5")
    assert rig.info(fd)["local"] == "[::]:80"
    ip4 = IP(src=THEIRS, dst=OURS)
    rig.put(ip4 / TCP(sport=5, dport=80, flags="S", seq=10))
    seq = rig.take()[0][TCP].seq
    rig.put(ip4 / TCP(sport=5, dport=80, flags="A", seq=11, ack=(seq + 1) & 0xFFFFFFFF))
    other = rig.done(f"ACCEPT {fd}")
    assert rig.done(f"PEERIP {other}") == parse_ip(f"::ffff:{THEIRS}")
    assert rig.done(f"GETSOCKOPT {other} SOL_SOCKET SO_DOMAIN") == 10
    assert rig.info(other)["peer"] == f"{THEIRS}:5"
    assert opened(rig, rig.from_peer()) == "SA"
    assert opened(rig, rig.from_peer(dst=LINK_LOCAL)) == "SA"


def test_a_listener_may_want_one_family_alone(rig: Rig) -> None:
    fd = rig.socket()
    rig.done(f"SETSOCKOPT {fd} SOL_IPV6 IPV6_V6ONLY 1")
    rig.done(f"BIND {fd} 0 80")
    assert rig.ask(f"SETSOCKOPT {fd} SOL_IPV6 IPV6_V6ONLY 0") == (-1, errno.EINVAL)
    rig.done(f"LISTEN {fd} 5")
    assert opened(rig, IP(src=THEIRS, dst=OURS)) == "RA"
    ip4 = rig.done("SOCKET 2 1 6")
    rig.done(f"BIND {ip4} 0.0.0.0 80")
    rig.done(f"LISTEN {ip4} 5")
    assert opened(rig, IP(src=THEIRS, dst=OURS)) == "SA"
    assert [rig.info(one)["half_open"] for one in (fd, ip4)] == [0, 1]
    assert opened(rig, rig.from_peer()) == "SA"


@pytest.mark.parametrize("first", ["10 ::", "2 0.0.0.0"])
def test_the_two_families_may_have_a_port_each(rig: Rig, first: str) -> None:
    for place in sorted(("10 ::", "2 0.0.0.0"), key=lambda place: place != first):
        domain, ip = place.split()
        fd = rig.done(f"SOCKET {domain} 1 6")
        if domain == "10":
            rig.done(f"SETSOCKOPT {fd} SOL_IPV6 IPV6_V6ONLY 1")
        rig.done(f"BIND {fd} {ip} 80")
        rig.done(f"LISTEN {fd} 5")


def test_who_listens_at_an_address_comes_first(rig: Rig) -> None:
    fds = [rig.socket() for _ in range(3)]
    places = ("::", OURS6, f"::ffff:{OURS}")
    for fd, place in zip(fds, places, strict=True):
        rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_REUSEADDR 1")
        rig.done(f"BIND {fd} {place} 80")
    rig.done(f"LISTEN {fds[1]} 5")
    rig.done(f"LISTEN {fds[2]} 5")
    assert rig.ask(f"LISTEN {fds[0]} 5") == (-1, errno.EADDRINUSE)
    opened(rig, rig.from_peer())
    opened(rig, IP(src=THEIRS, dst=OURS))
    assert [rig.info(fd)["half_open"] for fd in fds[1:]] == [1, 1]


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ("10 ::", "2 0.0.0.0", errno.EADDRINUSE),
        ("10 ::", f"2 {OURS}", errno.EADDRINUSE),
        ("10 ::", f"10 {OURS6}", errno.EADDRINUSE),
        (f"10 ::ffff:{OURS}", f"2 {OURS}", errno.EADDRINUSE),
        (f"10 {OURS6}", f"2 {OURS}", 0),
        (f"10 {OURS6}", "2 0.0.0.0", 0),
        (f"10 {OURS6}", f"10 {LINK_LOCAL}", 0),
    ],
)
def test_who_may_have_the_same_port(rig: Rig, first: str, second: str, error: int) -> None:
    answers = []
    for domain, place in (first.split(), second.split()):
        fd = rig.done(f"SOCKET {domain} 1 6")
        answers.append(rig.ask(f"BIND {fd} {place} 80"))
    assert answers == [(0, 0), (-1, error) if error else (0, 0)]


@pytest.mark.parametrize(
    ("domain", "request_", "error"),
    [
        (2, "BIND {} ::1 80", errno.EAFNOSUPPORT),
        (2, f"CONNECT {{}} {THEIRS6} 80", errno.EAFNOSUPPORT),
        (2, f"CONNECT {{}} {parse_ip(THEIRS6)} 80", errno.EINVAL),
        (10, f"CONNECT {{}} {THEIRS} 80", errno.EINVAL),
        (10, f"BIND {{}} {OURS} 80", errno.EINVAL),
        (10, f"BIND {{}} {THEIRS6} 80", errno.EADDRNOTAVAIL),
        (10, "BIND {} ::1 80", errno.EADDRNOTAVAIL),
        (10, f"BIND {{}} ::{OURS} 80", errno.EADDRNOTAVAIL),
        (10, f"BIND {{}} {parse_ip(OURS)} 80", errno.EADDRNOTAVAIL),
        (10, f"BIND {{}} {1 << 128} 80", errno.EINVAL),
        (10, "BIND {} -1 80", errno.EINVAL),
        (10, "BIND {} fe80::1%eth0 80", errno.EINVAL),
        (10, "BIND {} 1:2:3 80", errno.EINVAL),
        (10, "CONNECT {} ff02::1 80", errno.ENETUNREACH),
        (10, f"CONNECT {{}} {FAR6} 80", errno.ENETUNREACH),
        (10, "CONNECT {} 2001:db8:: 80", errno.ENETUNREACH),
        (10, "CONNECT {} ::1 80", errno.EADDRNOTAVAIL),
    ],
)
def test_addresses_that_will_not_do(rig: Rig, domain: int, request_: str, error: int) -> None:
    fd = rig.done(f"SOCKET {domain} 1 6")
    assert rig.ask(request_.format(fd)) == (-1, error)
    assert rig.take() == []


def test_addresses_as_numbers(rig: Rig) -> None:
    fd = rig.socket()
    assert rig.done(f"BIND {fd} {hex(parse_ip(OURS6))} 80") == 0
    rig.begin(f"CONNECT {fd} {parse_ip(THEIRS6)} 9000")
    rig.our_port, rig.their_port = 80, 9000
    assert [sent.flags for sent in rig.sent()] == ["S"]


def test_an_ip6_socket_connects_to_a_mapped_address() -> None:
    rig = Rig(neighbours=(THEIRS,), ip6=True)
    fd = rig.socket()
    rig.begin(f"CONNECT {fd} ::ffff:{THEIRS} 9000")
    [frame] = rig.take()
    assert (frame[IP].src, frame[IP].dst, dict(frame[TCP].options)["MSS"]) == (OURS, THEIRS, 1460)
    assert rig.info(fd)["peer"] == f"{THEIRS}:9000"
    alone = rig.socket()
    rig.done(f"SETSOCKOPT {alone} SOL_IPV6 IPV6_V6ONLY 1")
    assert rig.ask(f"CONNECT {alone} ::ffff:{THEIRS} 9000") == (-1, errno.ENETUNREACH)
    assert rig.ask(f"BIND {alone} ::ffff:{OURS} 9000") == (-1, errno.EINVAL)
    bound = rig.socket()
    rig.done(f"BIND {bound} {OURS6} 0")
    assert rig.ask(f"CONNECT {bound} ::ffff:{THEIRS} 9000") == (-1, errno.ENETUNREACH)


def test_without_an_ip6_address_there_is_no_way() -> None:
    rig = Rig()
    fd = rig.done("SOCKET 10 1 6")
    assert rig.ask(f"CONNECT {fd} {THEIRS6} 80") == (-1, errno.ENETUNREACH)
    assert rig.ask(f"CONNECT {fd} :: 80") == (-1, errno.ENETUNREACH)
    rig.put(IPv6(src=THEIRS6, dst=OURS6) / TCP(dport=80, flags="S"))
    assert rig.take() == []
    assert rig.host.counters == {"not_for_us": 1}


@pytest.mark.parametrize(
    ("gateway", "peer", "source"),
    [("fe80::99", FAR6, OURS6), (ROUTER6, FAR6, OURS6), (None, "fe80::7", LINK_LOCAL), (None, THEIRS6, OURS6)],
)
def test_which_of_our_addresses_is_used(gateway: str | None, peer: str, source: str) -> None:
    rig = Rig(neighbours=("fe80::99", ROUTER6, "fe80::7", THEIRS6), gateway=gateway, ip6=True)
    fd = rig.socket()
    rig.begin(f"CONNECT {fd} {peer} 9000")
    assert rig.take()[0][IPv6].src == source


# What is not for us, or from nobody.


def segment(**fields: object) -> Packet:
    return IPv6(**{"src": THEIRS6, "dst": OURS6, **fields}) / TCP(sport=5, dport=80, flags="S")


def behind(*headers: Packet) -> Packet:
    packet: Packet = IPv6(src=THEIRS6, dst=OURS6)
    for header in headers:
        packet = packet / header
    return packet / TCP(sport=5, dport=80, flags="S")


def test_extension_headers_are_passed_over(rig: Rig) -> None:
    rig.listening()
    rig.put(behind(IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(addresses=[ROUTER6], segleft=0)))
    assert str(rig.take()[0][TCP].flags) == "SA"


def damaged(packet: Packet, at: int) -> Packet:
    data = bytearray(bytes(packet))
    data[at] ^= 1
    return Raw(bytes(data))


@pytest.mark.parametrize(
    ("packet", "counter"),
    [
        (segment(src="ff02::1"), "bad_source"),
        (segment(src="::"), "bad_source"),
        (segment(src="::1"), "bad_source"),
        (segment(src=f"::{THEIRS}"), "bad_source"),
        (segment(src=f"::ffff:{THEIRS}"), "bad_source"),
        (segment(src="2001:db8::"), "bad_source"),
        (segment(dst=f"::{OURS}"), "not_for_us"),
        (segment(dst=f"::ffff:{OURS}"), "not_for_us"),
        (segment(dst="2001:db8::3"), "not_for_us"),
        (segment(dst="ff02::1"), "not_for_us"),
        (segment(version=5), "bad_ip"),
        (segment(plen=200), "bad_ip"),
        (segment(plen=10), "checksum"),
        (damaged(segment(), 40), "checksum"),
        (damaged(segment(), 23), "checksum"),
        (behind(IPv6ExtHdrRouting(addresses=[ROUTER6], segleft=1)), "not_for_us"),
        (IPv6(src=THEIRS6, dst=OURS6, nh=0) / Raw(b"\x06\x09" + bytes(6)), "bad_ip"),
        (IPv6(src=THEIRS6, dst=OURS6, nh=0) / Raw(b"\x06"), "bad_ip"),
        (IPv6(src=THEIRS6, dst=OURS6, nh=1) / Raw(bytes(8)), "not_for_us"),
        (Raw(bytes(segment())[:39]), "bad_ip"),
    ],
)
def test_what_is_wrong_is_counted(rig: Rig, packet: Packet, counter: str) -> None:
    rig.listening()
    rig.host.frame(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC, type=0x86DD) / packet))
    assert rig.take() == []
    assert rig.host.counters == {counter: 1}


def test_a_syn_in_a_frame_to_a_group_is_not_answered(rig: Rig) -> None:
    rig.listening()
    rig.put(segment(), to=GROUP_MAC)
    assert rig.take() == []
    assert rig.host.counters == {"not_for_us": 1}


# Pings.


@pytest.mark.parametrize("target", [OURS6, LINK_LOCAL])
@pytest.mark.parametrize("data", [b"", b"odd", bytes(1400)])
def test_a_ping_is_answered(rig: Rig, target: str, data: bytes) -> None:
    rig.put(IPv6(src=THEIRS6, dst=target) / ICMPv6EchoRequest(id=7, seq=8, data=data))
    [frame] = rig.take()
    assert intact(frame)
    assert (frame.dst, frame[IPv6].src, frame[IPv6].dst, frame[IPv6].hlim) == (THEIR_MAC, target, THEIRS6, 64)
    assert (frame[ICMPv6EchoReply].id, frame[ICMPv6EchoReply].seq, frame[ICMPv6EchoReply].data) == (7, 8, data)


def test_a_damaged_ping_is_not(rig: Rig) -> None:
    rig.put(damaged(IPv6(src=THEIRS6, dst=OURS6) / ICMPv6EchoRequest(data=b"data"), 45))
    assert rig.take() == []


# Errors.


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        (ICMPv6DestUnreach, 0, errno.ENETUNREACH), (ICMPv6DestUnreach, 1, errno.EACCES),
        (ICMPv6DestUnreach, 2, errno.EHOSTUNREACH), (ICMPv6DestUnreach, 3, errno.EHOSTUNREACH),
        (ICMPv6DestUnreach, 4, errno.ECONNREFUSED), (ICMPv6DestUnreach, 5, errno.EACCES),
        (ICMPv6DestUnreach, 6, errno.EACCES), (ICMPv6DestUnreach, 7, errno.EPROTO),
        (ICMPv6TimeExceeded, 0, errno.EHOSTUNREACH), (ICMPv6ParamProblem, 1, errno.EPROTO),
    ],
)  # fmt: skip
def test_an_error_ends_a_connect(rig: Rig, kind: type[Packet], code: int, error: int) -> None:
    """By the table of Linux's icmpv6_err_convert."""
    _, asked = rig.connecting()
    rig.error6(kind, 0, code=code)
    assert asked.pair == (-1, error)


def test_an_established_connection_lives_on(rig: Rig) -> None:
    fd = rig.connected()
    rig.done(f"WRITE {fd} 10")
    rig.error6(ICMPv6DestUnreach, 1, code=4)
    assert rig.state(fd) == "ESTABLISHED"
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == errno.ECONNREFUSED


@pytest.mark.parametrize(("mtu", "mss"), [(1400, 1340), (100, 1220), (9000, 1440)])
def test_a_packet_too_big_makes_segments_smaller(rig: Rig, mtu: int, mss: int) -> None:
    """No smaller than a packet of 1280 bytes (RFC 8200 section 5)."""
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    rig.done(f"WRITE {fd} 1440")
    assert rig.sent() == [Sent("PA", 1, 1, 1440)]
    rig.error6(ICMPv6PacketTooBig, 1, mtu=mtu)
    assert rig.info(fd)["mss"] == mss
    again = [Sent("A", 1, 1, mss), Sent("PA", 1 + mss, 1, 1440 - mss)] if mss < 1440 else []
    assert rig.sent() == again
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == 0


def test_errors_that_are_not_believed(rig: Rig) -> None:
    """Of what is not in flight, damaged, of others', of another family."""
    fd, asked = rig.connecting()
    rig.error6(ICMPv6DestUnreach, 7, code=4)
    router = IPv6(src=ROUTER6, dst=OURS6)
    quoted = bytes(rig.quoted(0))[:48]
    mapped = bytes(IPv6(src=f"::{OURS}", dst=f"::{THEIRS}") / TCP(sport=rig.our_port, dport=9000, seq=rig.iss))[:48]
    whole = router / ICMPv6DestUnreach(code=4) / IPerror6(quoted)
    for packet in (damaged(whole, 90), router / ICMPv6DestUnreach(code=4) / IPerror6(mapped), damaged(whole, 47)):
        rig.host.frame(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC, type=0x86DD) / packet))
    for cut in (8, 20, 47):
        rig.put(router / ICMPv6DestUnreach(code=4) / Raw(quoted[:cut]))
    assert asked.answer is None
    assert rig.state(fd) == "SYN_SENT"
    assert rig.host.counters == {"icmp_ignored": 7}
    assert rig.take() == []


def test_an_error_of_ip6_is_about_no_connection_of_ip4() -> None:
    """`::10.0.0.1` is the same number as 10.0.0.1."""
    rig = Rig(neighbours=(THEIRS,), ip6=True)
    fd = rig.done("SOCKET 2 1 6")
    asked = rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    syn = rig.take()[0][TCP]
    quoted = bytes(IPv6(src=f"::{OURS}", dst=f"::{THEIRS}") / TCP(sport=syn.sport, dport=9000, seq=syn.seq))[:48]
    rig.put(IPv6(src=ROUTER6, dst=OURS6) / ICMPv6DestUnreach(code=4) / IPerror6(quoted))
    assert asked.answer is None
    assert rig.host.counters == {"icmp_ignored": 1}


@pytest.fixture(autouse=True)
def nothing_is_left(rig: Rig) -> Iterator[None]:
    yield
    assert rig.ask("RESET") == (0, 0)
    assert rig.host.connections == {}
