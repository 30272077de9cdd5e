"""The operator contract: a kernel, and what it declares.

    @operator(state=[("seen", "u8")], params={"limit": ("u8", 1_000)}, reads=("tcp_flags",))
    def syn_guard(meta, state):
        \"\"\"Drop SYNs once *limit* of them have passed.\"\"\"
        ...

An operator is a frozen value. Calling it returns a copy with parameters set; nothing is registered and nothing compiled until
it becomes part of a `Pipeline`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from dpdk_io.jit import kernel as compile_kernel
from dpdk_io.memory import aligned
from pipeline.errors import PipelineError

PACKET_ARGUMENTS = ("pkt", "length", "mbuf", "meta")
CORE_ARGUMENTS = ("state", "now", "out")
SOURCE_ARGUMENTS = ("burst", "room")

_ARGUMENTS = {
    "packet": (*PACKET_ARGUMENTS, *CORE_ARGUMENTS),
    "tick": CORE_ARGUMENTS,
    "source": (*SOURCE_ARGUMENTS, *CORE_ARGUMENTS),
}

Field = tuple[str, Any] | tuple[str, Any, Any]


@dataclass(frozen=True)
class Operator:
    """A compiled function and what it declares. Made by `operator`, `tick` and `source`."""

    name: str
    help: str
    kind: str
    kernel: Any
    state: tuple[Field, ...] = ()
    params: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    writes: tuple[Field, ...] = ()
    drops: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> Operator:
        """A copy under another name: the name its counters go by."""
        if not name.isidentifier():
            raise PipelineError(f"operator name {name!r}: use letters, digits and _")
        return replace(self, name=name)

    def __call__(self, **values: Any) -> Operator:
        """A copy with parameters set. PipelineError for a parameter it does not take or a value that does not fit its type."""
        for name, value in values.items():
            self._check_param(name, value)
        return replace(self, values={**self.values, **values})

    def _check_param(self, name: str, value: Any) -> None:
        if name not in self.params:
            raise PipelineError(f"{self.name}: unknown parameter {name!r}{nearest(name, self.params)}")
        dtype = np.dtype(self.params[name][0])
        try:
            fits = np.array(value, dtype) == np.array(value)
        except (OverflowError, TypeError, ValueError):
            fits = False
        if not np.all(fits):
            raise PipelineError(f"{self.name}: {name}={value!r} does not fit {dtype.name}")

    @property
    def function(self) -> Callable[..., Any]:
        """The kernel as plain Python."""
        return getattr(self.kernel, "py_func", self.kernel)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments the kernel names, in order."""
        return tuple(inspect.signature(self.function).parameters)

    @property
    def state_dtype(self) -> np.dtype | None:
        """The dtype of the operator's record on each core: state fields, then params; None when it has neither."""
        fields = [*self.state, *((name, "i8") for name in self.drops), *((name, dtype) for name, (dtype, _) in self.params.items())]
        return np.dtype(fields, align=True) if fields else None

    def new_state(self) -> np.recarray | None:
        """One record of `state_dtype` on a cache line of its own, params at their values, the rest zero."""
        dtype = self.state_dtype
        if dtype is None:
            return None
        state = aligned(1, np.dtype((dtype, ())), 64)
        for name, (_, default) in self.params.items():
            state[name][0] = self.values.get(name, default)
        return state


def nearest(word: str, words: Any) -> str:
    """The end of an error message: the word that was probably meant, or all there are."""
    close = get_close_matches(word, list(words), 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(sorted(words))}" if words else "; it takes none"


def _declare(
    kind: str, function: Callable[..., Any], state: Sequence[Field], params: Mapping[str, tuple[Any, Any]],
    reads: Sequence[str], writes: Sequence[Field], drops: Sequence[str],
) -> Operator:  # fmt: skip
    name = function.__name__
    for declared in (*(f[0] for f in state), *params, *drops, *(f[0] for f in writes)):
        if hasattr(np.record, declared):
            raise PipelineError(f"{name}: field {declared!r} is an attribute of numpy records; choose another name")
    doc = (inspect.getdoc(function) or "").strip().splitlines()
    if not doc:
        raise PipelineError(f"{name}: an operator needs a docstring; its first line is its help")
    made = Operator(
        name, doc[0], kind, compile_kernel(function), tuple(state), dict(params), tuple(reads), tuple(writes), tuple(drops)
    )
    if "state" in made.arguments and made.state_dtype is None:
        raise PipelineError(f"{name}: names 'state' but declares neither state nor params nor drops")
    for parameter, (_, default) in made.params.items():
        made._check_param(parameter, default)
    return made


def _decorator(kind: str) -> Callable[..., Any]:
    def declare(
        function: Callable[..., Any] | None = None,
        *,
        state: Sequence[Field] = (),
        params: Mapping[str, tuple[Any, Any]] | None = None,
        reads: Sequence[str] = (),
        writes: Sequence[Field] = (),
        drops: Sequence[str] = (),
    ) -> Any:
        if function is not None:
            return _declare(kind, function, state, params or {}, reads, writes, drops)
        return lambda decorated: _declare(kind, decorated, state, params or {}, reads, writes, drops)

    return declare


operator = _decorator("packet")
"""Declare a function of one packet that returns a verdict.

state: fields (name, dtype) of the operator's own record on each core; params: name -> (dtype, default), in the same record;
reads: metadata fields it needs; writes: metadata fields (name, dtype) it sets; drops: names of state fields that count why it
dropped a packet, and reach the run's result as `operator.name`. The function names what it wants of pkt, length,
mbuf, meta, state, now, out and the pipeline's resources. PipelineError for a declaration that cannot work.
"""

tick = _decorator("tick")
"""Declare a function that runs once per turn of the poll loop, before packets are received.

It may emit packets (`take` and `send` of `out`) and returns how much it did; 0 lets an idle core rest. Arguments: state, now,
out and resources.
"""

source = _decorator("source")
"""Declare a function that brings packets into the pipeline beside those received from the port.

It writes up to `room` mbuf addresses to the 64-bit words from `burst` on and returns how many. Arguments: burst, room, state,
now, out and resources.
"""


def check_arguments(step: Operator, resources: Any) -> None:
    """PipelineError when the operator's kernel names an argument that nobody provides."""
    known = (*_ARGUMENTS[step.kind], *resources)
    for argument in step.arguments:
        if argument not in known:
            raise PipelineError(f"{step.name}: no such argument {argument!r}; there are {', '.join(known)}")
