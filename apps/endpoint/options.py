"""What `te-apps endpoint` is told: its options, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps import netvalues, values
from apps.addresses import Interface, ip_text, is_ip6, is_link_local
from apps.config import CONGESTION, RunConfig
from apps.endpoint.tuning import Ecn, Tuning
from apps.errors import ConfigError
from apps.load import load_run
from apps.values import shown

_CONTROL_MISSING = "--control: missing; give the path of a unix socket, like --control /tmp/te.sock"


@dataclass(frozen=True)
class EndpointConfig(RunConfig):
    """`te-apps endpoint`: one host on one device."""

    interfaces: tuple[Interface, ...] = ()
    control: Path = Path()
    gateways: tuple[int, ...] = ()
    """At most one of each family."""
    mac: int | None = None
    neighbours: dict[int, int] = field(default_factory=dict)
    """MAC addresses by IP that are not asked for."""
    manual_clock: bool = False
    seed: int | None = None
    tuning: Tuning = Tuning()


def load_endpoint(options: Mapping[str, Any]) -> tuple[EndpointConfig, list[str]]:
    """The configuration made of *options*. Raises ConfigError."""
    run, warnings = load_run(None, {name: value for name, value in options.items() if name in RunConfig.__dataclass_fields__})
    if len(run.devices) != 1:
        raise ConfigError("--device: an endpoint has one device; give one")
    if options.get("control") is None:
        raise ConfigError(_CONTROL_MISSING)
    if not options.get("interfaces"):
        raise ConfigError("--ip: missing; give our address on the device's link: --ip ADDR/LEN")
    interfaces = values.each(netvalues.interface, "address")(options["interfaces"], "--ip")
    given = {name: options.get(name) for name in ("mac", "seed")}
    config = EndpointConfig(
        **vars(run),
        interfaces=interfaces,
        control=Path(options["control"]),
        gateways=netvalues.gateways(options["gateways"], "--gateway") if options.get("gateways") else (),
        mac=given["mac"] and netvalues.mac(given["mac"], "--mac"),
        neighbours=_neighbours(options.get("neighbours") or ()),
        manual_clock=values.choice("real", "manual")(options.get("clock") or "real", "--clock") == "manual",
        seed=given["seed"],
        tuning=_tuning(options),
    )
    for gateway in config.gateways:
        _check_gateway(config, gateway)
    return config, warnings


def _tuning(options: Mapping[str, Any]) -> Tuning:
    """What is given of `Tuning`."""

    def choice(name: str, option: str, *among: str) -> str:
        return values.choice(*among)(options[name], option)

    found: dict[str, Any] = {}
    for name in ("timestamps", "sack", "window_scale"):
        if options.get(name) is not None:
            found[name] = choice(name, f"--{name.replace('_', '-')}", "on", "off") == "on"
    if options.get("ecn") is not None:
        found["ecn"] = Ecn(choice("ecn", "--ecn", *(way.value for way in Ecn)))
    if options.get("congestion") is not None:
        found["congestion"] = choice("congestion", "--congestion", *CONGESTION)
    return Tuning(**found)


def _neighbours(texts: Sequence[str]) -> dict[int, int]:
    found = {}
    for text in texts:
        ip, equals, mac = text.partition("=")
        if not equals:
            raise ConfigError(f"--neighbour: {shown(text)} is no neighbour; give IP=MAC like 10.0.0.2=02:00:00:00:00:01")
        found[netvalues.host_ip(ip, "--neighbour")] = netvalues.mac(mac, "--neighbour")
    return found


def _check_gateway(config: EndpointConfig, gateway: int) -> None:
    if any(gateway in interface.addresses for interface in config.interfaces):
        raise ConfigError(f"--gateway: {ip_text(gateway)} is our own address; give the router's")
    if gateway in config.neighbours:
        return
    family = [interface for interface in config.interfaces if is_ip6(interface.address) == is_ip6(gateway)]
    if not family:
        raise ConfigError(f"--gateway: {ip_text(gateway)} is of a family of which we have no address; give one with --ip")
    if not is_link_local(gateway) and not any(interface.is_host(gateway) for interface in family):
        raise ConfigError(f"--gateway: {ip_text(gateway)} is not on the link of any --ip; give a router that is")
