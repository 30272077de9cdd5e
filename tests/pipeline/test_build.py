"""Mistakes in declarations and pipelines are told when they are made, in one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dpdk_io.errors import UsageError
from pipeline import DROP, KEEP, NEXT, GroupBy, Pipeline, PipelineError, Stage, operator, source, tick
from tests.pipeline.toys import add_key, bounce, leave_if, mark, read_key, show


def plain(pkt, meta, state):
    """Goes on."""
    return NEXT


def silent(pkt):
    return NEXT


def forgets(pkt):  # noqa: RET503
    """Goes on, sometimes."""
    if pkt:
        return NEXT


def says_nothing(pkt):
    """Returns nothing."""
    return


def reads_more(meta):
    """Reads what it did not declare."""
    return NEXT if meta.dprt else DROP


def writes_more(meta):
    """Writes what it only reads."""
    meta.dport = 1
    return NEXT


def counts_more(state):
    """Counts what it did not declare."""
    state.seem += 1
    return NEXT


DECLARATIONS: list[tuple[Callable[[], Any], str]] = [
    (lambda: operator(silent), "silent: an operator needs a docstring; its first line is its help"),
    (lambda: operator(plain), "plain: names 'state' but declares neither state nor params nor drops"),
    (lambda: operator(forgets), "forgets can end without returning anything; return a verdict, or for a tick or source a number"),
    (lambda: operator(says_nothing), "says_nothing can end without returning anything"),
    (
        lambda: operator(state=[("flags", "u8")])(plain),
        "plain: field 'flags' is an attribute of numpy records; choose another name",
    ),
    (lambda: operator(state=[("a b", "u8")])(plain), "plain: field name 'a b': use letters, digits and _"),
    (lambda: operator(state=[("a", "u9")])(plain), "plain: ('a', 'u9') declares no field; write (name, dtype)"),
    (lambda: operator(state=["a"])(plain), "plain: 'a' declares no field"),
    (lambda: operator(state=[("a", "O")])(plain), "plain: field 'a' is a object; use numbers of fixed size"),
    (lambda: operator(state=[("a", "u8"), ("a", "u4")])(plain), "plain: field 'a' is declared twice"),
    (lambda: operator(state=[("a", "u8")], params={"a": ("u8", 1)})(plain), "plain: field 'a' is declared twice"),
    (lambda: operator(state=[("a", "u8")], drops=("a",))(plain), "plain: field 'a' is declared twice"),
    (lambda: operator(params={"a": 7})(plain), "plain: parameter 'a' is declared as 7; write (dtype, default)"),
    (lambda: operator(params={"a": ("u1", 300)})(plain), "plain: a=300 does not fit uint8"),
    (
        lambda: operator(reads=("dport",))(reads_more),
        "reads_more reads meta.dprt, which it does not declare; did you mean 'dport'?",
    ),
    (lambda: operator(reads=("dport",))(writes_more), "writes_more writes meta.dport, which it does not declare; there are none"),
    (
        lambda: operator(state=[("seen", "u8")])(counts_more),
        "counts_more writes state.seem, which it does not declare; did you mean",
    ),
    (lambda: mark(valeu=1), "mark: unknown parameter 'valeu'; did you mean 'value'?"),
    (lambda: bounce(value=1), "bounce: unknown parameter 'value'; there are none"),
    (lambda: mark(value=-1), "mark: value=-1 does not fit uint8"),
    (lambda: mark(value=256), "mark: value=256 does not fit uint8"),
    (lambda: mark(value=1.5), "mark: value=1.5 does not fit uint8"),
    (lambda: mark(value="1"), "mark: value='1' does not fit uint8"),
    (lambda: mark(value=None), "mark: value=None does not fit uint8"),
    (lambda: mark(value=[1, 2]), "mark: value=[1, 2] does not fit uint8"),
    (lambda: mark.named("a b"), "operator name 'a b': use letters, digits and _"),
]


@operator
def wants(pkt, lenght):
    """Names an argument that nobody provides."""
    return NEXT


@operator
def wants_table(pkt, table):
    """Names a resource."""
    return NEXT


@operator(writes=[("key", "u4")])
def other_key(meta):
    """Writes the key as another type."""
    meta.key = 1
    return NEXT


@operator(writes=[("weight", "f8")])
def weigh(meta):
    """Writes a number that is not whole."""
    meta.weight = 0.5
    return NEXT


@tick
def beat(now):
    """Does nothing."""
    return 0


@source
def well(room):
    """Brings nothing."""
    return 0


@tick
def confused(pkt):
    """A tick has no packet."""
    return 0


PIPELINES: list[tuple[Callable[[], Any], str]] = [
    (lambda: Pipeline("a b", [bounce]), "pipeline name 'a b': use letters, digits and _"),
    (lambda: Pipeline("p", []), "p: a pipeline without steps; give it at least one operator"),
    (lambda: Pipeline("p", bounce), "bounce is no list of steps; write [bounce]"),
    (lambda: Pipeline("p", [silent]), "is no step; steps are operators, GroupBy(...) and Stage()"),
    (lambda: Pipeline("p", [wants]), "wants: no such argument 'lenght'; did you mean 'length'?"),
    (
        lambda: Pipeline("p", [wants_table]),
        "wants_table: no such argument 'table'; did you mean",
    ),
    (lambda: Pipeline("p", [confused]), "confused: no such argument 'pkt'; there are state, now, out"),
    (lambda: Pipeline("p", [wants_table], {"tabel": 1}), "wants_table: no such argument 'table'; did you mean 'tabel'?"),
    (lambda: Pipeline("p", [bounce], {"pkt": 1}), "p: resource 'pkt' needs another name; pkt, length"),
    (lambda: Pipeline("p", [bounce], {"my table": 1}), "p: resource 'my table' needs another name"),
    (lambda: Pipeline("p", [show]), "show reads 'key', which nothing upstream writes; there are none"),
    (lambda: Pipeline("p", [weigh, add_key]), "add_key reads 'key', which nothing upstream writes; there are weight"),
    (lambda: Pipeline("p", [read_key, other_key]), "other_key writes 'key' as uint32; another operator writes it as uint8"),
    (lambda: Pipeline("p", [GroupBy("key", {1: []})]), "GroupBy('key'): nothing upstream writes 'key'; there are none"),
    (
        lambda: Pipeline("p", [read_key, GroupBy("kye", {1: []})]),
        "GroupBy('kye'): nothing upstream writes 'kye'; did you mean 'key'?",
    ),
    (lambda: Pipeline("p", [weigh, GroupBy("weight", {1: []})]), "GroupBy('weight'): the field is float64, not an integer"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {})]), "GroupBy('key') has no arms; write {value: steps or verdict, ...}"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {256: []})]), "GroupBy('key'): 256 is no value of a uint8"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {-1: []})]), "GroupBy('key'): -1 is no value of a uint8"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {"1": []})]), "GroupBy('key'): '1' is no value of a uint8"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {True: []})]), "GroupBy('key'): True is no value of a uint8"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {1: 9})]), "GroupBy('key'): 9 is no verdict for an arm; use DROP, TX, SLOW"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {1: KEEP})]), "GroupBy('key'): 4 is no verdict for an arm"),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {1: bounce})]), "bounce is no list of steps; write [bounce]"),
    (
        lambda: Pipeline("p", [read_key, GroupBy("key", {1: [Stage()]})]),
        "Stage() stands inside a GroupBy arm; stages are for whole",
    ),
    (lambda: Pipeline("p", [read_key, GroupBy("key", {1: [beat]})]), "beat stands inside a GroupBy arm; a tick runs once a turn"),
    (
        lambda: Pipeline("p", [read_key, GroupBy("key", {1: [well]})]),
        "well stands inside a GroupBy arm; a source runs once a turn",
    ),
    (
        lambda: Pipeline("p", [read_key, GroupBy("key", {1: DROP}, DROP), bounce]),
        "no packet reaches bounce: every arm of the GroupBy",
    ),
]


@pytest.mark.parametrize(("make", "message"), [*DECLARATIONS, *PIPELINES], ids=lambda v: v if isinstance(v, str) else "")
def test_a_mistake_is_told_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_what_only_some_arms_write_may_not_be_read_after_them() -> None:
    arms = {1: [read_key], 2: []}
    with pytest.raises(PipelineError, match="show reads 'origin'"):
        Pipeline("p", [weigh, other, GroupBy("kind", arms), show])
    Pipeline("p", [weigh, other, GroupBy("kind", {1: [read_key], 2: DROP}, otherwise=[read_key]), show])


@operator(writes=[("kind", "u1"), ("key", "u1")])
def other(meta):
    """Writes what to group by, and a part of what show reads."""
    meta.kind = meta.key = 1
    return NEXT


def test_calling_an_operator_copies_it() -> None:
    first = leave_if(modulus=3)
    second = first(verdict=2)
    assert (leave_if.values, first.values, second.values) == ({}, {"modulus": 3}, {"modulus": 3, "verdict": 2})
    assert first.kernel is leave_if.kernel
    assert mark(value=np.uint8(7)).values == {"value": 7}
    assert mark.named("stamp").name == "stamp"
    with pytest.raises(AttributeError):
        first.name = "other"


def test_every_core_has_its_own_state_with_params_at_their_values() -> None:
    mine, yours = leave_if(modulus=3).new_state(), leave_if.new_state()
    assert mine is not None
    assert yours is not None
    assert (mine[0].modulus, yours[0].modulus, mine[0].verdict, mine[0].gone) == (3, 2, DROP, 0)
    mine[0].gone = 5
    assert yours[0].gone == 0
    assert mine.ctypes.data % 64 == 0
    assert bounce.new_state() is None


@pytest.mark.parametrize("fields", [1, 4, 5, 9])
def test_metadata_lies_in_whole_cache_lines_when_it_is_large(fields: int) -> None:
    @operator(writes=[(f"w{k}", "u8") for k in range(fields)])
    def wide(meta):
        """Writes much."""
        meta.w0 = 1
        return NEXT

    assert Pipeline("p", [wide]).meta_dtype.itemsize == {1: 8, 4: 32, 5: 64, 9: 128}[fields]
