"""Where each setting was given: what error messages name."""

from __future__ import annotations

from apps.schema import BY_FIELD, Settings


class Places:
    """Where each field was given; for one that was not, the option that would give it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __contains__(self, field: str) -> bool:
        return field in self._settings

    def __getitem__(self, field: str) -> str:
        if field in self._settings:
            return self._settings[field].where
        key = BY_FIELD[field]
        return key.option or key.path

    def item(self, field: str, index: int) -> str:
        """The place of one element of a list."""
        place = self[field]
        numbered = isinstance(self._settings[field].value, list | tuple) if field in self._settings else False
        return f"{place}[{index}]" if numbered and not place.startswith("-") else place
