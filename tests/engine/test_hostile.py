"""Hostile frames at an engine with connections: counted, no crash, no mbuf lost, and the others do not notice."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from apps.beside import beside_tcp
from dpdk_io.jit import JIT
from tests.engine.host import LISTEN, Host, server
from tests.engine.hostile import harmless, segments, spoilt, tcp_frame
from tests.engine.peer import Peer

FRAMES = 3000 if JIT else 500
PROGRAM = Path(__file__).parent / "at_the_fence.py"


def attacked(host: Host, rng: random.Random) -> None:
    """Connections of three kinds of peers: attackers of whom half a connection is known, and two who only suffer."""
    attackers = [Peer(host, 41000 + k) for k in range(3)]
    victims = [Peer(host, 42000 + k) for k in range(2)]
    for peer in (*attackers, *victims):
        peer.connect()
    frames = []
    for _ in range(FRAMES):
        attacker, victim = rng.choice(attackers), rng.choice(victims)
        frames.append(spoilt(rng, segments(rng, attacker.port, attacker.seq, attacker.ack)))
        frames.append(harmless(rng, victim.port, victim.seq, victim.ack))
    check_all_accounted_for(host, frames)
    for victim in victims:
        victim.send("PA", b"still here")
        assert victim.received == b"still here"
        victim.finish()


def check_all_accounted_for(host: Host, frames: list[bytes]) -> None:
    """Each frame is answered, or counted by the operator that dropped it, or by what it was for the connection it reached."""
    before = host.counters("server")
    outcomes = host.outcomes(frames, burst=1)
    arrived = [outcome for outcome in outcomes if outcome.number >= 0]
    assert len(arrived) == len(frames)
    assert {outcome.verdict for outcome in arrived} <= {"tx", "drop", "slow"}
    beside = beside_tcp(host.bench.core)
    refused = sum(host.drops().values()) + beside["to_kernel"] + beside["reassemble"]
    after = host.counters("server")
    counted = after["SegmentsReceived"] - before["SegmentsReceived"]
    assert counted == len(frames) - refused > FRAMES
    assert host.drops()["tcp_check.bad_options"] > 0
    assert host.drops()["tcp_check.checksum"] > 0
    reasons = ("malformed", "tiny", "overlap", "unfinished") if JIT else ("malformed",)
    assert all(host.drops()[f"reassemble.{reason}"] > 0 for reason in reasons)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hostile_segments(seed: int) -> None:
    host = server(limits={"rto_min": 100, "syn_retries": 2, "retries": 2, "fin_wait_2_ms": 1000, "time_wait_ms": 1000})
    attacked(host, random.Random(seed))
    for _ in range(30):
        host.advance(3000)
        host.run()
    host.assert_all_mbufs_free()
    late = Peer(host, 43000)
    late.connect()
    late.send("PA", b"all well")
    assert late.received == b"all well"


def test_a_segment_cut_anywhere() -> None:
    """Every length from nothing on, of a segment whose header claims it all."""
    host = server()
    whole = tcp_frame(40000, LISTEN, 1, 1, 0x18, options=b"\x02\x04\x05\xb4", data=b"some payload")
    outcomes = host.outcomes([whole[:size] for size in range(len(whole))])
    assert {outcome.verdict for outcome in outcomes} == {"drop"}
    assert sum(host.drops().values()) == len(whole)
    host.assert_all_mbufs_free()


def test_no_byte_beyond_a_frame_is_touched() -> None:
    """The same frames, each ending where memory begins that may not be touched, in a process of its own."""
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=300, cwd=PROGRAM.parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "all well\n"
