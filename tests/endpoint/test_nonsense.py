"""Whatever is asked and whatever arrives, in any state: it is answered, and nothing fails in a way that no request should."""

from __future__ import annotations

import errno
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6Unknown,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from apps.addresses import parse_ip
from apps.endpoint import linux
from apps.endpoint.mistakes import report_mistake
from tests.endpoint.rig import OUR_MAC, OURS, OURS6, ROUTER, ROUTER6, THEIR_MAC, THEIRS, THEIRS6, Rig, Sent, intact

NUMBERS = (
    "0",
    "1",
    "2",
    "-1",
    "3",
    "80",
    "100",
    "1460",
    "65536",
    "2147483647",
    "-2147483648",
    "0xffffffff",
    "9" * 20,
    "9" * 5000,
)
OPTIONS = [name for name in linux.NUMBERS if name.startswith(("SO_", "TCP_", "IP_", "IPV6_"))]
FDS = ("101", "102", "103", "104")
SENSIBLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "SOCKET": (("2",), ("1", "SOCK_STREAM|SOCK_NONBLOCK"), ("6",)),
    "BIND": (FDS, (OURS, "0"), ("80", "81", "0")),
    "LISTEN": (FDS, ("0", "1", "5")),
    "ACCEPT": (FDS,),
    "PEERIP": (FDS,),
    "CONNECT": (FDS, (THEIRS, OURS, "0", "10.0.0.77"), ("80", "9000")),
    "WRITE": (FDS, ("1", "100", "5000", "100000"), ("0", "MSG_MORE", "MSG_DONTWAIT")),
    "READ": (FDS, ("1", "100", "100000"), ("0", "MSG_PEEK", "MSG_WAITALL", "MSG_DONTWAIT")),
    "SHUTDOWN": (FDS, ("0", "1", "2")),
    "CLOSE": (FDS,),
    "ABORT": (FDS,),
    "SETSOCKOPT": (FDS, ("SOL_SOCKET", "SOL_TCP", "SOL_IP"), tuple(OPTIONS), ("0", "1", "5", "200000")),
    "GETSOCKOPT": (FDS, ("SOL_SOCKET", "SOL_TCP", "SOL_IP"), tuple(OPTIONS)),
    "FCNTL": (FDS, ("F_GETFL", "F_SETFL"), ("0", "O_NONBLOCK")),
    "IOCTL": (FDS, ("SIOCINQ", "SIOCOUTQ", "SIOCOUTQNSD")),
    "POLL": (FDS, ("POLLIN", "POLLOUT"), ("0", "10", "-1")),
    "INFO": (FDS,),
    "ADVANCE": (("0", "1000", "300000", "60000000"),),
}


SENSIBLE6 = SENSIBLE | {
    "SOCKET": (("10", "10", "2"), ("1", "SOCK_STREAM|SOCK_NONBLOCK"), ("6",)),
    "BIND": (FDS, (OURS6, f"::ffff:{OURS}", "0"), ("80", "81", "0")),
    "CONNECT": (FDS, (THEIRS6, OURS6, "0", "2001:db8::77", f"::ffff:{THEIRS}"), ("80", "9000")),
    "SETSOCKOPT": (FDS, ("SOL_TCP", "SOL_IPV6"), tuple(OPTIONS), ("0", "1", "5", "200000")),
}


def request(rig: Rig, dice: random.Random) -> str:
    """Now and then one of its words makes no sense."""
    sensible = SENSIBLE6 if rig.ip6 else SENSIBLE
    verb = dice.choice(list(sensible))
    words = [dice.choice(NUMBERS) if dice.random() < 0.05 else dice.choice(choices) for choices in sensible[verb]]
    return " ".join([verb, *words])


