"""A host without a device, in virtual time: requests are asked of it as a client would, its peer is made of scapy's packets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_NS, IPerror6, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from apps.addresses import Interface, parse_ip
from apps.endpoint.host import Host
from apps.endpoint.mistakes import Report
from apps.endpoint.requests import Requests
from apps.endpoint.scheduler import Scheduler
from apps.endpoint.site import Site
from apps.endpoint.tuning import Tuning

OURS, THEIRS, ROUTER, FAR = "10.0.0.1", "10.0.0.2", "10.0.0.254", "192.0.2.7"
OURS6, THEIRS6, ROUTER6, FAR6 = "2001:db8::1", "2001:db8::2", "2001:db8::fe", "2001:db8:9::7"
OUR_MAC, THEIR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
OUR_PORT, THEIR_PORT = 80, 40_000
IRS = 0xFFFFFFFE
ICMP6 = (ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_NS)


class Sent(NamedTuple):
    """A TCP segment of the host's: sequence numbers count from the SYN."""

    flags: str
    seq: int
    ack: int
    length: int = 0


def _give_up(line: str, error: Exception) -> None:
    raise AssertionError(line) from error


class Asked:
    """A request, and its answer when there is one."""

    def __init__(self) -> None:
        self.answer: str | None = None

    @property
    def pair(self) -> tuple[int, int]:
        """RESULT and ERRNO; the request must be done."""
        assert self.answer is not None, "still blocked"
        result, error = self.answer.split()
        return int(result), int(error)


