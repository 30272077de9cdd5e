"""drop: the end of a pipeline, or of an arm, for packets that nobody wants; they are counted under its name."""

from __future__ import annotations

from pipeline import DROP, operator


@operator
def drop():
    """Drop every packet."""
    return DROP