def segment(rig: Rig, dice: random.Random) -> Packet:
    """Of the peer's, near what one of our connections expects if there is one."""
    flags = "".join(
        flag for flag, often in zip("SAFRPUEC", (0.2, 0.9, 0.1, 0.03, 0.3, 0.1, 0.1, 0.1), strict=True) if dice.random() < often
    )
    sport, dport, seq, ack = dice.choice((40_000, 9000)), dice.choice((80, 81)), dice.getrandbits(32), dice.getrandbits(32)
    found = [socket for key, socket in rig.host.connections.items() if key[2] == parse_ip(rig.theirs)]
    if found and dice.random() < 0.9:
        socket = dice.choice(found)
        assert socket.peer is not None
        assert socket.connection is not None
        conn = socket.connection.conn
        sport, dport = socket.peer[1], socket.local[1]
        seq = int(conn.rcv_nxt) + dice.choice((0, 0, 0, 0, -1, 1, 1460, -100, 70_000, 1 << 31))
        ack = int(dice.choice((conn.snd_nxt, conn.snd_una))) + dice.choice((0, 0, 0, -1, 1, 100, 1 << 31))
    known = [
        ("MSS", dice.choice((0, 1, 536, 1460, 65_535))), ("WScale", dice.choice((0, 7, 15, 255))), ("SAckOK", b""),
        ("Timestamp", (rig.host.now // 1000, dice.choice((0, 1000)))), ("SAck", (ack & 0xFFFFFFFF, (ack + 1460) & 0xFFFFFFFF)),
    ]  # fmt: skip
    tcp = TCP(
        sport=sport, dport=dport, seq=seq & 0xFFFFFFFF, ack=ack & 0xFFFFFFFF, flags=flags,
        window=dice.choice((0, 1, 1000, 65_535)), options=[option for option in known if dice.random() < 0.3],
    )  # fmt: skip
    ip = rig.from_peer(**{"tc" if rig.ip6 else "tos": dice.randrange(4)})
    return ip / tcp / Raw(bytes(dice.choice((0, 0, 1, 536, 1440))))


def discovery(dice: random.Random) -> Packet:
    """About an address of ours or the peer's."""
    target, mac = dice.choice((OURS6, THEIRS6)), dice.choice((THEIR_MAC, OUR_MAC, "33:33:00:00:00:01"))
    ip = IPv6(src=dice.choice((THEIRS6, OURS6, "::", "ff02::1")), dst=OURS6, hlim=dice.choice((255, 255, 255, 1)))
    if dice.random() < 0.5:
        return ip / ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=mac, len=dice.choice((0, 1, 1, 1, 2)))
    return ip / ICMPv6ND_NA(tgt=target) / ICMPv6NDOptDstLLAddr(lladdr=mac, len=dice.choice((0, 1, 1, 1, 2)))


def icmp(rig: Rig, dice: random.Random, tcp: Packet) -> Packet:
    """An error about the segment that *tcp* acknowledges."""
    segment = TCP(sport=tcp.dport, dport=tcp.sport, seq=tcp.ack)
    if rig.ip6:
        quoted = bytes(IPv6(src=OURS6, dst=THEIRS6) / segment)
        kind, code, mtu = dice.choice((1, 1, 2, 3, 4, 99)), dice.choice((0, 4, 99)), dice.choice((0, 68, 1300, 1 << 31))
        head = ICMPv6Unknown(type=kind, code=code, msgbody=mtu.to_bytes(4, "big") + quoted[: dice.choice((20, 44, 48))])
        return IPv6(src=ROUTER6, dst=OURS6) / head
    quoted = bytes(IP(src=OURS, dst=THEIRS) / segment)
    head = ICMP(type=dice.choice((3, 3, 4, 11, 12)), code=dice.choice((0, 3, 4, 99)), nexthopmtu=dice.choice((0, 68, 1000)))
    return IP(src=ROUTER, dst=OURS) / head / quoted[: dice.choice((20, 24, 28))]


def frame(rig: Rig, dice: random.Random) -> bytes:
    """A segment, an ICMP error about one, or something of neighbour discovery; now and then it is cut or damaged."""
    packet = segment(rig, dice)
    if dice.random() < 0.1:
        packet = icmp(rig, dice, packet[TCP])
    elif rig.ip6 and dice.random() < 0.1:
        packet = discovery(dice)
    data = bytearray(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC) / packet))
    if dice.random() < 0.1:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data[: dice.randrange(len(data))] if dice.random() < 0.05 else data)


@pytest.mark.parametrize("ip6", [False, True], ids=["ip4", "ip6"])
@pytest.mark.parametrize("seed", range(16))
def test_anything(seed: int, ip6: bool) -> None:
    dice = random.Random(seed)
    rig = Rig(ip6=ip6)
    rig.listening(dice.choice((0, 5)))
    answers = 0
    for _ in range(150):
        if dice.random() < 0.5:
            asked = rig.begin(request(rig, dice))
            answers += asked.answer is not None
        else:
            rig.host.frame(frame(rig, dice))
        for sent in rig.take():
            assert TCP not in sent or intact(sent)
    assert answers > 40
    assert rig.ask("RESET") == (0, 0)
    assert rig.host.connections == {}
    assert rig.done("SOCKET 2 1 6") == 101


