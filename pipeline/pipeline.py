"""A pipeline: a name, steps, and the resources its kernels may name. Passive data; every mistake is raised when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.cache import Generated
from pipeline.codegen import Code, Generator, kernel_names, meta_dtype
from pipeline.errors import PipelineError
from pipeline.graph import draw
from pipeline.operator import ARGUMENTS, Operator

Resource = Callable[[int], Any] | np.ndarray | int


class Pipeline:
    """Operators in order, compiled into one poll loop when a core runs it.

    name: an identifier; steps: operators, GroupBy, Stage; resources: name -> what kernels get under that name: a numpy array or
    an int shared by all cores, or a function of the core's index that makes each core its own.
    Raises PipelineError for anything that does not fit together.
    """

    def __init__(self, name: str, steps: Sequence[Any], resources: Mapping[str, Resource] | None = None) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise PipelineError(f"pipeline name {name!r}: use letters, digits and _")
        self.name = name
        self.resources = dict(resources or {})
        for resource in self.resources:
            if resource in ARGUMENTS or not resource.isidentifier():
                raise PipelineError(f"{name}: resource {resource!r} needs another name; {', '.join(ARGUMENTS)} are taken")
        if not steps:
            raise PipelineError(f"{name}: a pipeline without steps; give it at least one operator")
        self._generator = Generator(steps, self.resources)
        self.steps = tuple(steps)
        self.meta_dtype = meta_dtype(self.code.meta)
        self._generated: dict[str, Generated] = {}

    @property
    def code(self) -> Code:
        """The generated loop's parts: operators and arms in the order of their counters."""
        return self._generator.code

    @property
    def operators(self) -> list[Operator]:
        """The operators in the order of their counters."""
        return self.code.operators

    def generated(self, driver: str = "dpdk_io.loopback") -> Generated:
        """The module for devices whose compiled calls are in *driver*."""
        if driver not in self._generated:
            kernels = dict(zip(kernel_names(self.operators), (o.kernel for o in self.operators), strict=True))
            self._generated[driver] = Generated(self.name, self._generator.source(self.name, driver, "KERNELS"), kernels)
        return self._generated[driver]

    def source(self, driver: str = "dpdk_io.loopback") -> str:
        """The source of the poll loop as it is compiled."""
        return self.generated(driver).source

    def graph(self) -> str:
        """The pipeline as a drawing in text."""
        return draw(self.name, self.steps)

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {len(self.operators)} operators)"
