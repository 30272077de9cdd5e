"""A host without a device, in virtual time: requests are asked of it as a client would, its peer is made of scapy's packets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from apps.addresses import Interface, parse_ip
from apps.endpoint.host import Host, Site
from apps.endpoint.requests import Requests
from apps.endpoint.scheduler import Scheduler
from apps.endpoint.tuning import Tuning

OURS, THEIRS, ROUTER, FAR = "10.0.0.1", "10.0.0.2", "10.0.0.254", "192.0.2.7"
OUR_MAC, THEIR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
OUR_PORT, THEIR_PORT = 80, 40_000
IRS = 0xFFFFFFFE


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
    """The host, who asks it, and its peer at THEIRS:THEIR_PORT, who counts from the SYNs on."""

    def __init__(self, neighbours: Sequence[str] = (THEIRS,), gateway: str | None = None, **tuning: Any) -> None:
        known = {parse_ip(ip): int(THEIR_MAC.replace(":", ""), 16) for ip in neighbours}
        site = Site(
            (Interface(parse_ip(OURS), 24),), int(OUR_MAC.replace(":", ""), 16), gateway and parse_ip(gateway), known, (1, 2)
        )
        self.host = Host(site, seed=1, tuning=Tuning(**tuning))
        self.requests = Requests(self.host, manual=True)
        self.scheduler = Scheduler(self.requests, _give_up)
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
            assert (frame[IP].src, frame[IP].dst) == (OURS, THEIRS)
            assert (frame[TCP].sport, frame[TCP].dport) == (self.our_port, self.their_port)
            assert intact(frame)
            flags = str(frame[TCP].flags)
            if "S" in flags:
                self.iss = frame[TCP].seq
            length = frame[IP].len - 4 * frame[IP].ihl - 4 * frame[TCP].dataofs
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
            window=window, options=more.get("options", options),
        )  # fmt: skip
        self.put(IP(src=THEIRS, dst=OURS) / tcp / Raw(b"x" * length) if length else IP(src=THEIRS, dst=OURS) / tcp)
        return self.sent()

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
        quoted = IP(src=OURS, dst=THEIRS) / TCP(sport=self.our_port, dport=self.their_port, seq=(self.iss + seq) & 0xFFFFFFFF)
        self.put(IP(src=ROUTER, dst=OURS) / ICMP(type=kind, code=code) / bytes(quoted)[:28])

    # States.

    def listening(self, backlog: int = 5) -> int:
        """A listener on OUR_PORT."""
        fd = self.done("SOCKET 2 1 6")
        self.done(f"BIND {fd} {OURS} {OUR_PORT}")
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
        fd = self.done("SOCKET 2 1 6")
        asked = self.begin(f"CONNECT {fd} {THEIRS} 9000")
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
    del fresh[IP].chksum
    del fresh[TCP].chksum
    again = Ether(bytes(fresh))
    return (again[IP].chksum, again[TCP].chksum) == (frame[IP].chksum, frame[TCP].chksum)
