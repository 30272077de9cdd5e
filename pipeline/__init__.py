"""Build packet pipelines from operators and run them, one compiled poll loop per core.

from pipeline import NEXT, DROP, GroupBy, Pipeline, Run, operator
"""

from pipeline.core import Core
from pipeline.errors import PipelineError
from pipeline.operator import Operator, operator, source, tick
from pipeline.outbox import BURST, room, send, take
from pipeline.pipeline import Pipeline
from pipeline.plugins import discover, load
from pipeline.run import Run
from pipeline.steps import GroupBy, Stage
from pipeline.verdicts import DROP, KEEP, NEXT, SLOW, TX, USER0, USER1, USER2

__all__ = [
    "BURST",
    "DROP",
    "KEEP",
    "NEXT",
    "SLOW",
    "TX",
    "USER0",
    "USER1",
    "USER2",
    "Core",
    "GroupBy",
    "Operator",
    "Pipeline",
    "PipelineError",
    "Run",
    "Stage",
    "discover",
    "load",
    "operator",
    "room",
    "send",
    "source",
    "take",
    "tick",
]
