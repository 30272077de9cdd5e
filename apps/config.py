"""What a run is told: frozen, complete and validated, whatever it was read from.

Addresses and MACs are ints in host order, IPv6 addresses those from 2^32 on (`addresses.ip_text` and `addresses.mac_text` show
them), times carry their unit in their name, and None means "no limit" or "found out at run time" as each field says. `apps.load`
builds these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.addresses import Interface, is_ip6, is_link_local
from apps.errors import ConfigError as ConfigError
from apps.portblocks import PortBlocks

DEFAULT_INTERFACE = Interface(0xC6120001, 16)
"""198.18.0.1/16, of the range set aside for benchmarks (RFC 2544); used on devices whose packets stay inside."""


_TRANSFER_WINDOW = 1 << 20
_FEW_TRANSFERS, _TRANSFERS_SHARE = 16384, 8
"""As many of a server's connections, and one in so many, can be transfers when nobody says anything."""
CONGESTION = ("reno", "cubic")
"""Algorithms of congestion control, by the numbers `tcp/` has for them."""


@dataclass(frozen=True)
class Impairment:
    """A bad network before every pipeline: probabilities, seconds, bits a second, bytes; see `operators.impair`."""

    loss: float = 0.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    """0: as fast as it goes."""
    queue: int = 150_000
    """Bytes that wait for the *rate* at most."""
    limit: int = 8192
    """Packets that each core holds at most."""
    seed: int = 1


@dataclass(frozen=True)
class RunConfig:
    """What every app needs to know: devices, cores, memory, and how to report."""

    devices: tuple[str, ...] = ("loopback",)
    cores: tuple[int, ...] = (0,)
    name: str = "te-apps"
    """Prefix of the files DPDK makes for the process."""
    duration_s: float | None = None
    """Seconds; None: until done or stopped."""
    mbuf_cnt: int = 16383
    """Packet buffers per socket (2**n - 1 uses memory best)."""
    cache_size: int = 128
    """Packet buffers each core keeps for itself."""
    pool_size: int = 2048
    """Megabytes of hugepages per socket, where there are hugepages."""
    rxd: int = 1024
    txd: int = 1024
    checksum: bool = False
    """Leave TCP and IP checksums to the device."""
    nic_loopback: bool = False
    """Ask the device to send its own packets back to itself."""
    idle: str = "yield"
    """What a core does after *idle_after* empty polls: "spin", "yield" or "sleep"."""
    idle_after: int = 256
    impair: Impairment | None = None
    """What is done to the packets that are received; None: nothing."""
    quiet: bool = False
    json: bool = False
    progress: bool = False
    """Show a live line on stderr."""


@dataclass(frozen=True)
class MacswapConfig(RunConfig):
    """`te-apps macswap`."""


Listener = int | tuple[int, int]
"""A port of every address of ours, or (address, port)."""


@dataclass(frozen=True)
class Target:
    """A server to connect to. *mac* None: by ARP or ND, of the gateway when the target is off-link, our own when it is ours."""

    id: str
    ip: int
    port: int
    mac: int | None = None


@dataclass(frozen=True)
class TcpOptions:
    """What of TCP's extensions is offered, and granted when the peer offers it; how it acknowledges and sends."""

    window_scale: bool = True
    sack: bool = True
    timestamps: bool = False
    ecn: bool = False
    congestion: str = "cubic"
    nagle: bool = False
    delayed_ack_ms: int = 40
    keepalive_ms: int = 0
    keepalive_interval_ms: int = 75_000
    keepalive_probes: int = 9


@dataclass(frozen=True)
class Timeouts:
    """Limits of a connection in milliseconds, and of retransmissions; 0 ms: none."""

    established_ms: int = 60_000
    """Without a segment of the peer's, once established."""
    user_ms: int = 100_000
    """Data, SYN or FIN unacknowledged for so long: what RFC 9293 section 3.8.3 asks for data at least."""
    time_wait_ms: int = 1_000
    fin_wait_2_ms: int = 60_000
    min_rto_ms: int = 200
    syn_retries: int = 7
    """With a first timeout of 1 s that doubles up to 60 s: 183 s, the three minutes of RFC 9293 section 3.8.3."""
    retries: int = 8
    """With a shortest timeout of 200 ms: 102 s, the 100 seconds of RFC 9293 section 3.8.3."""


@dataclass(frozen=True)
class KernelSide:
    """A tap interface for what is not ours: ARP, ICMP, UDP and TCP to other addresses."""

    name: str
    address: Interface | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Response:
    """What a server answers: kind "auto" (HTTP for an HTTP request, else echo), "echo", "http" or "text" (*body* as it is)."""

    kind: str = "auto"
    body: bytes = b""


