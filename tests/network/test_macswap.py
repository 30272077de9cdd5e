"""macswap as a reflector: whatever the frames are, they come back in order with exactly the MAC addresses swapped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.network.command import outcome, te_apps, te_apps_in, wait_for_interface
from tests.network.frames import mixed_frames, read_pcap, swapped, write_pcap
from tests.network.lab import Lab
from tests.network.witness import Capture


def test_from_file_to_file(tmp_path: Path) -> None:
    frames = mixed_frames() * 200
    source, target = write_pcap(tmp_path / "in.pcap", frames), tmp_path / "out.pcap"
    run = te_apps("macswap", "--device", f"pcap:{source},{target}", "--duration", 2)
    assert run.code == 0, run.errors
    assert read_pcap(target) == [swapped(frame) for frame in frames]
    assert run.drops == {}


@pytest.mark.root
def test_on_a_tap(lab: Lab, tmp_path: Path) -> None:
    theirs = lab.namespace("b")
    frames = mixed_frames(jumbo=0) * 20
    source = write_pcap(tmp_path / "in.pcap", frames)
    process = te_apps_in(theirs, "macswap", "--device", "tap:te0", "--idle", "sleep", "--duration", 60)
    wait_for_interface(theirs, process, "te0")
    capture = Capture(theirs, tmp_path / "out.pcap", "te0", "in")
    theirs.run("tcpreplay", "-q", "--pps", "2000", "-i", "te0", str(source))
    assert read_pcap(capture.stop()) == [swapped(frame) for frame in frames]
    process.signal(signal.SIGINT)
    run = outcome(process.finish())
    assert (run.code, run.drops) == (130, {})
