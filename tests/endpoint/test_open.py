"""Opening connections, both ways: what ACCEPT and CONNECT say, and what is on the wire meanwhile."""

from __future__ import annotations

import errno

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether

from apps.addresses import Interface, parse_ip
from apps.endpoint.site import Site
from tests.endpoint.rig import FAR, OURS, ROUTER, THEIR_MAC, THEIRS, Rig, Sent


@pytest.mark.conformance("packetdrill:blocking/blocking-accept")
def test_accept_blocks_until_somebody_has_connected(rig: Rig) -> None:
    listener = rig.listening()
    waiting = rig.begin(f"ACCEPT {listener}")
    assert rig.gets("S", 0) == [Sent("SA", 0, 1)]
    assert waiting.answer is None
    assert rig.gets("A", 1, 1) == []
    fd, error = waiting.pair
    assert (fd, error) == (102, 0)
    assert rig.done(f"PEERIP {fd}") == parse_ip(THEIRS)
    assert rig.done(f"PEERPORT {fd}") == 40_000
    assert rig.state(fd) == "ESTABLISHED"


def test_accept_does_not_hold_up_other_requests(rig: Rig) -> None:
    listener = rig.listening()
    waiting = rig.begin(f"ACCEPT {listener}")
    assert rig.done("SOCKET 2 1 6") == 102
    assert waiting.answer is None


def test_accept_nonblocking(rig: Rig) -> None:
    listener = rig.listening()
    assert rig.done(f"FCNTL {listener} F_GETFL 0") == 2
    rig.done(f"FCNTL {listener} F_SETFL O_NONBLOCK")
    assert rig.done(f"FCNTL {listener} F_GETFL 0") == 0o4002
    assert rig.ask(f"ACCEPT {listener}") == (-1, errno.EAGAIN)
    rig.shakes_hands()
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.done(f"FCNTL {fd} F_GETFL 0") == 2


def test_accept_without_listening(rig: Rig) -> None:
    rig.done("SOCKET 2 1 6")
    assert rig.ask("ACCEPT 101") == (-1, errno.EINVAL)


@pytest.mark.conformance("packetimpact:TCPListenBacklog")
def test_backlog_more_syns_are_answered_than_connections_fit(rig: Rig) -> None:
    """As gVisor's TCPListenBacklog: SYNs are answered, the last ACK is not heard once the queue is full, nor are more SYNs."""
    listener = rig.listening(backlog=1)
    isses = {}
    for port in (1001, 1002, 1003):
        rig.their_port = port
        assert rig.gets("S", 0) == [Sent("SA", 0, 1)]
        isses[port] = rig.iss
    for rig.their_port, rig.iss in isses.items():
        assert rig.gets("A", 1, 1) == []
    assert (rig.info(listener)["accept_queue"], rig.info(listener)["half_open"]) == (2, 1)
    rig.their_port = 1004
    assert rig.gets("S", 0) == []
    assert rig.host.counters["backlog"] == 1
    rig.done(f"ACCEPT {listener}")
    rig.their_port, rig.iss = 1003, isses[1003]
    rig.gets("A", 1, 1)
    assert rig.info(listener)["accept_queue"] == 2


