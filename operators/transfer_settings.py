"""What an engine is told about transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Transfer:
    """Sizes of what one end sends and receives in a round."""

    send: int
    receive: int
    rounds: int = 1
    half_close: bool = False
    """As client, FIN after the last request."""
    headed: bool = True
    """The client names the sizes in a header: the server is an engine too, and needs none of its own."""


def note_transfers(record: Any, settings: Any) -> None:
    """Write into the ENGINE *record* what `Settings` say of transfers."""
    ours, served = settings.transfer, settings.serve
    record.window, record.read_rate, record.think_ms = settings.window, settings.read_rate, settings.think_ms
    if ours:
        record.client_transfers = 1
        record.client_send, record.client_receive, record.rounds = ours.send, ours.receive, ours.rounds
        record.half_close, record.headed = int(ours.half_close), int(ours.headed)
    if served:
        record.server_transfers = 1
        record.server_send, record.server_receive, record.rounds = served.send, served.receive, served.rounds
    record.sends_pattern = int(settings.template is None and settings.fill_hook is None)
    if settings.template is not None:
        record.template, record.template_len = settings.template.ctypes.data, len(settings.template)
    record.fill_hook = settings.fill_hook.address if settings.fill_hook else 0
    record.check_hook = settings.check_hook.address if settings.check_hook else 0
