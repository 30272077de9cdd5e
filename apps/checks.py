"""What must hold between the keys of a configuration."""

from __future__ import annotations

from apps.addresses import Interface, ip_text, is_ip6, is_link_local
from apps.config import RunConfig, Target, TrafficConfig
from apps.errors import ConfigError
from apps.netvalues import MOST_ADDRESSES
from apps.places import Places
from apps.transferchecks import check_transfer
from dpdk_io.devices import parse
from dpdk_io.errors import DeviceError

_INSIDE = ("loopback", "ring", "null")
"""Kinds of devices whose packets never leave the process."""
_FOR_CLIENTS = ("targets", "cps", "hold_s", "expect", "fin_by_client", "ports")
_FOR_SERVERS = ("listen", "response", "fin_by_server")
_MOST_EXPECTED = 0xFFFF
"""Bytes of a response that a connection's record can count."""


def stay_inside(config: RunConfig, places: Places) -> bool:
    """Whether no packet of the devices leaves the process. ConfigError for a device that cannot be opened."""
    kinds: list[str] = []
    taken: list[str] = []
    for index, spec in enumerate(config.devices):
        try:
            device = parse(spec, len(config.cores), taken)
        except DeviceError as error:
            raise ConfigError(f"{places.item('devices', index)}: {error}") from error
        kinds.append(device.kind)
        taken.append(device.name)
    return all(kind in _INSIDE for kind in kinds)


def check_run(config: RunConfig, places: Places) -> None:
    """Memory: the cores' caches and receive rings must fit the pool."""
    cores = len(config.cores)
    if config.mbuf_cnt < config.cache_size * 3 // 2:
        raise ConfigError(
            f"{places['cache_size']}: {config.cache_size} is too much of mbuf_cnt {config.mbuf_cnt}; at most two thirds"
        )
    needed = cores * (config.rxd + config.cache_size)
    if config.mbuf_cnt <= needed:
        raise ConfigError(
            f"{places['mbuf_cnt']}: {config.mbuf_cnt} does not fill the rings of {cores} cores; give more than {needed}"
        )


def check_traffic(config: TrafficConfig, places: Places) -> None:
    """Everything trafficengine relies on."""
    check_run(config, places)
    _check_role(config, places)
    _check_blocks(config, places)
    _check_interfaces(config, places)
    _check_gateway(config, places)
    _check_listen(config, places)
    for index, target in enumerate(config.targets):
        _check_target(config, target, places.item("targets", index))
    _check_max_open(config, places)
    _check_hold(config, places)
    _check_expect(config, places)
    check_transfer(config, places)


def _check_role(config: TrafficConfig, places: Places) -> None:
    """Nothing for the other role alone on the command line; a file may be both ends' own."""
    for role, other, fields in (("server", "client", _FOR_CLIENTS), ("client", "server", _FOR_SERVERS)):
        wrong = [places[field] for field in fields if field in places and places[field].startswith("--")]
        if config.role == role and wrong:
            raise ConfigError(f"{wrong[0]}: for {other}s, and there is none with role {role}; leave it out, or give another role")


def _check_hold(config: TrafficConfig, places: Places) -> None:
    patience = config.timeouts.established_ms
    if config.is_server and patience and config.hold_s * 1000 >= patience:
        raise ConfigError(
            f"{places['hold_s']}: {config.hold_s:g} s is longer than a server waits for a silent peer; give less, or a longer "
            "engine.timeouts.established (0: for ever)"
        )


def _check_expect(config: TrafficConfig, places: Places) -> None:
    if config.expect is not None and len(config.expect) > _MOST_EXPECTED:
        raise ConfigError(f"{places['expect']}: {len(config.expect)} bytes are too many; give at most {_MOST_EXPECTED}")


def _check_blocks(config: TrafficConfig, places: Places) -> None:
    blocks, cores = config.blocks, len(config.cores)
    if config.steering != "ip" and cores > blocks.count:
        raise ConfigError(
            f"{places['port_mask']}: {config.port_mask:04X} makes {blocks.count} blocks of ports, too few for {cores} cores; "
            "give a mask with more ones, or fewer cores"
        )
    without = [index for index in range(cores) if len(config.client_ports(index)) == 0]
    if without and config.ports is not None:
        raise ConfigError(
            f"{places['ports']}: {config.ports[0]}-{config.ports[-1]} leaves core {config.cores[without[0]]} no port to connect "
            "from; give more ports, or another steering"
        )
    if without:
        raise ConfigError(
            f"{places['port_mask']}: {config.port_mask:04X} leaves a core no port above 1023; give a mask with other blocks"
        )


def _check_interfaces(config: TrafficConfig, places: Places) -> None:
    seen: set[int] = set()
    for index, interface in enumerate(config.interfaces):
        twice = seen.intersection(interface.addresses)
        if twice:
            raise ConfigError(f"{places.item('interfaces', index)}: {ip_text(min(twice))} is given twice; name each address once")
        seen.update(interface.addresses)
    if len(seen) > MOST_ADDRESSES:
        raise ConfigError(f"{places['interfaces']}: {len(seen)} addresses are too many; give at most {MOST_ADDRESSES}")
    if config.steering == "ip":
        for primary in config.primaries:
            _check_core_addresses(config, primary, places)


