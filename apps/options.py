"""The options of the commands. Each parameter that takes one is named like the field of the configuration it sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _option(name: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, metavar=metavar, show_default=False)


ConfigFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG.toml", help="Configuration; options win over it. Files of TrafficEngine 0.2 load as they are."
    ),
]
Devices = Annotated[
    list[str] | None,
    _option(
        "--device", "loopback (default), ring, null, tap:NAME, af_packet:IF, af_xdp:IF, memif:PATH, pcap:IN,OUT, a PCI "
        "address, or EAL devargs as they are. Repeatable.", "DEVICE",
    ),
]  # fmt: skip
Maps = Annotated[list[str] | None, _option("--map", "A device in place of a configured one: 7:00.0=net_ring0.", "NAME=DEVICE")]
Cores = Annotated[str | None, _option("--cores", "Cores, one queue pair each: 0,1 or 0-3. Default: the first.", "LIST")]
Name = Annotated[str | None, _option("--name", "Prefix of the files DPDK makes. Default: te-apps.", "NAME")]
Idle = Annotated[str | None, _option("--idle", "What a core does without work: spin, yield (default) or sleep.", "POLICY")]
MbufCnt = Annotated[int | None, _option("--mbuf-cnt", "Packet buffers per socket. Default: 16383.", "N")]
CacheSize = Annotated[int | None, _option("--cache-size", "Packet buffers a core keeps to itself. Default: 128.", "N")]
PoolSize = Annotated[int | None, _option("--pool-size", "Megabytes of hugepages per socket. Default: 2048.", "MB")]
Rxd = Annotated[int | None, _option("--rxd", "Receive descriptors of a queue. Default: 1024.", "N")]
Txd = Annotated[int | None, _option("--txd", "Send descriptors of a queue. Default: 1024.", "N")]

Impair = Annotated[
    str | None,
    _option(
        "--impair", "Do to received packets what a bad network does: loss=1%,delay=20ms,jitter=5ms,reorder=1%,duplicate=1%,"
        "corrupt=1%,rate=10mbit,queue=150k,limit=8192,seed=1.", "WHAT",
    ),
]  # fmt: skip

RoleName = Annotated[
    str | None, _option("--role", "both, client or server. Default: client when all targets are others.", "ROLE")
]
Targets = Annotated[
    list[str] | None,
    _option("--target", "A server to connect to, IPv6 as [IP]:PORT. Repeatable, taken in turns.", "IP:PORT[@MAC]"),
]
Ips = Annotated[
    list[str] | None,
    _option(
        "--ip", "Our address on the device's link, IPv4 or IPv6, or a range: FIRST-LAST/LEN, NET/LEN. Repeatable.", "ADDR/LEN"
    ),
]
Gateways = Annotated[
    list[str] | None, _option("--gateway", "The router to targets that are not on the link. Once for each family.", "IP")
]
Ttl = Annotated[int | None, _option("--ttl", "Time to live of what we send. Default: 64.", "N")]
Dscp = Annotated[int | None, _option("--dscp", "Diffserv code point of what we send, 0 to 63. Default: 0.", "N")]
Mac = Annotated[str | None, _option("--mac", "Our MAC address. Default: the device's.", "MAC")]
Control = Annotated[str | None, _option("--control", "The unix socket that requests are sent to.", "PATH")]
Neighbours = Annotated[
    list[str] | None, _option("--neighbour", "A neighbour's MAC address, which is then not asked for. Repeatable.", "IP=MAC")
]
Clock = Annotated[str | None, _option("--clock", "real (default), or manual: time passes only by the request ADVANCE.", "WHICH")]
Timestamps = Annotated[str | None, _option("--timestamps", "Timestamps (RFC 7323): on (default) or off.", "WHICH")]
Sack = Annotated[str | None, _option("--sack", "Selective acknowledgments (RFC 2018): on (default) or off.", "WHICH")]
WindowScale = Annotated[str | None, _option("--window-scale", "Scaled windows (RFC 7323): on (default) or off.", "WHICH")]
Ecn = Annotated[
    str | None, _option("--ecn", "Congestion marks (RFC 3168): on, passive (default: if the peer asks) or off.", "WHICH")
]
Congestion = Annotated[str | None, _option("--congestion", "Congestion control: cubic (default) or reno.", "WHICH")]
Listen = Annotated[
    list[str] | None, _option("--listen", "A port to accept connections on, or IP:PORT for one address. Repeatable.", "[IP:]PORT")
]
ConnectionCount = Annotated[int | None, _option("--connections", "Connections each core completes before it is done.", "N")]
Cps = Annotated[float | None, _option("--cps", "Connections a second, over all cores. Default: as fast as it goes.", "RATE")]
MaxOpen = Annotated[
    int | None,
    _option("--max-open", "Connections a core has open at a time. Default: 512; with --cps all it can.", "N"),
]
Hold = Annotated[float | None, _option("--hold", "Seconds that established connections wait before they speak.", "S")]
ClientPorts = Annotated[str | None, _option("--client-ports", "Ports that clients connect from.", "FIRST-LAST")]
Duration = Annotated[float | None, _option("--duration", "Stop after so many seconds.", "S")]
Payload = Annotated[int | None, _option("--payload", "Bytes of a message. Default: 16.", "BYTES")]
Request = Annotated[str | None, _option("--request", r"What a client sends, with \r\n escapes, or @FILE.", "TEXT")]
Expect = Annotated[str | None, _option("--expect", "What each response must start with.", "PREFIX")]
ResponseText = Annotated[str | None, _option("--response", "What a server sends: auto, echo, http, text:TEXT or @FILE.", "WHAT")]
Send = Annotated[str | None, _option("--send", "Bytes a client sends in a round, with K, M, G or Ki, Mi, Gi.", "BYTES")]
Receive = Annotated[str | None, _option("--receive", "Bytes a client gets in a round.", "BYTES")]
Rounds = Annotated[int | None, _option("--rounds", "Rounds of --send and --receive on a connection. Default: 1.", "N")]
Think = Annotated[str | None, _option("--think", "Time from a response to the next request: 10ms, 1.5s.", "TIME")]
HalfClose = Annotated[bool | None, _option("--half-close", "FIN after the last byte sent; go on receiving.")]
Peer = Annotated[
    str | None,
    _option("--peer", "engine (default): the other end is a TrafficEngine and told the sizes; any: it is not.", "WHAT"),
]
SendFile = Annotated[str | None, _option("--send-file", "What is sent; repeated as --send wants.", "FILE")]
PayloadHook = Annotated[str | None, _option("--payload-hook", "A kernel that makes what is sent.", "FILE_OR_MODULE:NAME")]
CheckHook = Annotated[str | None, _option("--check-hook", "A kernel that checks what is received.", "FILE_OR_MODULE:NAME")]
ReadRate = Annotated[str | None, _option("--read-rate", "Bytes a second read of a transfer. Default: all at once.", "RATE")]
Window = Annotated[
    str | None,
    _option(
        "--window", "Bytes a connection takes before they are read. Default: 1Mi for transfers and servers, else 65535.", "BYTES"
    ),
]
FinByClient = Annotated[int | None, _option("--fin-by-client", "Messages after which the client closes. Default: 1000.", "N")]
FinByServer = Annotated[int | None, _option("--fin-by-server", "Messages after which the server closes. Default: 1.", "N")]
Steering = Annotated[str | None, _option("--steering", "How packets find their core: auto (default), port, ip or rss.", "HOW")]
PortMask = Annotated[str | None, _option("--port-mask", "Mask that cuts the ports into one block for each core: E000.", "HEX")]
KernelSideName = Annotated[
    str | None, _option("--kernel-side", "A tap interface for what is not ours: ARP, ICMP, other TCP.", "NAME[,ADDR/LEN]")
]
Seed = Annotated[int | None, _option("--seed", "Makes ports and sequence numbers repeatable. Default: random.", "N")]
Records = Annotated[str | None, _option("--records", "Write a record of each connection: .csv, .npy, .jsonl, .parquet.", "FILE")]
Json = Annotated[bool, _option("--json", "Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, _option("--quiet", "No progress, no tables, no warnings.")]
