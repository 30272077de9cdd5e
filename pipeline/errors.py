"""The error of a pipeline that cannot be built."""

from __future__ import annotations

from dpdk_io.errors import UsageError


class PipelineError(UsageError):
    """A pipeline, operator or parameter that does not fit; raised before any packet moves."""
