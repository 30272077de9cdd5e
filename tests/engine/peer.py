"""The other end of a server's connection, by hand: segments built and read with scapy."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.engine.host import CLIENT_IP, CLIENT_MAC, LISTEN, SERVER_IP, SERVER_MAC, Host

ISS = 0xFFFFFFF0
"""The peer's first sequence number, so that every longer connection passes the wrap."""


def dotted(ip: int) -> str:
    return ".".join(str(byte) for byte in ip.to_bytes(4, "big"))


def mac_text(mac: bytes) -> str:
    return mac.hex(":")


def read(frame: bytes) -> Packet:
    """The frame, whose checksums must be those that scapy computes, and which must be from the server to the peer."""
    packet = Ether(frame)
    again = Ether(frame)
    del again[IP].chksum, again[TCP].chksum
    fresh = Ether(bytes(again))
    assert (packet[IP].chksum, packet[TCP].chksum) == (fresh[IP].chksum, fresh[TCP].chksum)
    assert len(frame) >= 60
    assert packet.src == mac_text(SERVER_MAC)
    assert packet.dst == mac_text(CLIENT_MAC)
    assert (packet[IP].src, packet[IP].dst) == (dotted(SERVER_IP), dotted(CLIENT_IP))
    return packet


def payload(packet: Packet) -> bytes:
    """The TCP payload, without Ethernet padding."""
    size = packet[IP].len - packet[IP].ihl * 4 - packet[TCP].dataofs * 4
    return bytes(packet[TCP].payload)[:size]


def told(packet: Packet) -> tuple[str, int, int, bytes]:
    """Flags, sequence number, acknowledgment and payload of a segment."""
    tcp = packet[TCP]
    return str(tcp.flags), tcp.seq, tcp.ack if "A" in tcp.flags else 0, payload(packet)


class Peer:
    """Port *port* of the peer, connected to *host*'s port *to*. It keeps count of sequence numbers, and of what has come."""

    def __init__(self, host: Host, port: int = 40000, *, to: int = LISTEN, iss: int = ISS) -> None:
        self.host, self.port, self.to = host, port, to
        self.seq, self.ack = iss, 0
        self.received = b""
        self.fin = False

    def segment(self, flags: str, data: bytes = b"", **fields: Any) -> bytes:
        """A frame from the peer; *fields* of TCP in place of those that would be right."""
        ether = Ether(src=mac_text(CLIENT_MAC), dst=mac_text(SERVER_MAC))
        ip = IP(src=dotted(CLIENT_IP), dst=dotted(SERVER_IP))
        right = {"seq": self.seq, "ack": self.ack if "A" in flags else 0, "window": 65535}
        return bytes(ether / ip / TCP(sport=self.port, dport=self.to, flags=flags, **{**right, **fields}) / data)

    def send(self, flags: str, data: bytes = b"", **fields: Any) -> list[Packet]:
        """Send a segment that counts, and take the answers, acknowledging none of them yet."""
        frame = self.segment(flags, data, **fields)
        self.seq = (self.seq + len(data) + ("S" in flags) + ("F" in flags)) % 2**32
        return self.take([frame])

    def take(self, frames: list[bytes]) -> list[Packet]:
        """Let the host have *frames* and note what it answers, which must come in order."""
        answers = [read(answer) for answer in self.host.run(frames)]
        for answer in answers:
            self._note(answer)
        return answers

    def _note(self, answer: Packet) -> None:
        flags, seq, _, data = told(answer)
        assert (answer[TCP].sport, answer[TCP].dport) == (self.to, self.port)
        if "R" in flags:
            return
        if "S" in flags:
            self.ack = (seq + 1) % 2**32
        elif seq == self.ack:
            self.received += data
            self.fin = self.fin or "F" in flags
            self.ack = (self.ack + len(data) + ("F" in flags)) % 2**32

    def connect(self, **fields: Any) -> Packet:
        """The handshake; the SYN-ACK."""
        (answer,) = self.send("S", **fields)
        assert answer[TCP].flags == "SA"
        assert self.send("A") == []
        return answer

    def finish(self) -> None:
        """Acknowledge the server's FIN and close too; the server, which closed first, is in TIME_WAIT then."""
        assert self.fin
        (last,) = self.send("FA")
        assert told(last)[0] == "A"
        assert last[TCP].ack == self.seq
