"""Every key of a configuration: where it stands in TOML, its option, its field in the configuration, and what it may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps import impairvalues, netvalues, values
from apps.config import CONGESTION
from apps.errors import ConfigError, nearest
from apps.records import records_path

_MS = 1 << 31


@dataclass(frozen=True)
class Key:
    """One key. *field* is its name in the configuration, `timeouts.x` in `Timeouts`, `tcp.x` in `TcpOptions`."""

    path: str
    field: str
    convert: values.Converter
    option: str | None = None


@dataclass(frozen=True)
class Given:
    """A raw value, and the place it was given: a TOML path or an option, as error messages name it."""

    value: Any
    where: str


Settings = dict[str, Given]
"""What was given, by field."""


def _milliseconds(name: str) -> Key:
    return Key(f"engine.timeouts.{name}", f"timeouts.{name}_ms", values.integer(0, _MS))


RUN_KEYS = (
    Key("run.devices", "devices", values.each(values.text, "device"), "--device"),
    Key("run.cores", "cores", netvalues.cores, "--cores"),
    Key("run.duration", "duration_s", values.positive(1e8, "seconds"), "--duration"),
    Key("run.name", "name", values.name, "--name"),
    Key("run.idle", "idle", values.choice("spin", "yield", "sleep"), "--idle"),
    Key("run.idle_after", "idle_after", values.integer(1, 1 << 30)),
    Key("run.mbuf_cnt", "mbuf_cnt", values.integer(64, 1 << 26), "--mbuf-cnt"),
    Key("run.cache_size", "cache_size", values.integer(0, 512), "--cache-size"),
    Key("run.pool_size", "pool_size", values.integer(1, 1 << 24), "--pool-size"),
    Key("run.rxd", "rxd", values.integer(32, 32768), "--rxd"),
    Key("run.txd", "txd", values.integer(32, 32768), "--txd"),
    Key("run.checksum", "checksum", values.boolean),
    Key("run.nic_loopback", "nic_loopback", values.boolean),
    Key("run.impair", "impair", impairvalues.impairment, "--impair"),
)
"""The keys every app takes: table [run]."""

ENGINE_KEYS = (
    Key("engine.role", "role", values.choice("both", "client", "server"), "--role"),
    Key("engine.ip", "interfaces", values.each(netvalues.interface, "address"), "--ip"),
    Key("engine.mac", "mac", netvalues.mac, "--mac"),
    Key("engine.gateway", "gateways", netvalues.gateways, "--gateway"),
    Key("engine.ttl", "ttl", values.integer(1, 255), "--ttl"),
    Key("engine.dscp", "dscp", values.integer(0, 63), "--dscp"),
    Key("engine.targets", "targets", netvalues.targets, "--target"),
    Key("engine.client_ports", "ports", netvalues.ports, "--client-ports"),
    Key("engine.listen", "listen", values.each(netvalues.listener, "port"), "--listen"),
    Key("engine.connections", "connections", values.integer(1, 1 << 40), "--connections"),
    Key("engine.cps", "cps", values.positive(1e9, "connections a second"), "--cps"),
    Key("engine.cps_limit", "cps_per_core", values.positive(1e9, "connections a second")),
    Key("engine.max_open", "max_open", values.integer(1, 1 << 30), "--max-open"),
    Key("engine.hold", "hold_s", values.positive(1e6, "seconds"), "--hold"),
    Key("engine.syn_backlog", "syn_backlog", values.integer(1, 1 << 30)),
    Key("engine.echo_rings", "echo_rings", values.integer(1, 1 << 24)),
    Key("engine.max_transfers", "max_transfers", values.integer(1, 1 << 30)),
    Key("engine.payload", "payload", values.integer(1, values.MESSAGE_LIMIT), "--payload"),
    Key("engine.request", "request", values.message, "--request"),
    Key("engine.expect", "expect", values.message, "--expect"),
    Key("engine.response", "response", values.response, "--response"),
    Key("engine.send", "send", values.size(0, values.TRANSFER_LIMIT), "--send"),
    Key("engine.receive", "receive", values.size(0, values.TRANSFER_LIMIT), "--receive"),
    Key("engine.rounds", "rounds", values.integer(1, 1 << 22), "--rounds"),
    Key("engine.think", "think_ms", values.milliseconds, "--think"),
    Key("engine.half_close", "half_close", values.boolean, "--half-close"),
    Key("engine.peer", "peer", values.choice("engine", "any"), "--peer"),
    Key("engine.send_file", "send_file", values.readable_file, "--send-file"),
    Key("engine.payload_hook", "payload_hook", values.text, "--payload-hook"),
    Key("engine.check_hook", "check_hook", values.text, "--check-hook"),
    Key("engine.read_rate", "read_rate", values.size(1, values.RATE_LIMIT, "bytes a second"), "--read-rate"),
    Key("engine.window", "window", values.size(536, values.WINDOW_LIMIT), "--window"),
    Key("engine.fin_by_client", "fin_by_client", values.integer(1, (1 << 32) - 1), "--fin-by-client"),
    Key("engine.fin_by_server", "fin_by_server", values.integer(1, (1 << 32) - 1), "--fin-by-server"),
    Key("engine.tcp.window_scale", "tcp.window_scale", values.boolean),
    Key("engine.tcp.sack", "tcp.sack", values.boolean),
    Key("engine.tcp.timestamps", "tcp.timestamps", values.boolean),
    Key("engine.tcp.ecn", "tcp.ecn", values.boolean),
    Key("engine.tcp.congestion", "tcp.congestion", values.choice(*CONGESTION)),
    Key("engine.tcp.nagle", "tcp.nagle", values.boolean),
    Key("engine.tcp.delayed_ack", "tcp.delayed_ack_ms", values.integer(0, 499, "milliseconds")),
    Key("engine.tcp.keepalive", "tcp.keepalive_ms", values.integer(0, (1 << 31) - 1, "milliseconds")),
    Key("engine.tcp.keepalive_interval", "tcp.keepalive_interval_ms", values.integer(1, (1 << 31) - 1, "milliseconds")),
    Key("engine.tcp.keepalive_probes", "tcp.keepalive_probes", values.integer(1, 255)),
    _milliseconds("established"),
    _milliseconds("user"),
    _milliseconds("time_wait"),
    _milliseconds("fin_wait_2"),
    Key("engine.timeouts.min_rto", "timeouts.min_rto_ms", values.integer(1, 60_000)),
    Key("engine.timeouts.syn_retries", "timeouts.syn_retries", values.integer(0, 100)),
    Key("engine.timeouts.retries", "timeouts.retries", values.integer(0, 100)),
    Key("engine.steering", "steering", values.choice("auto", "port", "ip", "rss"), "--steering"),
    Key("engine.port_mask", "port_mask", netvalues.port_mask, "--port-mask"),
    Key("engine.records", "records", records_path, "--records"),
    Key("engine.detailed_records", "detailed_records", values.boolean),
    Key("engine.kernel_side", "kernel_side", netvalues.kernel_side, "--kernel-side"),
    Key("engine.seed", "seed", values.integer(0, (1 << 63) - 1), "--seed"),
)
"""The keys of trafficengine alone: table [engine]."""

KEYS = (*RUN_KEYS, *ENGINE_KEYS)
BY_FIELD = {key.field: key for key in KEYS}
_BY_PATH = {key.path: key for key in KEYS}
_TABLES = ("run", "engine", "engine.tcp", "engine.timeouts")
_LISTED = ", ".join(f"[{table}]" for table in _TABLES)


def from_options(options: Mapping[str, Any]) -> Settings:
    """What was given on the command line: *options* by field; None and empty lists are options not given."""
    given = {field: value for field, value in options.items() if value is not None and value not in ([], ())}
    return {field: Given(value, _option(field)) for field, value in given.items()}


def _option(field: str) -> str:
    key = BY_FIELD.get(field)
    return key.option or key.path if key else f"--{field}"


def from_toml(document: Mapping[str, Any]) -> Settings:
    """What a file of our own schema holds. ConfigError for a key there is not."""
    settings: Settings = {}
    for path, value in _leaves(document, ""):
        key = _BY_PATH.get(path)
        if key is None:
            raise ConfigError(f"{path}: unknown key{_suggestion(path)}")
        settings[key.field] = Given(value, path)
    return settings


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        path = f"{prefix}{name}"
        if path not in _TABLES:
            yield path, value
        elif isinstance(value, dict):
            yield from _leaves(value, f"{path}.")
        else:
            raise ConfigError(f"{path}: {values.shown(value)} is not a table; write [{path}] on a line of its own")


def _suggestion(path: str) -> str:
    """The nearest key: of that name elsewhere, within the same table, then any; else where to look."""
    table, _, name = path.rpartition(".")
    siblings = {key.path.rpartition(".")[2] for key in KEYS if key.path.rpartition(".")[0] == table}
    elsewhere = [known for known in _BY_PATH if known.rpartition(".")[2] == name]
    if elsewhere:
        return f"; did you mean '{elsewhere[0]}'?"
    remedy = f"docs/configuration.md has the keys of [{table}]" if table in _TABLES else f"the tables are {_LISTED}"
    return nearest(name, siblings) or nearest(name, {known.rpartition(".")[2] for known in _names()}) or f"; {remedy}"


def _names() -> Iterable[str]:
    return (*_TABLES, *_BY_PATH)
