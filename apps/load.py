"""From a file and options to a validated configuration: nothing has been started when a mistake is found."""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from apps.checks import capacity, check_run, check_traffic, ports_listening, stay_inside
from apps.config import MacswapConfig, RunConfig, Target, TcpOptions, Timeouts, TrafficConfig
from apps.errors import ConfigError, nearest
from apps.legacy import LegacyReader, is_legacy
from apps.places import Places
from apps.portblocks import default_port_mask
from apps.schema import BY_FIELD, Given, Settings, from_options, from_toml
from apps.values import shown

_CONNECTIONS_TO_OURSELVES = 250_000
_CONNECTIONS_TO_OTHERS = 1_000
_CLOSED_LOOP = 512
"""Connections open at once when no rate is asked for: as many as keep a core busy without driving it out of its cache."""

_RUN_FIELDS = {field.name for field in fields(RunConfig)}

Options = Mapping[str, Any]


def load_traffic(path: Path | None, options: Options, maps: Sequence[str] = ()) -> tuple[TrafficConfig, list[str]]:
    """The configuration of trafficengine and the warnings to show.

    path: a TOML file, of ours or the predecessor's; options: by field, they win over the file; maps: `NAME=DEVICE`, a device in
    place of a configured one. Raises ConfigError.
    """
    settings, warnings, legacy = _read(path, options, maps)
    if "cps" in settings and "cps_per_core" in settings:
        raise ConfigError(f"{settings['cps'].where}: cps_limit is given too; give the rate over all cores or per core, not both")
    given = _converted(settings)
    places = Places(settings)
    run = RunConfig(**_run_fields(given))
    inside = stay_inside(run, places)
    if legacy and inside and given.pop("kernel_side", None):
        warnings.append(f"{places['kernel_side']}: no tap is made: {run.devices[0]} leads nowhere the kernel could be")
    if inside and "kernel_side" in given:
        raise ConfigError(
            f"{places['kernel_side']}: {run.devices[0]} leads nowhere the kernel could be; leave it out, or use a tap"
        )
    config = _traffic(given, places, inside)
    if legacy:
        config = _without_missing_cores(config, places, warnings)
    check_traffic(config, places)
    if config.detailed_records and config.records is None:
        _no_records(places, warnings if legacy else None)
    return config, warnings


def _without_missing_cores(config: TrafficConfig, places: Places, warnings: list[str]) -> TrafficConfig:
    """The predecessor's files list every core as a target; those of cores that do not run are left out, unless none remains."""
    missing = [
        index
        for index, target in enumerate(config.targets)
        if config.is_server and config.is_local(target.ip) and target.port not in ports_listening(config, target.ip)
    ]
    if len(missing) == len(config.targets):
        return config
    warnings += [f"{places.item('targets', index)}: left out: its core does not run" for index in missing]
    return replace(config, targets=tuple(target for index, target in enumerate(config.targets) if index not in missing))


def _no_records(places: Places, warnings: list[str] | None) -> None:
    """Detailed records that go nowhere: a ConfigError, or a warning, for the predecessor's files, which name no file for them."""
    where = places["detailed_records"]
    if warnings is None:
        raise ConfigError(f"{where}: no records are kept; give engine.records (--records) a file too, or leave it out")
    warnings.append(f"{where}: no records are kept: engine.records (--records) names the file for them")


def load_run(path: Path | None, options: Options, maps: Sequence[str] = ()) -> tuple[MacswapConfig, list[str]]:
    """The configuration of an app that only needs devices and cores: macswap, or a pipeline of the user's. As `load_traffic`."""
    settings, warnings, _ = _read(path, options, maps)
    own = {field: given for field, given in settings.items() if field in _RUN_FIELDS}
    config, places = MacswapConfig(**_run_fields(_converted(own))), Places(own)
    stay_inside(config, places)
    check_run(config, places)
    return config, warnings


