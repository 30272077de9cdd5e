"""The pipeline of trafficengine on one device, and what its cores share: addresses, next hops, steering."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from apps.addresses import ip_text, is_ip6, link_local
from apps.config import CONGESTION, TcpOptions, TrafficConfig
from apps.hooks import Contents
from apps.impaired import behind
from apps.isn_secret import isn_secret
from apps.memory import check_memory
from dpdk_io import Port, toeplitz
from dpdk_io.errors import DeviceError
from dpdk_io.kernel_side import Tap
from operators.app_timers import app_timers
from operators.arp_responder import arp_responder
from operators.drop import drop
from operators.fragments import Fragments
from operators.handover import handover
from operators.icmp6_echo import icmp6_echo
from operators.icmp_echo import icmp_echo
from operators.nd_responder import nd_responder
from operators.neighbours import Neighbours, arp_ask, arp_learn
from operators.neighbours6 import Neighbours6, nd_ask, nd_learn
from operators.own_mac import own_mac
from operators.parse import ARP, ICMP, ICMP6, SEGMENTED, TCP, TCP6, parse
from operators.reassemble import reassemble
from operators.sizes import runs
from operators.steer import steer, steer6
from operators.steering import Steering
from operators.tcp6 import ip6_sweep, tcp6_check
from operators.tcp6_icmp import tcp6_icmp
from operators.tcp_client import tcp_client
from operators.tcp_engine import Settings, TcpEngine
from operators.tcp_icmp import tcp_icmp
from operators.tcp_state import tcp_check, tcp_state
from operators.tcp_timers import tcp_timers
from operators.to_kernel import to_kernel
from operators.transfer_settings import Transfer
from pipeline import GroupBy, Pipeline, Stage
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE

_SERVER_TABLE = 1 << 16
_RECORDS = 1 << 18
_TIME_WAITS = 4096
_LATE_MS = 2


class Site:
    """Where a run takes place: one device, an engine for each core on it, and what these share."""

    def __init__(self, config: TrafficConfig, port: Port, tap: Tap | None, contents: Contents) -> None:
        self.config = config
        self.contents = contents
        self.port = port
        self.tap = tap
        self.mac = config.mac.to_bytes(6, "big") if config.mac is not None else port.mac
        self.steering = self._make_steering()
        self._own_mac = np.array([int.from_bytes(self.mac, "little")], np.int64)
        hops = self._next_hops()
        self.neighbours = Neighbours(hop for hop in hops if not is_ip6(hop))
        self.neighbours6 = Neighbours6(hop for hop in hops if is_ip6(hop))
        check_memory(config, self._capacity())
        self.engines = [TcpEngine(self._settings(k)) for k in range(len(config.cores))]

    def _make_steering(self) -> Steering | None:
        """Software steering, for whatever the device does not bring to the right core."""
        config = self.config
        if len(config.cores) == 1:
            return None
        rule = config.steers_by
        blocks = {is_ip6(primary.address): config.ip_block(primary) for primary in config.primaries}
        (first_ip, ips), (first_ip6, ips6) = (blocks.get(family, (0, 1)) for family in (False, True))
        block = ips if rule == "ip" else config.blocks.size
        steering = Steering(rule, len(config.cores), block=block, first_ip=first_ip, first_ip6=first_ip6, ips6=ips6)
        _steer_in_device(config, self.port, rule)
        return steering

    def _next_hops(self) -> list[int]:
        """The addresses to ask for by ARP or ND."""
        config = self.config
        return [
            hop
            for k in range(len(config.cores))
            for target in config.targets_of(k)
            if target.mac is None and not config.is_local(target.ip) and (hop := config.next_hop(target.ip)) is not None
        ]

    def _mac_word(self, target: Any) -> np.ndarray:
        config = self.config
        if target.mac is not None:
            return np.array([int.from_bytes(target.mac.to_bytes(6, "big"), "little")], np.int64)
        if config.is_local(target.ip):
            return self._own_mac
        hop = config.next_hop(target.ip)
        if hop is None:
            raise DeviceError(f"{ip_text(target.ip)} is on no link of ours: give a gateway")
        return (self.neighbours6 if is_ip6(hop) else self.neighbours).mac_word(hop)

    def _capacity(self) -> int:
        """Connections each engine has room for: a server does not know how many will come, a client does."""
        config = self.config
        ours = config.is_client and all(config.is_local(t.ip) for k in range(len(config.cores)) for t in config.targets_of(k))
        least = 0 if ours or not config.is_server else _SERVER_TABLE
        return max(least, config.max_open * (int(config.is_client) + int(config.is_server)) + 2 * _TIME_WAITS)

    def _also_ours(self) -> list[int]:
        """The IPv6 addresses of all cores, for which each of them answers, and that which the MAC gives."""
        config = self.config
        ours = {ip for k in range(len(config.cores)) for ip in config.addresses(k) if is_ip6(ip)}
        return sorted({*ours, link_local(self.mac)} if ours else ours)

    def _settings(self, k: int) -> Settings:
        config = self.config
        times = config.timeouts
        return Settings(
            mac=self.mac,
            local_ips=config.addresses(k),
            also_ours=self._also_ours(),
            listen=config.listeners(k),
            targets=[(t.ip, t.port, self._mac_word(t)) for t in config.targets_of(k)] if config.is_client else [],
            client_ports=config.client_ports(k),
            wanted=config.connections,
            cps=config.cps_per_core,
            max_open=config.max_open,
            hold_ms=round(config.hold_s * 1000),
            late_ms=_LATE_MS,
            syn_backlog=config.syn_backlog,
            echo_rings=config.echo_rings,
            ttl=config.ttl,
            dscp=config.dscp,
            payload=config.payload,
            request=config.request,
            expect=config.expect,
            expect_echo=config.is_server and config.response.kind in ("auto", "echo"),
            response_kind=config.response.kind,
            response=config.response.body,
            fin_by_client=config.fin_by_client,
            fin_by_server=config.fin_by_server,
            transfer=self._transfer(),
            serve=self._serve(),
            transfer_pool=config.transfers_among(self._capacity()),
            think_ms=config.think_ms or 0,
            read_rate=config.read_rate or 0,
            template=self.contents.template,
            fill_hook=self.contents.fill,
            check_hook=self.contents.check,
            window=config.window_bytes,
            limits={
                **_extensions(config.tcp),
                "idle_ms": times.established_ms,
                "user_timeout_ms": times.user_ms,
                "time_wait_ms": times.time_wait_ms,
                "fin_wait_2_ms": times.fin_wait_2_ms,
                "rto_min": times.min_rto_ms,
                "syn_retries": times.syn_retries,
                "retries": times.retries,
            },
            connections=self._capacity(),
            time_waits=_TIME_WAITS if times.time_wait_ms else 0,
            records=_RECORDS if config.records is not None else 0,
            kernel_side=self.tap is not None,
            steering=self.steering.of(k) if self.steering is not None else None,
            isn_secret=isn_secret(),
            seed=config.seed,
            core=k,
        )

    def _transfer(self) -> Transfer | None:
        """What our clients do, when sizes rule."""
        config = self.config
        if not (config.transfers and config.is_client):
            return None
        sizes = config.sizes
        return Transfer(sizes.send, sizes.receive, config.rounds, config.half_close, config.peer == "engine")

    def _serve(self) -> Transfer | None:
        """What our server does for clients that name no sizes: its own sizes, or the counterpart of our clients."""
        config = self.config
        if not (config.transfers and config.is_server) or config.peer == "engine" or config.request is not None:
            return None
        sizes = config.sizes
        send, receive = (sizes.receive, sizes.send) if config.is_client else (sizes.send, sizes.receive)
        return Transfer(send, receive, config.rounds, headed=False)


def _extensions(tcp: TcpOptions) -> dict[str, int]:
    """The limits of `tcp/` that say which of TCP's extensions are used."""
    options = (OPT_WSCALE if tcp.window_scale else 0) | (OPT_SACK_PERMITTED if tcp.sack else 0)
    return {
        "options": options | (OPT_TIMESTAMPS if tcp.timestamps else 0),
        "ecn": int(tcp.ecn),
        "congestion": CONGESTION.index(tcp.congestion),
        "nagle": int(tcp.nagle),
        "delack_ms": tcp.delayed_ack_ms,
        "keepalive_ms": tcp.keepalive_ms,
        "keepalive_interval_ms": tcp.keepalive_interval_ms,
        "keepalive_probes": tcp.keepalive_probes,
    }