class Rig:
    """The host, who asks it, and its peer at THEIRS:THEIR_PORT, who counts from the SYNs on. With *ip6* they talk over IPv6,
    and the host has addresses of both families."""

    def __init__(
        self,
        neighbours: Sequence[str] | None = None,
        gateway: str | None = None,
        ip6: bool = False,
        report: Report | None = None,
        **tuning: Any,
    ) -> None:
        self.ip6 = ip6
        report = report or _give_up
        self.ours, self.theirs, self.router = (OURS6, THEIRS6, ROUTER6) if ip6 else (OURS, THEIRS, ROUTER)
        neighbours = (self.theirs,) if neighbours is None else neighbours
        known = {parse_ip(ip): int(THEIR_MAC.replace(":", ""), 16) for ip in neighbours}
        interfaces = (Interface(parse_ip(OURS), 24), *([Interface(parse_ip(OURS6), 64)] if ip6 else []))
        gateways = (parse_ip(gateway),) if gateway else ()
        site = Site(interfaces, int(OUR_MAC.replace(":", ""), 16), gateways, known, (1, 2))
        self.host = Host(site, seed=1, tuning=Tuning(**tuning), report=report)
        self.requests = Requests(self.host, manual=True)
        self.scheduler = Scheduler(self.requests, report)
        self.irs, self.iss = IRS, 0
        self.our_port, self.their_port = OUR_PORT, THEIR_PORT

    # Requests.

    def begin(self, line: str) -> Asked:
        """Ask, and let everything go on as far as it does."""
        asked = Asked()

        def note(answer: str) -> None:
            asked.answer = answer

        self.scheduler.begin(line, note)
        self._go_on()
        return asked

    def _go_on(self) -> None:
        while self.scheduler.go_on():
            pass

    def ask(self, line: str) -> tuple[int, int]:
        """The answer to a request that does not block."""
        return self.begin(line).pair

    def done(self, line: str) -> int:
        """The result of a request that succeeds at once."""
        result, error = self.ask(line)
        assert error == 0, f"{line}: {result} {error}"
        return result

    def info(self, fd: int) -> dict[str, Any]:
        """INFO."""
        answer = self.begin(f"INFO {fd}").answer
        assert answer is not None
        return json.loads(answer)

    def state(self, fd: int) -> str:
        """TCP's state."""
        return self.info(fd)["state"]

    def advance(self, ms: float) -> None:
        """Let time pass."""
        assert self.ask(f"ADVANCE {int(ms * 1000)}") == (0, 0)

    # The wire.

    def take(self) -> list[Packet]:
        """The frames sent since the last look."""
        frames = [Ether(frame) for frame in self.host.frames]
        self.host.frames.clear()
        return frames

    def sent(self) -> list[Sent]:
        """The TCP segments sent since the last look; nothing else was, and each is intact."""
        found = []
        for frame in self.take():
            assert (frame.dst, frame.src) == (THEIR_MAC, OUR_MAC)
            ip = frame[IPv6 if self.ip6 else IP]
            assert (ip.src, ip.dst) == (self.ours, self.theirs)
            assert (frame[TCP].sport, frame[TCP].dport) == (self.our_port, self.their_port)
            assert intact(frame)
            flags = str(frame[TCP].flags)
            if "S" in flags:
                self.iss = frame[TCP].seq
            length = (ip.plen if self.ip6 else ip.len - 4 * ip.ihl) - 4 * frame[TCP].dataofs
            assert bytes(frame[TCP].payload)[:length] == bytes(length)
            seq = (frame[TCP].seq - self.iss) & 0xFFFFFFFF if frame[TCP].seq else 0
            ack = (frame[TCP].ack - self.irs) & 0xFFFFFFFF if "A" in flags else 0
            found.append(Sent(flags, seq, ack, length))
        return found

    def gets(self, flags: str, seq: int, ack: int = 0, length: int = 0, window: int = 65_535, **more: Any) -> list[Sent]:
        """A segment of the peer's; what it is answered with."""
        number = (self.iss + ack) & 0xFFFFFFFF if "A" in flags else 0
        options = [("MSS", 1460)] if "S" in flags else []
        tcp = TCP(
            sport=self.their_port, dport=self.our_port, flags=flags, seq=(self.irs + seq) & 0xFFFFFFFF, ack=number,
            window=window, options=more.get("options", options), urgptr=more.get("urgptr", 0),
        )  # fmt: skip
        self.put(self.from_peer() / tcp / Raw(b"x" * length) if length else self.from_peer() / tcp)
        return self.sent()

    def from_peer(self, **fields: Any) -> Packet:
        """The IP header of what the peer sends."""
        return (IPv6 if self.ip6 else IP)(**{"src": self.theirs, "dst": self.ours, **fields})

    def put(self, packet: Packet, to: str = OUR_MAC) -> None:
        """Any packet, from the peer's station."""
        self.host.frame(bytes(Ether(src=THEIR_MAC, dst=to) / packet))
        self._go_on()

    def arp(self) -> list[str]:
        """The addresses asked for since the last look; nothing else was sent."""
        frames = self.take()
        assert all(frame.haslayer(ARP) and frame[ARP].op == 1 and frame.dst == "ff:ff:ff:ff:ff:ff" for frame in frames)
        return [frame[ARP].pdst for frame in frames]

    def unreachable(self, code: int, seq: int, kind: int = 3) -> None:
        """An ICMP error about our segment that has this sequence number."""
        self.put(IP(src=ROUTER, dst=OURS) / ICMP(type=kind, code=code) / bytes(self.quoted(seq))[:28])

    def quoted(self, seq: int) -> Packet:
        """Our segment that has this sequence number."""
        tcp = TCP(sport=self.our_port, dport=self.their_port, seq=(self.iss + seq) & 0xFFFFFFFF)
        return (IPv6 if self.ip6 else IP)(src=self.ours, dst=self.theirs) / tcp

    def error6(self, kind: type[Packet], seq: int, **fields: Any) -> None:
        """An ICMPv6 error of the router's about the same."""
        self.put(IPv6(src=ROUTER6, dst=OURS6) / kind(**fields) / IPerror6(bytes(self.quoted(seq))[:48]))

    # States.

    def socket(self) -> int:
        """A socket of the family that is spoken."""
        return self.done(f"SOCKET {10 if self.ip6 else 2} 1 6")

    def listening(self, backlog: int = 5) -> int:
        """A listener on OUR_PORT."""
        fd = self.socket()
        self.done(f"BIND {fd} {self.ours} {OUR_PORT}")
        self.done(f"LISTEN {fd} {backlog}")
        return fd

    def shakes_hands(self, port: int = THEIR_PORT) -> None:
        """The peer connects to OUR_PORT."""
        self.their_port = port
        assert [sent.flags for sent in self.gets("S", 0)] == ["SA"]
        assert self.gets("A", 1, 1) == []

    def accepted(self, *options: str) -> int:
        """A connection that was accepted; *options* were set on the listener. The listener is closed."""
        listener = self.listening()
        for option in options:
            self.done(f"SETSOCKOPT {listener} {option}")
        self.shakes_hands()
        fd = self.done(f"ACCEPT {listener}")
        self.done(f"CLOSE {listener}")
        return fd

    def connecting(self) -> tuple[int, Asked]:
        """A connect to the peer's port 9000 whose SYN is out."""
        fd = self.socket()
        asked = self.begin(f"CONNECT {fd} {self.theirs} 9000")
        self.their_port = 9000
        frame = Ether(self.host.frames[-1])
        self.our_port = frame[TCP].sport
        assert [sent.flags for sent in self.sent()] == ["S"]
        return fd, asked

    def connected(self) -> int:
        """A connection that we have opened."""
        fd, asked = self.connecting()
        assert self.gets("SA", 0, 1) == [Sent("A", 1, 1)]
        assert asked.pair == (0, 0)
        return fd


def intact(frame: Packet) -> bool:
    """Do the checksums fit?"""
    fresh = frame.copy()
    layers = [layer for layer in (IP, TCP, ICMP, *ICMP6) if fresh.haslayer(layer)]
    names = {layer: "cksum" if layer in ICMP6 else "chksum" for layer in layers}
    for layer, name in names.items():
        delattr(fresh[layer], name)
    again = Ether(bytes(fresh))
    return all(getattr(again[layer], name) == getattr(frame[layer], name) for layer, name in names.items())
