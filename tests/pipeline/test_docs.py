"""What the page on operators shows works, and what it lists is all there is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from operators import parse as parse_module
from operators.parse import parse
from pipeline.operator import ARGUMENTS
from pipeline.outbox import DROPS
from pipeline.verdicts import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()


def test_the_code_on_the_page_works_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(blocks))
    runpy.run_path(str(program))


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_verdict_argument_and_metadata_field_is_described() -> None:
    verdicts = section("Verdicts")
    assert all(f"`{name.upper()}`" in verdicts for name in NAMES)
    arguments = section("Arguments") + section("Packets of your own")
    assert all(f"`{name}`" in arguments for name in ARGUMENTS)
    losses = section("Running from Python")
    assert all(f"| `{name}` |" in losses for name in DROPS)
    metadata = section("Metadata of parse")
    assert all(f"`{field[0]}`" in metadata for field in parse.writes)
    assert all(f"`{reason}`" in metadata.replace("`parse.", "`") for reason in parse.drops)
    constants = {name for name, value in vars(parse_module).items() if name.isupper() and isinstance(value, int)}
    kinds = {name for name in constants if name[0] != "_"} - {"DROP", "NEXT"}
    assert len(kinds) == 12
    assert all(f"`{name}`" in metadata for name in kinds)
