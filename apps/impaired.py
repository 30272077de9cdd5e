"""A pipeline behind a bad network: `impair` before all its steps, and what it counted."""

from __future__ import annotations

from collections.abc import Iterable

from apps.config import Impairment, RunConfig
from apps.result import add_up
from operators.delay_line import DelayLine
from operators.impair import COUNTERS, delayed, impair
from pipeline import Core, Pipeline, PipelineError

_LINE = "delay_line"


def behind(impairment: Impairment | None, pipeline: Pipeline, first: int = 0) -> Pipeline:
    """*pipeline*, impaired on every core, as the one of the number that is *first* more would be: that no two devices lose the
    same packets. PipelineError when it has a delay line of its own."""
    if impairment is None:
        return pipeline
    if _LINE in pipeline.resources:
        raise PipelineError(f"{pipeline.name} has a resource {_LINE!r} of its own: leave --impair out, or that")
    values = {name: value for name, value in vars(impairment).items() if name != "limit"}
    line = {_LINE: lambda core: DelayLine(first + core, impairment.limit)}
    return Pipeline(pipeline.name, [delayed, impair(**values), *pipeline.steps], {**pipeline.resources, **line})


def mbufs(config: RunConfig) -> int:
    """Mbufs for *config*, with those that may be held; 2^n - 1 when some may."""
    if config.impair is None:
        return config.mbuf_cnt
    held = config.impair.limit * len(config.cores) * len(config.devices)
    return (1 << (config.mbuf_cnt + held).bit_length()) - 1


def impairments(cores: Iterable[Core]) -> dict[str, int]:
    """What `impair` counted on *cores*; empty where it does not stand."""
    return add_up(
        {name: int(core.states[k][0][name]) for name in COUNTERS}
        for core in cores
        for k, step in enumerate(core.pipeline.operators)
        if step.kernel is impair.kernel
    )


def held(core: Core) -> int:
    """Packets of *core* that are on their way."""
    line = core.resources.get(_LINE)
    return len(line) if isinstance(line, DelayLine) else 0