def test_defer_accept_waits_for_data(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_TCP TCP_DEFER_ACCEPT 3")
    assert rig.done(f"GETSOCKOPT {listener} SOL_TCP TCP_DEFER_ACCEPT") == 3
    rig.gets("S", 0)
    rig.gets("A", 1, 1)
    rig.advance(1500)
    assert rig.sent() == []
    assert rig.info(listener)["accept_queue"] == 0
    rig.gets("PA", 1, 1, length=5)
    assert rig.info(listener)["accept_queue"] == 1


def test_defer_accept_ends(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_TCP TCP_DEFER_ACCEPT 1")
    rig.gets("S", 0)
    rig.gets("A", 1, 1)
    rig.advance(1100)
    assert rig.sent() == [Sent("SA", 0, 1)]
    rig.gets("A", 1, 1)
    assert rig.info(listener)["accept_queue"] == 1


@pytest.mark.conformance("packetimpact:TCPSynRcvdReset", "lwip:receive_rst_SYN_RCVD_to_LISTEN", "rfc9293:MUST-11")
def test_syn_received_reset_goes_back_to_listening(rig: Rig) -> None:
    listener = rig.listening()
    rig.gets("S", 0)
    assert rig.gets("R", 1) == []
    assert rig.info(listener)["half_open"] == 0
    rig.shakes_hands()
    assert rig.done(f"ACCEPT {listener}") == 102


def test_a_connection_that_is_reset_before_it_is_accepted(rig: Rig) -> None:
    listener = rig.listening()
    rig.shakes_hands()
    rig.gets("R", 1)
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.ask(f"READ {fd} 10") == (-1, errno.ECONNRESET)
    assert rig.ask(f"READ {fd} 10") == (0, 0)


@pytest.mark.conformance("packetimpact:TcpNoAcceptCloseReset")
def test_closing_the_listener_resets_who_was_not_accepted(rig: Rig) -> None:
    listener = rig.listening()
    rig.shakes_hands(1001)
    rig.shakes_hands()
    rig.done(f"CLOSE {listener}")
    resets = [(frame[TCP].dport, str(frame[TCP].flags)) for frame in rig.take()]
    assert resets == [(1001, "RA"), (40_000, "RA")]
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


@pytest.mark.conformance("packetdrill:blocking/blocking-connect")
def test_connect_blocks_until_it_is_established(rig: Rig) -> None:
    fd, asked = rig.connecting()
    assert asked.answer is None
    assert rig.gets("SA", 0, 1) == [Sent("A", 1, 1)]
    assert asked.pair == (0, 0)
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EISCONN)


@pytest.mark.conformance("rfc9293:MUST-47")
def test_connect_refused(rig: Rig) -> None:
    fd, asked = rig.connecting()
    assert rig.gets("RA", 0, 1) == []
    assert asked.pair == (-1, errno.ECONNREFUSED)
    assert rig.begin(f"CONNECT {fd} {THEIRS} 9000").answer is None


def test_connect_times_out(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 1 6")
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_SYNCNT 2")
    asked = rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    rig.advance(6900)
    assert len(rig.take()) == 3
    assert asked.answer is None
    rig.advance(200)
    assert asked.pair == (-1, errno.ETIMEDOUT)


def test_connect_nonblocking(rig: Rig) -> None:
    fd = rig.done(f"SOCKET 2 {1 | 0o4000} 6")
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EINPROGRESS)
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EALREADY)
    assert rig.done(f"POLL {fd} POLLOUT 0") == 0
    rig.our_port, rig.their_port = rig.take()[0][TCP].sport, 9000
    rig.iss = rig.info(fd)["iss"]
    rig.gets("SA", 0, 1)
    assert rig.done(f"POLL {fd} POLLOUT 0") == 4
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == 0
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (0, 0)
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EISCONN)


def test_connect_nonblocking_refused(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6")
    rig.ask(f"CONNECT {fd} {THEIRS} 9000")
    rig.our_port, rig.their_port, rig.iss = rig.take()[0][TCP].sport, 9000, rig.info(fd)["iss"]
    rig.gets("RA", 0, 1)
    assert rig.done(f"POLL {fd} POLLOUT 0") == 4 | 8 | 16
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == errno.ECONNREFUSED
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == 0


@pytest.mark.conformance("packetimpact:TCPConnectICMPError", "packetimpact:TCPSynSentUnreachable", "rfc9293:MUST-47")
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0, errno.ENETUNREACH), (1, errno.EHOSTUNREACH), (2, errno.ENOPROTOOPT), (3, errno.ECONNREFUSED), (5, errno.EOPNOTSUPP),
        (7, errno.EHOSTDOWN), (8, errno.ENONET), (13, errno.EHOSTUNREACH),
    ],
)  # fmt: skip
def test_connect_icmp_error(rig: Rig, code: int, error: int) -> None:
    _, asked = rig.connecting()
    rig.unreachable(code, 0)
    assert asked.pair == (-1, error)
    assert rig.gets("SA", 0, 1) == [Sent("R", 1, 0)]


