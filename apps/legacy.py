"""Reading the files of the predecessor, TrafficEngine 0.2, as they are.

Its tables `[netbricks]` and `[engine]` (earlier `[trafficengine]`) are turned into settings of our own keys, each with the place
it came from, so that a mistake is reported where the user wrote it. What has no counterpart costs one warning line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps import netvalues
from apps.errors import ConfigError
from apps.schema import ENGINE_KEYS, Given, Settings
from apps.values import integer, shown

_ENGINE_TABLES = ("engine", "trafficengine")

_RUN = {"name": "name", "pool_size": "pool_size", "mbuf_cnt": "mbuf_cnt", "cache_size": "cache_size"}
_PORT = {"rxd": "rxd", "txd": "txd", "checksum": "checksum", "loopback": "nic_loopback"}
_ENGINE = {
    "cps_limit": "cps_per_core", "max_open": "max_open", "detailed_records": "detailed_records", "fin_by_client": "fin_by_client",
    "fin_by_server": "fin_by_server", "flow_steering": "steering", "mac": "mac", "ipnet": "interfaces",
}  # fmt: skip
_MODERN_ENGINE = {key.path.removeprefix("engine."): key.field for key in ENGINE_KEYS}

_OBSOLETE_RUN = {
    "master_core": "the main thread only supervises; nothing replaces it",
    "secondary": "two processes meet through memif: run.devices = ['memif:PATH']",
    "vdev": "devices are named by run.devices",
}
_OBSOLETE_PORT = {
    "tso": "nothing replaces it",
    "driver": "DPDK finds the driver",
    "k_cores": "the kernel side needs no core",
}
_OBSOLETE_FDIR = {
    "pballoc": "rte_flow needs no such sizing",
    "mode": "rte_flow needs no such mode",
    "src_port_mask": "only destination ports steer",
}
_OBSOLETE_ENGINE = {"port": "each core listens on the highest port of its block; engine.listen chooses others"}

_DEFAULTS = {"connections": 128, "timeouts.established_ms": 200, "role": "both", "mbuf_cnt": 65535, "cache_size": 32}
_PORT_DEFAULTS = {"rxd": 128, "txd": 128}


def is_legacy(document: Mapping[str, Any]) -> bool:
    """Whether *document* is a file of the predecessor's."""
    engine = document.get("engine")
    nested = isinstance(engine, dict) and ("engine" in engine or "test_size" in engine)
    return "netbricks" in document or "trafficengine" in document or nested


