"""te-apps endpoint: one host on one device, driven through its control socket until a signal comes."""

from __future__ import annotations

import secrets
import sys
import time
from contextlib import ExitStack

from apps.addresses import ip_text
from apps.endpoint.control import ControlSocket, Server
from apps.endpoint.device import Link
from apps.endpoint.host import Host
from apps.endpoint.options import EndpointConfig
from apps.endpoint.requests import Requests
from apps.endpoint.scheduler import Scheduler
from apps.endpoint.site import Site
from apps.engine import Signals, port_options, port_statistics
from apps.isn_secret import isn_secret
from apps.result import CoreResult, Result, add_up
from dpdk_io import Port, open_ports

_PAUSE_S = 0.000_5
"""Between two looks at the device when nothing goes on."""
_AWAKE_S = 0.002
"""After something has happened there is no pause for so long."""
_EPOCH_US = 1_000_000


def run(config: EndpointConfig) -> Result:
    """Until a signal; every connection is then reset, and the control socket removed."""
    start = time.monotonic()
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(starting=True))
        control = stack.enter_context(ControlSocket(config.control))
        ports = stack.enter_context(open_ports(config.devices, config.cores[:1], port_options(config)))
        endpoint = _Endpoint(config, ports[0], control)
        stack.callback(endpoint.close)
        if not config.quiet:
            where = ", ".join(ip_text(interface.address) for interface in config.interfaces)
            sys.stderr.write(f"te-apps: endpoint {where} on {config.devices[0]}, requests to {config.control}\n")
            sys.stderr.flush()
        signals.starting = False
        while signals.name is None:
            endpoint.turn()
        endpoint.close()
        elapsed = time.monotonic() - start
        link, name = endpoint.link, signals.name
        share = CoreResult(
            core=config.cores[0],
            elapsed_s=elapsed,
            packets_received=link.counters["rx_packets"],
            packets_sent=link.counters["tx_packets"],
            drops=add_up([link.drops(), endpoint.host.counters, endpoint.host.network.fragments.drops()]),
        )
        return Result("endpoint", config.devices, [share], elapsed, name, seed=config.seed, ports=port_statistics(ports))


def _site(config: EndpointConfig, port: Port) -> Site:
    mac = config.mac if config.mac is not None else int.from_bytes(port.mac, "big")
    keys, clock = (config.seed or 0, config.seed or 0), 0
    if config.seed is None:
        keys, clock = isn_secret() or (secrets.randbits(63), secrets.randbits(63)), time.time_ns() // 1000
    return Site(config.interfaces, mac, config.gateways, config.neighbours, keys, clock)


class _Endpoint:
    """The host, its device and those who drive it."""

    def __init__(self, config: EndpointConfig, port: Port, control: ControlSocket) -> None:
        self.manual = config.manual_clock
        self.host = Host(_site(config, port), _EPOCH_US, config.seed, config.tuning)
        self.link = Link(self.host, port)
        self.scheduler = Scheduler(Requests(self.host, manual=self.manual))
        self.server = Server(control, self.scheduler, self._look)
        self._started = time.monotonic_ns()
        self._awake_until = 0.0
        self._closed = False

    def _look(self) -> bool:
        """Let the host know the time and what has arrived, and send what it has to say; whether there was any of that."""
        if not self.manual:
            self.host.fire(_EPOCH_US + (time.monotonic_ns() - self._started) // 1000)
        return self.link.exchange()

    def turn(self) -> None:
        """One round of everything."""
        busy = self._look()
        busy |= self.scheduler.go_on()
        busy |= self.server.serve()
        if self.host.frames:
            self._look()
            busy = True
        now = time.monotonic()
        if busy:
            self._awake_until = now + _AWAKE_S
        elif now > self._awake_until:
            self.server.wait(_PAUSE_S)

    def close(self) -> None:
        """Reset every connection and leave everybody. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.server.close()
        self.host.reset()
        self.link.exchange()
