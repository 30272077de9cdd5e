"""No operator reads or writes outside the frame: its end is made the end of the memory that there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from dpdk_io import mbuf as mb
from dpdk_io.jit import JIT
from dpdk_io.memory import guard
from operators.fragments import Fragments
from operators.parse import parse
from operators.reassemble import reassemble
from pipeline import DROP, NEXT
from pipeline.codegen import meta_dtype
from tests.operators.fragments_model import hostile_fragments
from tests.operators.frames import BUILT, CAPTURES, captured
from tests.operators.models import expected

PROGRAM = Path(__file__).parent / "at_the_edge.py"


def hostile() -> list[bytes]:
    """Whole frames and the same cut anywhere."""
    whole = [bytes(packet) for packet in BUILT.values()]
    for path in sorted(CAPTURES.glob("*.pcap")):
        whole += list(captured(path.name))[:20]
    return [frame[:size] for frame in whole for size in (*range(min(len(frame), 90)), len(frame)) if len(frame) <= mb.DATA_ROOM]


def test_operators_stay_within_a_frame_before_forbidden_memory(tmp_path: Path) -> None:
    """Each frame ends where a page begins that may not be touched: a byte too far is a segmentation fault."""
    corpus = tmp_path / "frames"
    corpus.write_bytes(b"".join(len(frame).to_bytes(2, "big") + frame for frame in hostile()))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(corpus)], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{len(hostile())} frames, then killed by signal 11\n"


def test_the_python_twins_of_parse_and_reassemble_stay_within_the_frame() -> None:
    if JIT:
        code = "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1]]))"
        target = f"{__file__}::{test_the_python_twins_of_parse_and_reassemble_stay_within_the_frame.__name__}"
        run = subprocess.run(
            [sys.executable, "-c", code, target], env={"NUMBA_DISABLE_JIT": "1", "PATH": ""}, capture_output=True, text=True,
            timeout=120, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert "1 passed" in run.stdout, run.stdout
        return
    header = np.zeros(1, mb.MBUF)
    metas = np.zeros(1, meta_dtype({f[0]: np.dtype(f[1]) for f in parse.writes})).view(np.recarray)
    state, counts, table = parse.new_state(), reassemble.new_state(), Fragments(capacity=4)
    assert state is not None
    assert counts is not None
    header["nb_segs"] = 1
    for now, frame in enumerate([*hostile()[::7], *hostile_fragments()]):
        memory = np.frombuffer(bytearray(frame or b"\0"), np.uint8)
        pkt = memory.ctypes.data
        header["buf_addr"] = pkt
        header["pkt_len"] = header["data_len"] = header["buf_len"] = len(frame)
        with guard((pkt, len(frame)), (header.ctypes.data, mb.MBUF.itemsize), *table.memory):
            verdict = parse.function(pkt, len(frame), header.ctypes.data, metas[0], state[0])
            assert (verdict == DROP) == isinstance(expected(frame), str)
            if verdict == NEXT:
                reassemble.function(pkt, header.ctypes.data, metas[0], counts[0], now, table.address)
    assert counts[0].whole > 0