class LegacyReader:
    """Reads one document; `settings` and `warnings` are what comes out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.settings: Settings = {}
        self.warnings: list[str] = []
        self._defaults({**_DEFAULTS, **_PORT_DEFAULTS})
        self._netbricks(_table(document.get("netbricks", {}), "netbricks"))
        for table, content in document.items():
            if table in _ENGINE_TABLES:
                self._engine(_table(content, table), table)
            elif table != "netbricks":
                self._warn(table, "unknown table, ignored")

    def _defaults(self, values: Mapping[str, Any]) -> None:
        self.settings.update({field: Given(value, field) for field, value in values.items()})

    def _warn(self, where: str, what: str) -> None:
        self.warnings.append(f"{where}: {what}")

    def _take(self, table: Mapping[str, Any], prefix: str, fields: Mapping[str, str], obsolete: Mapping[str, str]) -> None:
        """Settings for the keys in *fields*, warnings for those that are obsolete or unknown."""
        for name, value in table.items():
            where = f"{prefix}.{name}"
            if name in fields:
                self.settings[fields[name]] = Given(value, where)
            elif name in obsolete:
                self._warn(where, f"obsolete, ignored: {obsolete[name]}")
            else:
                self._warn(where, "unknown key, ignored")

    def _netbricks(self, table: Mapping[str, Any]) -> None:
        rest = {name: value for name, value in table.items() if name not in ("cores", "strict", "ports")}
        if not rest.get("secondary", True):
            del rest["secondary"]
        self._take(rest, "netbricks", _RUN, _OBSOLETE_RUN)
        ports = _list(table.get("ports", []), "netbricks.ports")
        tables = [_table(port, f"netbricks.ports[{index}]") for index, port in enumerate(ports)]
        names = [_port_name(port, f"netbricks.ports[{index}]") for index, port in enumerate(tables)]
        beside = _kernel_ports(tables, names)
        used: list[int] = []
        for index, (port, name) in enumerate(zip(tables, names, strict=True)):
            if index not in beside:
                used.extend(self._data_port(port, name, f"netbricks.ports[{index}]"))
        chosen = _chosen_kernel_port(tables, names, beside)
        if chosen is not None:
            self._kernel_port(tables[chosen], names[chosen], f"netbricks.ports[{chosen}]")
        for index in sorted(beside - {chosen}):
            self._warn(f"netbricks.ports[{index}]", f"{names[index].split(',')[0]} is ignored: one port has a kernel side")
        self._cores(table, used)

    def _cores(self, table: Mapping[str, Any], used: list[int]) -> None:
        """The cores are those of the ports; `strict` wants each of them in `cores`."""
        listed = [integer(0, 65535)(core, "netbricks.cores") for core in _list(table.get("cores", []), "netbricks.cores")]
        strangers = [core for core in used if core not in listed]
        if table.get("strict", False) and strangers:
            raise ConfigError(
                f"netbricks.strict: core {strangers[0]} of a port is not in netbricks.cores; add it, or strict = false"
            )
        cores = list(dict.fromkeys(used)) or listed
        if cores:
            self.settings["cores"] = Given(cores, "netbricks.cores")

    def _data_port(self, port: Mapping[str, Any], name: str, where: str) -> list[int]:
        """A port that carries traffic; the cores of its queues."""
        given = self.settings.get("devices")
        self.settings["devices"] = Given([*(given.value if given else []), name], f"{where}.name")
        apart = ("name", "cores", "rx_cores", "tx_cores", "kni", "fdir", "flow_steering")
        self._take({key: value for key, value in port.items() if key not in apart}, where, _PORT, _OBSOLETE_PORT)
        if "flow_steering" in port:
            self.settings["steering"] = Given(port["flow_steering"], f"{where}.flow_steering")
        if "fdir" in port:
            self._fdir(_table(port["fdir"], f"{where}.fdir"), f"{where}.fdir")
        return _queue_cores(port, where)

    def _fdir(self, fdir: Mapping[str, Any], where: str) -> None:
        self._take(
            {name: value for name, value in fdir.items() if name not in ("ipv4_mask", "dst_port_mask")}, where, {}, _OBSOLETE_FDIR
        )
        mask = fdir.get("dst_port_mask", "0")
        if not isinstance(mask, str) or mask.strip("0"):
            self.settings["port_mask"] = Given(mask, f"{where}.dst_port_mask")

    def _kernel_port(self, port: Mapping[str, Any], name: str, where: str) -> None:
        """The kernel's side of a port becomes a tap interface of the same name, address and namespace."""
        if "mac" in port:
            self.settings["mac"] = Given(port["mac"], f"{where}.mac")
        if "ipnet" in port:
            self.settings["interfaces"] = Given(port["ipnet"], f"{where}.ipnet")
        side = {"name": _tap_name(name)}
        if "namespace" in port:
            side["namespace"] = port["namespace"]
        self.settings["kernel_side"] = Given(side, where)
        self._warn(where, f"{name.split(',')[0]} is obsolete: a tap takes its place, engine.kernel_side.name = '{side['name']}'")

    def _engine(self, table: Mapping[str, Any], prefix: str) -> None:
        outer = {"test_size": "connections", **_MODERN_ENGINE}
        self._take({name: value for name, value in table.items() if name not in ("engine", "targets")}, prefix, outer, {})
        inner = dict(_table(table.get("engine", {}), f"{prefix}.engine"))
        self._timeouts(_table(inner.pop("timeouts", {}), f"{prefix}.engine.timeouts"), f"{prefix}.engine.timeouts")
        self._namespace(inner.pop("namespace", None), f"{prefix}.engine.namespace")
        self._take(inner, f"{prefix}.engine", {**_MODERN_ENGINE, **_ENGINE}, _OBSOLETE_ENGINE)
        if "targets" in table:
            where = f"{prefix}.targets"
            targets = [self._target(item, f"{where}[{index}]") for index, item in enumerate(_list(table["targets"], where))]
            self.settings["targets"] = Given(targets, where)

    def _timeouts(self, timeouts: Mapping[str, Any], where: str) -> None:
        fields = {name.removeprefix("timeouts."): field for name, field in _MODERN_ENGINE.items() if name.startswith("timeouts.")}
        self._take(timeouts, where, fields, {})

    def _namespace(self, namespace: Any, where: str) -> None:
        """Earlier files name the kernel side's namespace here."""
        side = self.settings.get("kernel_side")
        if namespace is not None and side is not None:
            self.settings["kernel_side"] = Given({**side.value, "namespace": namespace}, where)

    def _target(self, target: Any, where: str) -> Any:
        """A target whose `linux_if` has become the MAC of that interface."""
        if not isinstance(target, dict) or "linux_if" not in target:
            return target
        rest = {name: value for name, value in target.items() if name != "linux_if"}
        name = netvalues.interface_name(target["linux_if"], f"{where}.linux_if")
        address = Path("/sys/class/net", name, "address")
        if address.is_file() and "mac" not in rest:
            return {**rest, "mac": address.read_text().strip()}
        self._warn(f"{where}.linux_if", f"there is no interface '{name}' here: ARP finds the address; targets need no linux_if")
        return rest


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {shown(value)} is not a table; write {where} = {{ ... }}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {shown(value)} is not a list; write {where} = [ ... ]")
    return value


