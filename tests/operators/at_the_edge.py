"""Runs every operator on the frames of a file, each ending where forbidden memory begins.

At the end it proves the fence: a child reads one byte too far, and how that ended is told.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.testing import Fence
from tests.operators.conftest import NAMES, Toolbox
from tests.operators.fragments_model import hostile_fragments


def main(corpus: bytes) -> None:
    toolbox = Toolbox(fenced=True)
    position, count = 0, 0
    while position < len(corpus):
        size = int.from_bytes(corpus[position : position + 2], "big")
        toolbox.run(NAMES[count % len(NAMES)], [corpus[position + 2 : position + 2 + size]])
        position += 2 + size
        count += 1
    toolbox.run("reassemble", hostile_fragments())
    print(f"{count} frames, then killed by signal {too_far()}")


def too_far() -> int:
    """The signal that ends a child which reads at the fence."""
    fence = Fence()
    child = os.fork()
    if child == 0:
        ctypes.string_at(fence.address, 1)
        os._exit(0)
    return -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_bytes())