def _steer_in_device(config: TrafficConfig, port: Port, rule: str) -> None:
    """Ask the device to bring packets to their cores; where it cannot, `steer` hands them over."""
    from dpdk_io import loopback

    if port.driver is loopback:
        return
    from dpdk_io import flow

    try:
        if rule == "rss":
            types = flow.RSS_IPV4_TCP | (flow.RSS_IPV6_TCP if config.has_ip6 else 0)
            flow.set_rss(port, toeplitz.SYMMETRIC_KEY, list(range(len(config.cores))), types)
        else:
            flow.install(port, [_rule(config, rule, k) for k in range(len(config.cores))])
    except DeviceError:
        return


def _rule(config: TrafficConfig, rule: str, k: int) -> Any:
    from dpdk_io import flow

    if rule == "ip":
        first, size = config.addresses(k)[0], config.ip_block(config.primaries[0])[1]
        if is_ip6(first):
            raise DeviceError("rules are for IPv4 addresses")
        if size & (size - 1) or first % size:
            raise DeviceError(f"the {size} addresses from {ip_text(first)} on have no mask of their own")
        return flow.Rule(k, ip=first, ip_mask=-size & 0xFFFFFFFF)
    return flow.Rule(k, port=config.blocks.block(k).start, port_mask=config.port_mask)