def _check_core_addresses(config: TrafficConfig, primary: Interface, places: Places) -> None:
    first, size = config.ip_block(primary)
    if not size:
        raise ConfigError(
            f"{places['steering']}: by address, {len(config.cores)} cores need one each; give a longer range than {primary}"
        )
    last = first + len(config.cores) * size - 1
    if not primary.is_host(last):
        raise ConfigError(
            f"{places['steering']}: by address, {len(config.cores)} cores need the addresses after {primary}, "
            f"and {ip_text(last)} is not a host there; give a larger network or fewer cores"
        )


def _check_gateway(config: TrafficConfig, places: Places) -> None:
    for index, gateway in enumerate(config.gateways):
        place = places.item("gateways", index)
        if config.is_local(gateway):
            raise ConfigError(f"{place}: {ip_text(gateway)} is our own address; give the router's")
        _check_family(config, gateway, place)
        if not is_link_local(gateway) and not any(interface.is_host(gateway) for interface in config.interfaces):
            raise ConfigError(f"{place}: {ip_text(gateway)} is not on the link of {_links(config)}; give a router there")


def _check_family(config: TrafficConfig, ip: int, place: str) -> None:
    """From an address of its own family alone can another be reached."""
    if not any(is_ip6(interface.address) == is_ip6(ip) for interface in config.interfaces):
        family = "IPv6" if is_ip6(ip) else "IPv4"
        raise ConfigError(f"{place}: {ip_text(ip)} is {family}, and no address of ours is; give one with --ip ADDR/LEN")


def _check_listen(config: TrafficConfig, places: Places) -> None:
    for index, given in enumerate(config.listen):
        place = places.item("listen", index)
        ip, port = (None, given) if isinstance(given, int) else given
        if ip is not None and not config.is_local(ip):
            raise ConfigError(f"{place}: {ip_text(ip)} is no address of ours; there is {_links(config)}")
        if config.steering == "port" and config.blocks.owner(port) >= len(config.cores):
            raise ConfigError(
                f"{place}: port {port} is in no core's block under the mask {config.port_mask:04X}; "
                f"listen from {config.blocks.block(len(config.cores) - 1).start} up, or let steering be auto"
            )
        if (
            config.role == "both"
            and config.ports is None
            and any(port in config.client_ports(core) for core in range(len(config.cores)))
        ):
            raise ConfigError(f"{place}: port {port} is one that clients connect from; give a port below 1024, or role server")


def _check_target(config: TrafficConfig, target: Target, place: str) -> None:
    if config.is_local(target.ip):
        _check_own_target(config, target, place)
        return
    _check_family(config, target.ip, place)
    on_link = [interface for interface in config.interfaces if interface.holds(target.ip)]
    if any(not interface.is_host(target.ip) for interface in on_link):
        raise ConfigError(f"{place}: {ip_text(target.ip)} is the network's or its broadcast address; give a host's")
    if config.next_hop(target.ip) is None:
        raise ConfigError(
            f"{place}: {ip_text(target.ip)} is not on the link of {_links(config)}; give --gateway, or an address there"
        )


def _check_own_target(config: TrafficConfig, target: Target, place: str) -> None:
    if not config.is_server:
        raise ConfigError(
            f"{place}: {ip_text(target.ip)} is our own address, where a client alone does not listen; give role both"
        )
    ports = ports_listening(config, target.ip)
    if target.port not in ports:
        listed = ", ".join(map(str, ports)) or "none"
        raise ConfigError(f"{place}: no core listens on port {target.port} of {ip_text(target.ip)}; there is {listed}")


def ports_listening(config: TrafficConfig, ip: int) -> list[int]:
    """The ports on which any core accepts connections to *ip*, an address of ours."""
    cores = [index for index in range(len(config.cores)) if ip in config.addresses(index)]
    return sorted({port for index in cores for port in config.listen_ports(index, ip)}, reverse=True)


def _check_max_open(config: TrafficConfig, places: Places) -> None:
    most = capacity(config)
    if config.is_client and config.max_open > most:
        raise ConfigError(
            f"{places['max_open']}: {config.max_open} is more than the {most} client ports of a core; add addresses with --ip, "
            "or ports with --client-ports"
        )


def capacity(config: TrafficConfig) -> int:
    """Connections a core can have open: its client ports on each of its addresses; those of all cores are shared out by rss."""
    cores = range(len(config.cores))
    shared = len(cores) if config.ports is not None and config.steers_by == "rss" else 1
    return min(len(config.client_ports(i)) * len(config.addresses(i)) // shared for i in cores)


def _links(config: TrafficConfig) -> str:
    return ", ".join(map(str, config.interfaces))