@pytest.mark.parametrize(("kind", "code", "seq"), [(3, 1, 7), (4, 0, 0), (3, 4, 0)], ids=["blind", "quench", "too big"])
def test_connect_goes_on_after_what_is_no_failure(rig: Rig, kind: int, code: int, seq: int) -> None:
    _, asked = rig.connecting()
    rig.unreachable(code, seq, kind)
    assert asked.answer is None


@pytest.mark.conformance("packetimpact:TCPEstablishedUnreachable", "rfc9293:SHLD-25")
def test_an_established_connection_is_not_ended_by_icmp(rig: Rig) -> None:
    fd = rig.connected()
    rig.unreachable(1, 1)
    assert rig.state(fd) == "ESTABLISHED"
    assert rig.done(f"WRITE {fd} 10") == 10
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == errno.EHOSTUNREACH


def test_connect_to_where_nobody_answers_arp() -> None:
    rig = Rig(neighbours=())
    fd = rig.done("SOCKET 2 1 6")
    asked = rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    assert rig.arp() == [THEIRS]
    rig.advance(2900)
    assert rig.arp() == [THEIRS] * 2
    assert asked.answer is None
    rig.advance(200)
    assert asked.pair == (-1, errno.EHOSTUNREACH)


def test_arp_is_asked_once_and_the_syn_follows_the_answer() -> None:
    rig = Rig(neighbours=())
    fd = rig.done("SOCKET 2 1 6")
    rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    assert rig.arp() == [THEIRS]
    rig.put(ARP(op=2, hwsrc=THEIR_MAC, psrc=THEIRS, pdst=OURS))
    [frame] = rig.take()
    assert (frame.dst, str(frame[TCP].flags)) == (THEIR_MAC, "S")


NEW = "02:00:00:00:00:77"
EVERYBODY = "ff:ff:ff:ff:ff:ff"


@pytest.mark.parametrize(
    ("says", "mac"),
    [
        (ARP(op=1, hwsrc=NEW, psrc=THEIRS, pdst=THEIRS), NEW),
        (ARP(op=2, hwsrc=NEW, psrc=THEIRS, pdst=THEIRS), NEW),
        (ARP(op=1, hwsrc=NEW, psrc=THEIRS, pdst=OURS), NEW),
        (ARP(op=1, hwsrc=NEW, psrc=ROUTER, pdst=ROUTER), THEIR_MAC),
        (ARP(op=1, hwsrc=EVERYBODY, psrc=THEIRS, pdst=THEIRS), THEIR_MAC),
    ],
    ids=["request", "reply", "asks us", "another", "group"],
)
@pytest.mark.parametrize("given", [False, True])
def test_a_neighbour_moves(says: ARP, mac: str, given: bool) -> None:
    """RFC 826: who is known is believed, whatever they want. What --neighbour says stays."""
    rig = Rig(neighbours=(THEIRS,) if given else ())
    rig.begin(f"CONNECT {rig.socket()} {THEIRS} 9000")
    rig.put(ARP(op=2, hwsrc=THEIR_MAC, psrc=THEIRS, pdst=OURS))
    rig.take()
    rig.put(says, to=EVERYBODY)
    rig.take()
    rig.advance(1500)
    assert [frame.dst for frame in rig.take()] == [THEIR_MAC if given else mac]


@pytest.mark.parametrize(("source", "moves"), [(THEIRS, THEIRS), (FAR, ROUTER)])
def test_a_passive_connection_follows_the_peer_or_its_router(source: str, moves: str) -> None:
    rig = Rig(neighbours=(), gateway=ROUTER)
    rig.begin(f"CONNECT {rig.socket()} {FAR} 9000")
    rig.put(ARP(op=2, hwsrc=THEIR_MAC, psrc=ROUTER, pdst=OURS))
    rig.take()
    rig.listening()
    rig.put(IP(src=source, dst=OURS) / TCP(sport=5000, dport=80, flags="S"))
    assert [frame.dst for frame in rig.take()] == [THEIR_MAC]
    rig.put(ARP(op=1, hwsrc=NEW, psrc=moves, pdst=moves), to=EVERYBODY)
    rig.advance(1500)
    assert {frame.dst for frame in rig.take() if frame[IP].dst == source} == {NEW}