def open_tap(config: TrafficConfig, mac: bytes, stack: ExitStack) -> Tap | None:
    """The kernel-side interface that *config* asks for, with the device's *mac*; removed when *stack* ends."""
    side = config.kernel_side
    if side is None:
        return None
    return stack.enter_context(Tap(side.name, mac=mac, address=str(side.address or ""), namespace=side.namespace or ""))


def traffic_pipeline(site: Site, number: int = 0) -> Pipeline:
    """The pipeline of every core on the device of *site*, which is that *number* of the run."""
    resources: dict[str, Any] = {"tcp": lambda k: site.engines[k].address, "fragments": Fragments}
    if site.neighbours.unknown():
        resources["neighbours"] = site.neighbours.table
    if site.neighbours6.unknown():
        resources["neighbours6"] = site.neighbours6.table
    if site.steering is not None:
        resources["steering"] = site.steering.of
    pipeline = Pipeline("trafficengine", _steps(site), resources)
    return behind(site.config.impair, pipeline, number * len(site.config.cores))


def _steps(site: Site) -> list[Any]:
    """ARP, ND and ping are answered, TCP goes to the core that owns it, the rest to the kernel side or, counted, nowhere."""
    config = site.config
    asks, asks6 = bool(site.neighbours.unknown()), bool(site.neighbours6.unknown())
    several = site.steering is not None
    ours = runs(sorted({ip for k in range(len(config.cores)) for ip in config.addresses(k) if not is_ip6(ip)}))
    mac = int.from_bytes(site.mac, "big")
    icmp6 = [*([nd_learn] if asks6 else []), tcp6_icmp, nd_responder(mac=mac), icmp6_echo]
    rest: list[Any] = [to_kernel] if site.tap is not None else [drop.named("not_for_us")]
    return [
        tcp_timers,
        *([app_timers] if site.engines[0].settings.needs_app_timers else []),
        *([ip6_sweep] if config.has_ip6 else []),
        *([arp_ask] if asks else []),
        *([nd_ask] if asks6 else []),
        *([tcp_client] if config.is_client else []),
        *([handover] if several else []),
        own_mac(mac=mac),
        parse,
        reassemble,
        GroupBy(
            "kind",
            {
                TCP: [steer] if several else [],
                **({TCP6: [steer6] if several else []} if config.has_ip6 else {}),
                ARP: [*([arp_learn] if asks else []), *(arp_responder(ip=ip, count=n, mac=mac) for ip, n in ours), *rest],
                ICMP: [tcp_icmp, *(icmp_echo(ip=ip, mask=0xFFFFFFFF, count=n) for ip, n in ours), *rest],
                **({ICMP6: [*icmp6, *rest]} if config.has_ip6 else {}),
                SEGMENTED: [drop.named("segmented")],
            },
            otherwise=rest,
        ),
        GroupBy("kind", {TCP6: [tcp6_check]}, otherwise=[tcp_check]) if config.has_ip6 else tcp_check,
        Stage(),
        tcp_state,
    ]