def fail(*arguments: object) -> None:
    raise ZeroDivisionError("two\nlines")


MISTAKE = "te-apps: endpoint: {} failed by a mistake of ours, ZeroDivisionError: two lines; please report it\n"


def test_a_request_that_fails_by_a_mistake_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig(report=report_mistake)
    fd = rig.done("SOCKET 2 1 6")
    rig.host.bind = fail  # type: ignore[method-assign]
    assert rig.ask(f"BIND {fd} {OURS} 80") == (-1, errno.EIO)
    assert capsys.readouterr() == ("", MISTAKE.format(f"'BIND {fd} {OURS} 80'"))
    assert rig.info(fd)["state"] == "CLOSED"


def two_connections(ip6: bool) -> tuple[Rig, int, int]:
    """Of the second, what arrives and timers fail from now on."""
    rig = Rig(ip6=ip6, report=report_mistake)
    listener = rig.listening()
    fds = []
    for port in (1001, 1002):
        rig.shakes_hands(port)
        fds.append(rig.done(f"ACCEPT {listener}"))
    connection = rig.requests.sockets[fds[1]].connection
    assert connection is not None
    connection.receive = connection.on_timer = fail  # type: ignore[method-assign, assignment]
    return rig, fds[0], fds[1]


@pytest.mark.parametrize("ip6", [False, True], ids=["ip4", "ip6"])
def test_a_frame_that_fails_by_a_mistake_of_ours(capsys: pytest.CaptureFixture[str], ip6: bool) -> None:
    """Its connection is reset, the others live on."""
    rig, first, second = two_connections(ip6)
    reading = rig.begin(f"READ {second} 10")
    assert rig.gets("PA", 1, 1, length=5) == [Sent("RA", 1, 1)]
    assert capsys.readouterr() == ("", MISTAKE.format(f"'a frame of {79 if ip6 else 59} bytes'"))
    assert rig.host.counters == {"mistakes": 1}
    assert reading.pair == (-1, errno.EIO)
    assert rig.state(second) == "CLOSED"
    assert rig.gets("PA", 1, 1, length=5) == [Sent("R", 1, 0)]
    rig.their_port, rig.iss = 1001, rig.info(first)["iss"]
    rig.gets("PA", 1, 1, length=5)
    assert rig.done(f"READ {first} 10") == 5


def test_a_timer_that_fails_by_a_mistake_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    rig, first, second = two_connections(False)
    rig.done(f"WRITE {second} 10")
    rig.done(f"WRITE {first} 10")
    rig.take()
    rig.advance(1500)
    assert capsys.readouterr() == ("", MISTAKE.format("'a timer'"))
    sent = {(frame[TCP].dport, str(frame[TCP].flags)) for frame in rig.take()}
    assert sent == {(1002, "RA"), (1001, "PA")}
    assert rig.done(f"GETSOCKOPT {second} SOL_SOCKET SO_ERROR") == errno.EIO
    assert rig.info(first)["retransmits"] >= 1


def test_a_connection_that_cannot_even_be_ended(capsys: pytest.CaptureFixture[str]) -> None:
    rig, _, second = two_connections(False)
    connection = rig.requests.sockets[second].connection
    assert connection is not None
    connection.abort = fail  # type: ignore[method-assign, assignment]
    rig.put(rig.from_peer() / TCP(sport=1002, dport=80, flags="A", seq=rig.irs, ack=rig.iss))
    assert capsys.readouterr().err == MISTAKE.format("'a frame of 54 bytes'") + MISTAKE.format("'ending a connection'")
    assert rig.ask(f"READ {second} 10") == (-1, errno.EIO)
    assert len(rig.host.connections) == 1


def test_mistakes_do_not_fill_a_disk(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig(report=report_mistake)
    rig.host.network.take_in = fail  # type: ignore[method-assign]
    for _ in range(15):
        rig.host.frame(bytes(60))
    assert capsys.readouterr().err.count("\n") == 10
    assert rig.host.counters == {"mistakes": 15}


def test_time_ends_after_49_days(rig: Rig) -> None:
    left = (1 << 32) * 1000 - 1000 - rig.host.now
    assert rig.ask(f"ADVANCE {left + 1}") == (-1, errno.EINVAL)
    assert rig.ask(f"ADVANCE {left}") == (0, 0)
