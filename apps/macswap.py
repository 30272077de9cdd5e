"""macswap: the reflector at the far end of the cable."""

from __future__ import annotations

from apps.config import MacswapConfig
from apps.engine import run_pipeline
from apps.result import Result
from operators.macswap import macswap
from pipeline import Pipeline


def pipeline() -> Pipeline:
    """The whole of it: every frame goes back to where it came from."""
    return Pipeline("macswap", [macswap])


def run(config: MacswapConfig) -> Result:
    """Reflect until the capture files are read, the time is up, or a signal comes."""
    return run_pipeline(pipeline(), config, "macswap")
