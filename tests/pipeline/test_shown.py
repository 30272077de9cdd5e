"""A pipeline as it is shown: drawn, and as the source that is compiled."""

from __future__ import annotations

import ast

from operators.macswap import macswap
from operators.parse import parse
from operators.to_kernel import to_kernel
from pipeline import DROP, GroupBy, Pipeline, Stage
from tests.pipeline.test_loop import beat, well
from tests.pipeline.toys import leave_if

SHOWN = Pipeline(
    "shown",
    [beat, well(packets=3), parse, Stage(), GroupBy("ip_version", {4: [leave_if(modulus=3)], 6: DROP}), macswap, to_kernel],
)


def test_the_drawing_has_a_line_for_each_step() -> None:
    assert SHOWN.graph().splitlines() == [
        "shown",
        "  each turn: beat  Emit a packet every third turn, where there is room.",
        "  receive: port",
        "  receive: well(packets=3)  Bring so many packets, in bursts as they fit.",
        f"  │ parse  {parse.help}",
        "  ├─ stage",
        "  ├─ by ip_version",
        "  │  4:",
        "  │    │ leave_if(modulus=3)  Give *verdict* to frames whose choice is a multiple of *modulus*.",
        "  │  6: DROP",
        "  │  otherwise: go on",
        f"  │ macswap  {macswap.help}",
        f"  │ to_kernel  {to_kernel.help}",
        "  send, free",
    ]


def test_the_source_is_a_readable_file_of_its_own() -> None:
    source = SHOWN.source()
    tree = ast.parse(source)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["release", "recycle", "poll", "finish"]
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    in_order = [name for name in calls if name.startswith("op")]
    assert sorted(in_order) == [
        "op0_beat", "op1_well", "op2_parse", "op3_leave_if", "op4_macswap", "op5_to_kernel",
    ]  # fmt: skip
    lines = source.splitlines()
    assert max(map(len, lines)) <= 130
    arm = lines.index("            if i64(meta.ip_version) == 4:")
    assert lines[arm : arm + 6] == [
        "            if i64(meta.ip_version) == 4:",
        "                arm0 += 1",
        "                v = i64(op3_leave_if(pkt, row(s3, 0)))",
        "                if v != NEXT:",
        "                    ready = depart_counted(out, tx, ready, v, mbuf, left + 192)",
        "                    continue",
    ]


def test_the_file_holds_the_source() -> None:
    generated = SHOWN.generated()
    generated.load()
    assert generated.path.read_text() == generated.source
    assert generated.path.stem == f"shown_{generated.path.stem.rpartition('_')[2]}"