def _read(path: Path | None, options: Options, maps: Sequence[str]) -> tuple[Settings, list[str], bool]:
    settings: Settings = {}
    warnings: list[str] = []
    legacy = False
    if path is not None:
        document = read_toml(path)
        legacy = is_legacy(document)
        if legacy:
            reader = LegacyReader(document)
            settings, warnings = reader.settings, reader.warnings
        else:
            settings = from_toml(document)
    given = from_options(options)
    if "cps" in given:
        settings.pop("cps_per_core", None)
    for field in ("payload", "send", "send_file"):
        if field in given and "request" in given:
            raise ConfigError(f"{BY_FIELD[field].option}: --request says already what is sent; give one of the two")
    settings.update(given)
    _map_devices(settings, maps)
    return settings, warnings, legacy


def read_toml(path: Path) -> dict[str, Any]:
    """The document in the file *path*. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; give the path of a TOML file, or none") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable TOML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {' '.join(str(error).split())}") from None


def _map_devices(settings: Settings, maps: Sequence[str]) -> None:
    """Put the device of each `NAME=DEVICE` in the place of NAME."""
    for item in maps:
        name, equals, device = item.partition("=")
        if not (name and equals and device):
            raise ConfigError(f"--map: {shown(item)} maps nothing; give NAME=DEVICE like 7:00.0=net_ring0")
        given = settings.get("devices", Given([], "--device"))
        devices = list(given.value) if isinstance(given.value, list | tuple) else [given.value]
        if name not in devices:
            raise ConfigError(
                f"--map: no device is called '{name}'; there is {', '.join(map(str, devices)) or 'none'}{nearest(name, devices)}"
            )
        settings["devices"] = Given([device if other == name else other for other in devices], given.where)


def _converted(settings: Settings) -> dict[str, Any]:
    return {
        field: BY_FIELD[field].convert(given.value, given.where) if field in BY_FIELD else given.value
        for field, given in settings.items()
    }


def _run_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of RunConfig, with the default that depends on the machine."""
    return {"cores": (min(os.sched_getaffinity(0)),), **{field: value for field, value in given.items() if field in _RUN_FIELDS}}


def _traffic(given: Mapping[str, Any], places: Places, inside: bool) -> TrafficConfig:
    timeouts = Timeouts(**{f.removeprefix("timeouts."): v for f, v in given.items() if f.startswith("timeouts.")})
    tcp = TcpOptions(**{f.removeprefix("tcp."): v for f, v in given.items() if f.startswith("tcp.")})
    plain = {field: value for field, value in given.items() if not field.startswith(("timeouts.", "tcp.")) and field != "cps"}
    if "interfaces" not in given and not inside:
        raise ConfigError(f"{places['interfaces']}: missing; the device leads to a link, give our address there: --ip ADDR/LEN")
    config = TrafficConfig(**{"seed": secrets.randbits(32), "timeouts": timeouts, "tcp": tcp, **plain, **_run_fields(given)})
    if "port_mask" not in given:
        config = replace(config, port_mask=default_port_mask(len(config.cores)))
    if "cps" in given:
        config = replace(config, cps_per_core=given["cps"] / len(config.cores))
    config = _with_role(config, given, places)
    if config.transfers and config.request is not None and "peer" not in given:
        config = replace(config, peer="any")
    return replace(config, connections=_connections(config, given, inside), max_open=_max_open(config, given))


def _with_role(config: TrafficConfig, given: Mapping[str, Any], places: Places) -> TrafficConfig:
    """Both roles, unless all targets are others: then the client. A server has no targets, a client needs some."""
    role = given.get("role")
    if role is None:
        role = "client" if config.targets and not any(config.is_local(target.ip) for target in config.targets) else "both"
    if role == "client" and not config.targets:
        raise ConfigError(f"{places['targets']}: missing; a client needs at least one target: --target IP:PORT")
    targets: tuple[Target, ...] = () if role == "server" else config.targets
    return replace(config, role=role, targets=targets)


def _connections(config: TrafficConfig, given: Mapping[str, Any], inside: bool) -> int | None:
    if "connections" in given:
        return given["connections"]
    if config.duration_s is not None or not config.is_client:
        return None
    if config.transfers:
        return 1
    ours = all(config.is_local(target.ip) for target in config.targets)
    return _CONNECTIONS_TO_OURSELVES if ours and inside else _CONNECTIONS_TO_OTHERS


def _max_open(config: TrafficConfig, given: Mapping[str, Any]) -> int:
    if "max_open" in given:
        return given["max_open"]
    return capacity(config) if config.cps_per_core else min(_CLOSED_LOOP, capacity(config))