def test_a_question_of_who_is_asked_for_is_an_answer() -> None:
    rig = Rig(neighbours=())
    rig.begin(f"CONNECT {rig.socket()} {THEIRS} 9000")
    assert rig.arp() == [THEIRS]
    rig.put(ARP(op=1, hwsrc=THEIR_MAC, psrc=THEIRS, pdst=OURS), to=EVERYBODY)
    syn, answer = rig.take()
    assert (syn.dst, str(syn[TCP].flags), answer[ARP].op) == (THEIR_MAC, "S", 2)


def test_routes() -> None:
    without = Rig()
    without.done("SOCKET 2 1 6")
    assert without.ask(f"CONNECT 101 {FAR} 80") == (-1, errno.ENETUNREACH)
    assert without.ask("CONNECT 101 10.0.0.255 80") == (-1, errno.ENETUNREACH)
    assert without.ask("CONNECT 101 224.0.0.1 80") == (-1, errno.ENETUNREACH)
    with_gateway = Rig(gateway=ROUTER)
    with_gateway.done("SOCKET 2 1 6")
    with_gateway.begin(f"CONNECT 101 {FAR} 80")
    assert with_gateway.arp() == [ROUTER]
    neighbour = Rig(neighbours=(FAR,))
    neighbour.done("SOCKET 2 1 6")
    neighbour.begin(f"CONNECT 101 {FAR} 80")
    [frame] = neighbour.take()
    assert (frame.dst, frame[IP].dst) == (THEIR_MAC, FAR)


def test_connecting_is_shut_down(rig: Rig) -> None:
    """As Linux does it: nothing is sent, the error is told, and the socket may begin anew."""
    fd, asked = rig.connecting()
    assert rig.ask(f"SHUTDOWN {fd} 1") == (0, 0)
    assert (rig.sent(), asked.pair) == ([], (-1, errno.ECONNRESET))
    assert rig.done(f"POLL {fd} POLLIN|POLLOUT|POLLRDHUP 0") == 0x14
    assert rig.ask(f"BIND {fd} {OURS} 81") == (0, 0)


def test_a_second_connect_is_another_connection(rig: Rig) -> None:
    fd, asked = rig.connecting()
    first = rig.our_port
    rig.gets("RA", 0, 1)
    assert asked.pair == (-1, errno.ECONNREFUSED)
    rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    [frame] = rig.take()
    assert (str(frame[TCP].flags), frame[TCP].sport != first) == ("S", True)


def test_a_socket_shut_down_before_it_connects_still_ends_by_fin(rig: Rig) -> None:
    fd = rig.socket()
    assert rig.ask(f"SHUTDOWN {fd} 1") == (-1, errno.ENOTCONN)
    asked = rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    rig.our_port, rig.their_port = Ether(rig.host.frames[-1])[TCP].sport, 9000
    assert [sent.flags for sent in rig.sent()] == ["S"]
    assert rig.gets("SA", 0, 1) == [Sent("A", 1, 1)]
    assert asked.pair == (0, 0)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 1, 1)]


@pytest.mark.conformance("rfc9293:MUST-10")
def test_simultaneous_open(rig: Rig) -> None:
    fd, asked = rig.connecting()
    assert rig.gets("S", 0) == [Sent("SA", 0, 1)]
    assert asked.answer is None
    rig.gets("A", 1, 1)
    assert asked.pair == (0, 0)
    assert rig.state(fd) == "ESTABLISHED"


def test_to_ourselves(rig: Rig) -> None:
    listener = rig.listening()
    fd = rig.done("SOCKET 2 1 6")
    assert rig.begin(f"CONNECT {fd} {OURS} 80").answer == "0 0"
    other = rig.done(f"ACCEPT {listener}")
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_NODELAY 1")
    assert rig.done(f"WRITE {fd} 5000") == 5000
    assert rig.done(f"READ {other} 9000 MSG_WAITALL|MSG_DONTWAIT") == 5000
    rig.done(f"CLOSE {fd}")
    assert rig.done(f"READ {other} 1") == 0
    rig.done(f"CLOSE {other}")
    assert rig.take() == []


