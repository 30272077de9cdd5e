"""Whatever is asked and whatever arrives, in any state: it is answered, and nothing fails in a way that no request should."""

from __future__ import annotations

import errno
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from apps.addresses import parse_ip
from apps.endpoint import linux
from apps.endpoint.requests import Requests
from apps.endpoint.scheduler import Scheduler
from tests.endpoint.rig import OUR_MAC, OURS, ROUTER, THEIR_MAC, THEIRS, Rig, intact

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
OPTIONS = [name for name in linux.NUMBERS if name.startswith(("SO_", "TCP_", "IP_"))]
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


def request(dice: random.Random) -> str:
    """Now and then one of its words makes no sense."""
    verb = dice.choice(list(SENSIBLE))
    words = [dice.choice(NUMBERS) if dice.random() < 0.05 else dice.choice(choices) for choices in SENSIBLE[verb]]
    return " ".join([verb, *words])


def segment(rig: Rig, dice: random.Random) -> Packet:
    """Of the peer's, near what one of our connections expects if there is one."""
    flags = "".join(
        flag for flag, often in zip("SAFRPUEC", (0.2, 0.9, 0.1, 0.03, 0.3, 0.1, 0.1, 0.1), strict=True) if dice.random() < often
    )
    sport, dport, seq, ack = dice.choice((40_000, 9000)), dice.choice((80, 81)), dice.getrandbits(32), dice.getrandbits(32)
    found = [socket for key, socket in rig.host.connections.items() if key[2] == parse_ip(THEIRS)]
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
    return IP(src=THEIRS, dst=OURS, tos=dice.randrange(4)) / tcp / Raw(bytes(dice.choice((0, 0, 1, 536, 1460))))


def frame(rig: Rig, dice: random.Random) -> bytes:
    """A segment, or an ICMP error about one; now and then it is cut or damaged."""
    packet = segment(rig, dice)
    if dice.random() < 0.1:
        tcp = packet[TCP]
        quoted = bytes(IP(src=OURS, dst=THEIRS) / TCP(sport=tcp.dport, dport=tcp.sport, seq=tcp.ack))
        icmp = ICMP(type=dice.choice((3, 3, 4, 11, 12)), code=dice.choice((0, 3, 4, 99)), nexthopmtu=dice.choice((0, 68, 1000)))
        packet = IP(src=ROUTER, dst=OURS) / icmp / quoted[: dice.choice((20, 24, 28))]
    data = bytearray(bytes(Ether(src=THEIR_MAC, dst=OUR_MAC) / packet))
    if dice.random() < 0.1:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data[: dice.randrange(len(data))] if dice.random() < 0.05 else data)


@pytest.mark.parametrize("seed", range(24))
def test_anything(seed: int) -> None:
    dice = random.Random(seed)
    rig = Rig()
    rig.listening(dice.choice((0, 5)))
    answers = 0
    for _ in range(150):
        if dice.random() < 0.5:
            asked = rig.begin(request(dice))
            answers += asked.answer is not None
        else:
            rig.host.frame(frame(rig, dice))
        for sent in rig.take():
            assert TCP not in sent or intact(sent)
    assert answers > 40
    assert rig.ask("RESET") == (0, 0)
    assert rig.host.connections == {}
    assert rig.done("SOCKET 2 1 6") == 101


def test_a_mistake_of_ours_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    rig.scheduler = Scheduler(Requests(rig.host))
    fd = rig.done("SOCKET 2 1 6")

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("two\nlines")

    rig.host.bind = fail  # type: ignore[method-assign]
    assert rig.ask(f"BIND {fd} {OURS} 80") == (-1, errno.EIO)
    line = (
        f"te-apps: endpoint: 'BIND {fd} {OURS} 80' failed by a mistake of ours, ZeroDivisionError: two lines; please report it\n"
    )
    assert capsys.readouterr() == ("", line)
    assert rig.info(fd)["state"] == "CLOSED"


def test_time_ends_after_49_days(rig: Rig) -> None:
    left = (1 << 32) * 1000 - 1000 - rig.host.now
    assert rig.ask(f"ADVANCE {left + 1}") == (-1, errno.EINVAL)
    assert rig.ask(f"ADVANCE {left}") == (0, 0)