@dataclass(frozen=True)
class Sizes:
    """Bytes that one end sends and receives in a round."""

    send: int
    receive: int


@dataclass(frozen=True)
class TrafficConfig(RunConfig):
    """`te-apps trafficengine`."""

    role: str = "both"
    """ "both", "client" or "server"."""
    interfaces: tuple[Interface, ...] = (DEFAULT_INTERFACE,)
    """Our addresses; the very first is the primary one."""
    mac: int | None = None
    """Our MAC address; None: the device's."""
    gateways: tuple[int, ...] = ()
    """The routers to other links, one for each family at most."""
    ttl: int = 64
    dscp: int = 0
    """The Diffserv code point of what we send."""
    targets: tuple[Target, ...] = ()
    """Taken in turns by each core; empty: each core connects to its own server, over each family it has an address of."""
    ports: range | None = None
    """The ports clients connect from, but for those we listen on; None: what the port mask leaves to each core."""
    listen: tuple[Listener, ...] = ()
    """Where every core listens; empty: the highest port of its block."""
    connections: int | None = 250_000
    """Connections each core opens (as a server alone: accepts) before it is done."""
    cps_per_core: float | None = None
    """Connections a second each core opens; None: as fast as it can."""
    max_open: int = 512
    """Connections of its own a core has open at a time; a server alone has room for so many at least."""
    hold_s: float = 0.0
    """Established clients wait so long before their first message."""
    syn_backlog: int | None = None
    """Connections half open beyond which a core's server answers with SYN cookies; None: a quarter of its table."""
    echo_rings: int = 16384
    """Connections of each core that can at a time send back what is not of our own clients."""
    max_transfers: int | None = None
    """Connections of each core that clients can at a time make transfers, of a server that is told no sizes."""
    payload: int = 16
    """Bytes of a message."""
    request: bytes | None = None
    """What the client sends instead of *payload* bytes of its own."""
    expect: bytes | None = None
    """What each response must start with."""
    response: Response = Response()
    fin_by_client: int = 1000
    """Messages after which the client closes."""
    fin_by_server: int = 1
    """Messages after which the server closes."""
    send: int | None = None
    """Bytes this end sends in a round of a transfer; with role both, the client."""
    receive: int | None = None
    """Bytes it receives; neither given, nor a file: messages, no transfer."""
    rounds: int = 1
    think_ms: int | None = None
    """From a response to the next request."""
    half_close: bool = False
    """The client's FIN follows its last request."""
    peer: str = "engine"
    """"engine": the other end of a transfer is one of ours and is told the sizes; "any": it is not."""
    send_file: Path | None = None
    payload_hook: str | None = None
    check_hook: str | None = None
    read_rate: int | None = None
    """Bytes a second read of a transfer; None: all at once."""
    window: int | None = None
    """Bytes a connection takes before they are read; None: enough for transfers at any speed, 65,535 else."""
    tcp: TcpOptions = field(default_factory=TcpOptions)
    timeouts: Timeouts = field(default_factory=Timeouts)
    steering: str = "auto"
    """How a packet finds its core: "port", "ip", "rss", or "auto", the first of port and rss that the device can."""
    port_mask: int = 0x8000
    records: Path | None = None
    detailed_records: bool = False
    kernel_side: KernelSide | None = None
    seed: int = 1

    @property
    def blocks(self) -> PortBlocks:
        """Which ports belong to which core."""
        return PortBlocks(self.port_mask)

    @property
    def is_client(self) -> bool:
        """Whether connections are opened."""
        return self.role != "server"

    @property
    def is_server(self) -> bool:
        """Whether connections are accepted."""
        return self.role != "client"

    @property
    def has_ip6(self) -> bool:
        """Whether an address of ours is IPv6."""
        return any(is_ip6(interface.address) for interface in self.interfaces)

    @property
    def primaries(self) -> tuple[Interface, ...]:
        """The first of our addresses in each family."""
        first = {is_ip6(interface.address): interface for interface in reversed(self.interfaces)}
        return tuple(interface for interface in self.interfaces if first[is_ip6(interface.address)] is interface)

    @property
    def steers_by(self) -> str:
        """How a packet finds its core: "port", "ip" or "rss"."""
        if self.steering == "auto":
            return "rss" if self.listen else "port"
        return self.steering

    @property
    def transfers(self) -> bool:
        """Whether sizes rule, instead of messages."""
        return any(given is not None for given in (self.send, self.receive, self.send_file))

    @property
    def window_bytes(self) -> int:
        """What a connection takes before it is read."""
        if self.window is not None:
            return self.window
        return _TRANSFER_WINDOW if self.takes_transfers else 0xFFFF

    @property
    def takes_transfers(self) -> bool:
        """Whether connections may be transfers: of ours, or of others' clients."""
        return self.transfers or not self.is_client

    @property
    def timed(self) -> bool:
        """Whether transfers do anything by the clock: read, think, or give up servers that never stop."""
        return bool(self.read_rate or self.think_ms or (self.transfers and self.is_client and self.peer != "engine"))

    def transfers_among(self, connections: int) -> int:
        """Of so many on a core, how many can be transfers at a time: all, none, or of a server that is told no sizes some."""
        if self.transfers or not self.takes_transfers:
            return connections if self.transfers else 0
        return min(connections, self.max_transfers or max(_FEW_TRANSFERS, connections // _TRANSFERS_SHARE))

    @property
    def sizes(self) -> Sizes:
        """Of a round: a request, or else a file, is sent once unless `send` says how much."""
        send = self.send
        if send is None:
            send = len(self.request) if self.request else self.send_file.stat().st_size if self.send_file else 0
        return Sizes(send, self.receive or 0)

    def ip_block(self, primary: Interface) -> tuple[int, int]:
        """Steering by address, of the family of *primary*: core 0's first, and how many each core has. Of a range, its even
        share; after a single address the next ones, one each."""
        if primary.count == 1:
            return primary.address + 1, 1
        return primary.address, primary.count // len(self.cores)

    def ranges(self, core_index: int) -> tuple[range, ...]:
        """The local addresses of core *core_index*: all of them, but when steering by address its own."""
        if self.steering == "ip":
            blocks = [self.ip_block(primary) for primary in self.primaries]
            return tuple(range(first + core_index * size, first + (core_index + 1) * size) for first, size in blocks)
        return tuple(interface.addresses for interface in self.interfaces)

    def addresses(self, core_index: int) -> tuple[int, ...]:
        """`ranges` one by one."""
        return tuple(address for addresses in self.ranges(core_index) for address in addresses)

    def client_ports(self, core_index: int) -> Sequence[int]:
        """The ports clients of core *core_index* connect from; with steering by address, the same ones on each core.

        Of ports that were given, all but those we listen on, and with steering by port those in the core's block.
        """
        if self.ports is None:
            return self.blocks.client_ports(0 if self.steering == "ip" else core_index)
        taken = {port for index in range(len(self.cores)) for port in self.listen_ports(index)}
        mine = self.ports
        if len(self.cores) > 1 and self.steers_by == "port":
            block = self.blocks.block(core_index)
            mine = range(max(mine.start, block.start), min(mine.stop, block.stop))
        return [port for port in mine if port not in taken] if taken else mine

    def listen_ports(self, core_index: int, ip: int | None = None) -> tuple[int, ...]:
        """The ports core *core_index* accepts connections on, on any of its addresses, or on *ip*."""
        places = [(None, given) if isinstance(given, int) else given for given in self.listeners(core_index)]
        return tuple(dict.fromkeys(port for address, port in places if ip is None or address in (None, ip)))

    def listeners(self, core_index: int) -> tuple[Listener, ...]:
        """Where core *core_index* accepts connections."""
        if not self.is_server:
            return ()
        return self.listen or (self.blocks.listen_port(0 if self.steering == "ip" else core_index),)

    def targets_of(self, core_index: int) -> tuple[Target, ...]:
        """The targets of core *core_index*: those given, else its own server, once over each family."""
        if self.targets or not self.is_client:
            return self.targets
        first = {is_ip6(ip): ip for ip in reversed(self.addresses(core_index))}.values()
        places = [(ip, ports[0]) for ip in first if (ports := self.listen_ports(core_index, ip))]
        return tuple(Target("self", ip, port, self.mac) for ip, port in sorted(places))

    def is_local(self, ip: int) -> bool:
        """Whether *ip* is an address of ours, on any core."""
        return any(ip in addresses for index in range(len(self.cores)) for addresses in self.ranges(index))

    def next_hop(self, ip: int) -> int | None:
        """The address to ask for to reach *ip*: itself on-link, else the family's gateway (None when there is none)."""
        if is_link_local(ip) or any(interface.holds(ip) for interface in self.interfaces):
            return ip
        return next((gateway for gateway in self.gateways if is_ip6(gateway) == is_ip6(ip)), None)
