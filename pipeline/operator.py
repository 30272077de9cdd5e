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
from typing import Any

import numpy as np

from dpdk_io.jit import inlined as compile_inlined
from dpdk_io.jit import kernel as compile_kernel
from dpdk_io.memory import aligned
from pipeline.errors import PipelineError
from pipeline.fields import Field, check_fields, check_returns, check_use, nearest

PACKET_ARGUMENTS = ("pkt", "length", "mbuf", "meta", "following", "from_port")
CORE_ARGUMENTS = ("state", "now", "out")
SOURCE_ARGUMENTS = ("burst", "room")

_ARGUMENTS_OF = {
    "packet": (*PACKET_ARGUMENTS, *CORE_ARGUMENTS),
    "tick": CORE_ARGUMENTS,
    "source": (*SOURCE_ARGUMENTS, *CORE_ARGUMENTS),
}
ARGUMENTS = (*PACKET_ARGUMENTS, *SOURCE_ARGUMENTS, *CORE_ARGUMENTS)
"""Names that no resource may have."""


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
    reserve: int = 0
    """Of a source: how much of the burst the port leaves to it."""
    resizes: bool = False
    """Whether packets that go on may have another length, in the same place."""

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
            given = np.array(value)
            fits = given.shape == dtype.shape and given.dtype.kind in "biuf" and np.array_equal(given.astype(dtype.base), value)
        except (OverflowError, TypeError, ValueError):
            fits = False
        if not fits:
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
    def state_fields(self) -> tuple[Field, ...]:
        """State, drop counters and params: the fields of the operator's record."""
        parameters = ((name, dtype) for name, (dtype, _) in self.params.items())
        return (*self.state, *((name, "i8") for name in self.drops), *parameters)

    @property
    def state_dtype(self) -> np.dtype | None:
        """The dtype of the operator's record on each core: state fields, then params; None when it has neither."""
        return np.dtype(list(self.state_fields), align=True) if self.state_fields else None

    def new_state(self) -> np.recarray | None:
        """One record of `state_dtype` on a cache line of its own, params at their values, the rest zero."""
        dtype = self.state_dtype
        if dtype is None:
            return None
        state = aligned(1, np.dtype((dtype, ())), 64)
        for name, (_, default) in self.params.items():
            state[name][0] = self.values.get(name, default)
        return state


def _declare(
    kind: str, function: Callable[..., Any], state: Sequence[Field], params: Mapping[str, tuple[Any, Any]],
    drops: Sequence[str], reads: Sequence[str] = (), writes: Sequence[Field] = (), reserve: int = 0,
    resizes: bool = False,
) -> Operator:  # fmt: skip
    name = function.__name__
    doc = (inspect.getdoc(function) or "").strip().splitlines()
    if not doc:
        raise PipelineError(f"{name}: an operator needs a docstring; its first line is its help")
    for parameter, declared in params.items():
        if not isinstance(declared, tuple) or len(declared) != 2:
            raise PipelineError(f"{name}: parameter {parameter!r} is declared as {declared!r}; write (dtype, default)")
    check_fields(name, writes)
    # A pipeline calls an operator from one place, once for every packet: merged into the loop, that is no call at all.
    compiled = (compile_inlined if kind == "packet" else compile_kernel)(function)
    made = Operator(
        name, doc[0], kind, compiled, tuple(state), dict(params), tuple(reads), tuple(writes), tuple(drops),
        reserve=reserve, resizes=resizes,
    )  # fmt: skip
    _check_record(made)
    check_returns(name, function)
    check_use(name, function, "meta", {*reads, *(f[0] for f in writes)}, {f[0] for f in writes})
    return made


def _check_record(made: Operator) -> None:
    """The operator's own record can be made, and holds what its kernel uses of it."""
    check_fields(made.name, made.state_fields)
    if "state" in made.arguments and not made.state_fields:
        raise PipelineError(f"{made.name}: names 'state' but declares neither state nor params nor drops")
    for parameter, (_, default) in made.params.items():
        made._check_param(parameter, default)
    names = {field[0] for field in made.state_fields}
    check_use(made.name, made.function, "state", names, names)


def _decorate(function: Callable[..., Any] | None, kind: str, **declared: Any) -> Any:
    if function is not None:
        return _declare(kind, function, **declared)
    return lambda decorated: _declare(kind, decorated, **declared)


def operator(
    function: Callable[..., Any] | None = None, *, state: Sequence[Field] = (),
    params: Mapping[str, tuple[Any, Any]] | None = None, reads: Sequence[str] = (), writes: Sequence[Field] = (),
    drops: Sequence[str] = (), resizes: bool = False,
) -> Any:  # fmt: skip
    """Declare a function of one packet that returns a verdict.

    state: fields (name, dtype) of the operator's own record on each core; params: name -> (dtype, default), in the same record;
    reads: metadata fields it needs; writes: metadata fields (name, dtype) it sets; drops: names of state fields that count why it
    dropped a packet, and reach the run's result as `operator.name`; resizes: packets may go on with another length, which is then
    read anew. The function names what it wants of pkt, length, mbuf, meta, from_port, state, now, out and the pipeline's
    resources. PipelineError for a declaration that cannot work.
    """
    return _decorate(
        function, "packet", state=state, params=params or {}, reads=reads, writes=writes, drops=drops, resizes=resizes
    )


def tick(
    function: Callable[..., Any] | None = None, *, state: Sequence[Field] = (),
    params: Mapping[str, tuple[Any, Any]] | None = None, drops: Sequence[str] = (),
) -> Any:  # fmt: skip
    """Declare a function that runs once per turn of the poll loop, before packets are received.

    It may emit packets (`take` and `send` of `out`) and returns how much it did; 0 lets an idle core rest. Arguments: state, now,
    out and resources.
    """
    return _decorate(function, "tick", state=state, params=params or {}, drops=drops)


def source(
    function: Callable[..., Any] | None = None, *, state: Sequence[Field] = (),
    params: Mapping[str, tuple[Any, Any]] | None = None, drops: Sequence[str] = (), reserve: int = 0,
) -> Any:  # fmt: skip
    """Declare a function that brings packets into the pipeline beside those received from the port.

    It writes up to `room` mbuf addresses to the 64-bit words from `burst` on and returns how many; `room` is what the port has
    left of the burst, and never less than *reserve* unless other sources took it. Arguments: burst, room, state, now, out and
    resources.
    """
    return _decorate(function, "source", state=state, params=params or {}, drops=drops, reserve=reserve)


def check_arguments(step: Operator, resources: Any) -> None:
    """PipelineError when the operator's kernel names an argument that nobody provides."""
    known = (*_ARGUMENTS_OF[step.kind], *resources)
    for argument in step.arguments:
        if argument not in known:
            raise PipelineError(f"{step.name}: no such argument {argument!r}{_meant(argument, known)}")


def _meant(argument: str, known: Sequence[str]) -> str:
    """The nearest of *known*, and all of them in their order."""
    close = nearest(argument, known)
    return close if close.endswith("?") else f"; there are {', '.join(known)}"
