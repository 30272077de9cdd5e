"""Runs over an impaired device: everything completes, everything that happens to packets is counted, delays are as told."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.all import Ether, rdpcap, wrpcap

from tests.engine.equalities import assert_once_each
from tests.network.command import Outcome, te_apps

pytestmark = pytest.mark.usefixtures("compiled")

DEVICE = ("--device", "net_ring0")
MANY_AT_ONCE = (*DEVICE, "--max-open", 10_000)
PATIENT = "[engine.timeouts]\ntime_wait = 60_000\n"
"""No peer that still repeats its FIN is told by an RST that nobody is there."""
CALM = f"{PATIENT}min_rto = 10_000\n"
"""Nothing is sent again because the machine has held somebody up."""


def run(impair: str, *options: object) -> Outcome:
    made = te_apps("trafficengine", "--impair", impair, "--quiet", *options, seconds=280)
    assert made.errors == ""
    return made


def assert_complete(made: Outcome, connections: int) -> None:
    """Every connection, at both ends; and nothing was lost but on purpose."""
    assert (made.code, made.result["ended_by"]) == (0, "done")
    sides = [{**made.result[role], **made.result["release_causes"][role], **made.result["roles"][role]} for role in ROLES]
    assert_once_each(*sides, connections, lossless=False)
    impaired = made.result["impaired"]
    assert made.drops == ({"impair.lost": impaired["lost"]} if impaired["lost"] else {})
    assert impaired["seen"] == made.result["packets"]["received"] == made.result["packets"]["sent"]


ROLES = ("client", "server")


@pytest.mark.parametrize("percent", [0.1, 1, 5])
def test_short_connections_complete_over_a_wire_that_loses(tmp_path: Path, percent: float) -> None:
    (tmp_path / "patient.toml").write_text(PATIENT)
    made = run(f"loss={percent}%,seed=5", tmp_path / "patient.toml", *MANY_AT_ONCE, "--connections", 3000, "--seed", 1)
    assert_complete(made, 3000)
    assert made.result["impaired"]["lost"] == pytest.approx(made.result["impaired"]["seen"] * percent / 100, rel=0.5)


def test_none_of_many_connections_fails_at_five_per_cent() -> None:
    """The limits are those of RFC 9293: a SYN that is lost makes the first timeout of the data 3 seconds long."""
    made = run("loss=5%,seed=3", *MANY_AT_ONCE, "--connections", 20_000)
    assert made.code == 0
    for role in made.result["roles"].values():
        assert (role["completed"], role["failed"]) == (20_000, 0)


def test_a_delay_is_half_a_round_trip(tmp_path: Path) -> None:
    (tmp_path / "calm.toml").write_text(CALM)
    made = run("delay=20ms", tmp_path / "calm.toml", *DEVICE, "--connections", 200, "--cps", 400)
    assert_complete(made, 200)
    latency = made.result["latency_us"]
    assert 40_000 <= latency["connect"]["p50"] < 60_000
    assert 80_000 <= latency["lifetime"]["p50"] < 180_000
    assert made.result["client"]["Retransmissions"] == made.result["server"]["Retransmissions"] == 0


def test_a_rate_is_kept() -> None:
    """Seven packets of 60 to 70 bytes make a connection: a megabit carries a good 250 of them a second, and fewer only while the
    machine holds the core up."""
    made = run("rate=1mbit,queue=1m", *DEVICE, "--connections", 500, "--max-open", 50)
    assert (made.code, made.result["impaired"]["queue_full"]) == (0, 0)
    least = 500 * 7 * 60 * 8 / 1e6
    assert least - 0.1 < made.result["elapsed_s"] < 4 * least


def test_everything_at_once_on_two_cores() -> None:
    everything = "loss=1%,corrupt=1%,duplicate=2%,reorder=2%,delay=3ms,jitter=1ms,rate=100mbit,seed=2"
    made = run(everything, "--connections", 1000, "--device", "loopback:scatter", "--cores", "0,1")
    assert made.code == 0
    assert made.result["roles"]["client"]["completed"] == 2000
    assert made.result["responses"] == {"expected": 2000, "unexpected": 0}
    impaired, drops = made.result["impaired"], made.drops
    assert impaired["seen"] == made.result["packets"]["received"] == made.result["packets"]["sent"]
    assert all(impaired[name] > 0 for name in ("lost", "corrupted", "duplicated", "reordered"))
    assert (impaired["lost"], impaired["uncopied"], impaired["line_full"]) == (drops["impair.lost"], 0, 0)
    assert drops["parse.ip_checksum"] + drops["tcp_check.checksum"] > impaired["corrupted"] * 0.6
    assert [core["impaired"]["seen"] > 3000 for core in made.result["pipelines"]] == [True, True]


def test_a_reflector_is_impaired_and_ends_when_nothing_is_held(tmp_path: Path) -> None:
    frames = [Ether(bytes(12) + k.to_bytes(2) + bytes(46)) for k in range(300)]
    wrpcap(str(tmp_path / "in.pcap"), frames)
    device = f"pcap:{tmp_path}/in.pcap,{tmp_path}/out.pcap"
    made = te_apps("macswap", "--device", device, "--impair", "loss=10%,delay=300ms,seed=4", "--quiet")
    lost = made.result["impaired"]["lost"]
    assert (made.code, made.result["impaired"]["seen"]) == (0, 300)
    assert 10 < lost < 60
    assert made.drops == {"impair.lost": lost}
    assert made.result["elapsed_s"] >= 0.3
    assert len(rdpcap(str(tmp_path / "out.pcap"))) == 300 - lost