def _port_name(port: Mapping[str, Any], where: str) -> str:
    name = port.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}.name: missing or not a string; give the PCI address or dpdk:<vdev>")
    return name


def _kernel_ports(ports: list[Mapping[str, Any]], names: list[str]) -> set[int]:
    """Indices of the ports that are the kernel's side of another."""
    beside = {index for index, name in enumerate(names) if name.startswith("kni:")}
    partners = [port["kni"] for port in ports if isinstance(port.get("kni"), str)]
    named = {index for index, name in enumerate(names) if any(name == p or name.startswith(f"{p},") for p in partners)}
    addressed = {index for index, port in enumerate(ports) if "ipnet" in port or "namespace" in port}
    return beside | named | addressed


def _chosen_kernel_port(ports: list[Mapping[str, Any]], names: list[str], beside: set[int]) -> int | None:
    """The kernel-side port the first data port names, else the first there is."""
    for index, port in enumerate(ports):
        partner = port.get("kni")
        if index not in beside and isinstance(partner, str):
            return next((k for k in sorted(beside) if names[k].split(",")[0] == partner.split(",")[0]), None)
    return min(beside, default=None)


def _tap_name(name: str) -> str:
    """The interface a kernel-side port makes: its `iface=`, else a name after its own."""
    options = dict(part.split("=", 1) for part in name.split(",") if "=" in part)
    return options.get("iface", name.split(",")[0].replace(":", ""))[:15]


def _queue_cores(port: Mapping[str, Any], where: str) -> list[int]:
    """`cores`, or `rx_cores` and `tx_cores`, which must agree: a core sends where it receives."""
    if "cores" in port:
        cores, key = port["cores"], "cores"
    else:
        cores, key = port.get("rx_cores", port.get("tx_cores", [])), "rx_cores"
        if port.get("tx_cores", cores) != cores:
            raise ConfigError(f"{where}.tx_cores: differs from rx_cores; a core sends where it receives, give one list: cores")
    return [integer(0, 65535)(core, f"{where}.{key}") for core in _list(cores, f"{where}.{key}")]