def test_bind(rig: Rig) -> None:
    first, second = rig.done("SOCKET 2 1 6"), rig.done("SOCKET 2 1 0")
    assert rig.ask(f"BIND {first} 10.0.0.9 80") == (-1, errno.EADDRNOTAVAIL)
    assert rig.ask(f"BIND {first} 0.0.0.0 80") == (0, 0)
    assert rig.ask(f"BIND {first} 0 81") == (-1, errno.EINVAL)
    assert rig.ask(f"BIND {second} {OURS} 80") == (-1, errno.EADDRINUSE)
    for fd in (first, second):
        rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_REUSEADDR 1")
    assert rig.ask(f"BIND {second} {OURS} 80") == (0, 0)
    rig.done(f"LISTEN {first} 5")
    third = rig.done("SOCKET 2 1 6")
    rig.done(f"SETSOCKOPT {third} SOL_SOCKET SO_REUSEADDR 1")
    assert rig.ask(f"BIND {third} {OURS} 80") == (-1, errno.EADDRINUSE)


@pytest.mark.conformance("smoltcp:closed_reject", "smoltcp:doesnt_accept_wrong_port")
def test_a_closed_port_resets(rig: Rig) -> None:
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]
    assert rig.gets("A", 5, 7) == [Sent("R", 7, 0)]
    assert rig.gets("R", 5) == []


@pytest.mark.conformance("rfc9293:MUST-63")
@pytest.mark.parametrize("source", ["0.0.0.0", "10.0.0.255", "255.255.255.255", "224.0.0.1", "127.0.0.1"])
def test_a_source_that_is_no_station_is_not_answered(rig: Rig, source: str) -> None:
    rig.listening()
    rig.put(IP(src=source, dst=OURS) / TCP(dport=80, flags="S"))
    assert rig.take() == []
    assert rig.host.counters["bad_source"] == 1


@pytest.mark.parametrize("ip6", [False, True], ids=["ip4", "ip6"])
def test_nobody_else_has_our_address(ip6: bool) -> None:
    """A land attack: a packet from the device that claims to come from us."""
    rig = Rig(ip6=ip6)
    fd = rig.listening()
    rig.put(rig.from_peer(src=rig.ours) / TCP(sport=80, dport=80, flags="S"))
    assert (rig.take(), rig.host.counters) == ([], {"own_source": 1})
    assert rig.info(fd)["half_open"] == 0


@pytest.mark.conformance("rfc9293:MUST-57.1", "rfc9293:MUST-57.2")
def test_a_syn_to_a_group_is_not_answered(rig: Rig) -> None:
    rig.listening()
    rig.put(IP(src=THEIRS, dst="10.0.0.255") / TCP(dport=80, flags="S"), to="ff:ff:ff:ff:ff:ff")
    rig.put(IP(src=THEIRS, dst=OURS) / TCP(dport=80, flags="S"), to="ff:ff:ff:ff:ff:ff")
    assert rig.take() == []


def test_all_addresses_of_a_range_are_ours(rig: Rig) -> None:
    first = parse_ip(OURS)
    site = Site((Interface(first, 24, 1), Interface(first + 15, 24, 3)), rig.host.site.mac)
    assert site.addresses == (first, first + 15, first + 16, first + 17)
    assert [site.is_ours(first + k) for k in (14, 17, 18)] == [False, True, False]
    assert site.source_for(parse_ip(THEIRS)) == first


def test_a_path_that_takes_less_is_no_error(rig: Rig) -> None:
    fd = rig.connected()
    rig.done(f"WRITE {fd} 1460")
    quoted = bytes(rig.quoted(1))[:28]
    rig.put(IP(src=ROUTER, dst=OURS) / ICMP(type=3, code=4, nexthopmtu=1000) / quoted)
    assert rig.info(fd)["mss"] == 960
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_ERROR") == 0
