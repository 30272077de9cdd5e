"""What must hold between the keys of a transfer."""

from __future__ import annotations

from apps.config import TrafficConfig
from apps.errors import ConfigError
from apps.places import Places

_OF_TRANSFERS = ("rounds", "think_ms", "half_close", "peer", "payload_hook", "check_hook")


def check_transfer(config: TrafficConfig, places: Places) -> None:
    """ConfigError for sizes that nobody could transfer, and for what only transfers have."""
    if "max_transfers" in places and config.is_server and (config.transfers or config.is_client):
        raise ConfigError(f"{places['max_transfers']}: for a server alone that is told no sizes; leave it out")
    if not config.transfers:
        _check_none(config, places)
        return
    sizes = config.sizes
    if sizes.send + sizes.receive == 0:
        raise ConfigError(f"{places['send']}: nothing is sent and nothing received; give --send or --receive some bytes")
    first = sizes.send if config.is_client else sizes.receive
    if config.rounds > 1 and first == 0:
        raise ConfigError(f"{places['rounds']}: a round begins with a request, and it has no bytes; give --send some")
    if config.think_ms and config.rounds == 1:
        raise ConfigError(f"{places['think_ms']}: there is nothing after a single round; give --rounds too")
    if config.request is not None:
        _check_request(config, places)
    if not config.is_client and config.peer == "engine":
        raise ConfigError(
            f"{places['send' if 'send' in places else 'receive']}: its clients tell a server the sizes; "
            "leave it out, or give --peer any for clients that are no TrafficEngine"
        )


def _check_request(config: TrafficConfig, places: Places) -> None:
    if "send" in places or "send_file" in places:
        place = places["send" if "send" in places else "send_file"]
        raise ConfigError(f"{place}: a request says already what is sent; give one of the two")
    if config.peer == "engine":
        raise ConfigError(f"{places['peer']}: a request is for servers that are no TrafficEngine; give any")


def _check_none(config: TrafficConfig, places: Places) -> None:
    serves = config.is_server and config.response.kind in ("auto", "echo", "http")
    for field in _OF_TRANSFERS:
        if field in places and not (serves and field.endswith("_hook")):
            raise ConfigError(f"{places[field]}: there is no transfer; give --send or --receive too")
    if config.read_rate and not serves:
        raise ConfigError(f"{places['read_rate']}: there is no transfer to be read; give --send or --receive too")
