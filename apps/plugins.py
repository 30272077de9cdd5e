"""Apps of other packages: an entry point of the group `te_apps.apps` is a function that becomes a command of `te-apps`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

GROUP = "te_apps.apps"


def _entry_points() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


class PluginGroup(TyperGroup):
    """Looks for a command among the plugins when it is not built in."""

    def list_commands(self, ctx: Any) -> list[str]:
        builtin = super().list_commands(ctx)
        return [*builtin, *sorted(name for name in _entry_points() if name not in builtin)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        point = _entry_points().get(cmd_name)
        return None if point is None else _command(point)


def _command(point: Any) -> Any:
    """The function an entry point names, as a command. ConfigError names the package when it does not load."""
    from apps.errors import ConfigError

    try:
        function = point.load()
    except Exception as error:
        raise ConfigError(f"app '{point.name}' ({point.value}) does not load: {error}; mend or uninstall its package") from error
    single = typer.Typer(rich_markup_mode=None)
    single.command(name=point.name)(function)
    return typer.main.get_command(single)
