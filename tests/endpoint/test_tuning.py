"""What the command's options make TCP offer, agree on and do."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from apps.endpoint.options import load_endpoint
from apps.endpoint.tuning import Ecn, Tuning
from apps.errors import ConfigError
from tests.endpoint.rig import THEIRS, Rig

EVERYTHING = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (100, 0)), ("NOP", None), ("WScale", 7)]
WAYS = [
    ({}, {"SAckOK", "Timestamp", "WScale"}, ["window_scale", "sack", "timestamps"]),
    ({"timestamps": False}, {"SAckOK", "WScale"}, ["window_scale", "sack"]),
    ({"sack": False}, {"Timestamp", "WScale"}, ["window_scale", "timestamps"]),
    ({"window_scale": False}, {"SAckOK", "Timestamp"}, ["sack", "timestamps"]),
]


def options_of(frame: Ether) -> set[str]:
    return {name for name, _ in frame[TCP].options} - {"MSS", "NOP", "EOL"}


@pytest.mark.parametrize(("tuning", "offered", "negotiated"), WAYS)
def test_what_is_off_is_neither_offered_nor_agreed_on(tuning: dict[str, Any], offered: set[str], negotiated: list[str]) -> None:
    rig = Rig(**tuning)
    client = rig.done("SOCKET 2 1 6")
    rig.begin(f"CONNECT {client} {THEIRS} 9000")
    assert options_of(rig.take()[0]) == offered
    listener = rig.listening()
    rig.gets("S", 0, options=EVERYTHING)
    stamp = [("Timestamp", (101, 1_000))] if "timestamps" in negotiated else []
    rig.gets("A", 1, 1, options=stamp)
    assert rig.info(rig.done(f"ACCEPT {listener}"))["negotiated"] == negotiated


@pytest.mark.parametrize(("ecn", "asks", "agrees"), [(Ecn.OFF, "S", "SA"), (Ecn.PASSIVE, "S", "SAE"), (Ecn.ON, "SEC", "SAE")])
def test_ecn(ecn: Ecn, asks: str, agrees: str) -> None:
    rig = Rig(ecn=ecn)
    client = rig.done("SOCKET 2 1 6")
    rig.begin(f"CONNECT {client} {THEIRS} 9000")
    assert str(rig.take()[0][TCP].flags) == asks
    rig.listening()
    assert [sent.flags for sent in rig.gets("SEC", 0)] == [agrees]


@pytest.mark.parametrize(("congestion", "share"), [("reno", 0.5), ("cubic", 0.7)])
def test_congestion_control(congestion: str, share: float) -> None:
    rig = Rig(congestion=congestion)
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    rig.done(f"WRITE {fd} 14600")
    assert len(rig.sent()) == 10
    for _ in range(3):
        rig.gets("A", 1, 1)
    assert rig.info(fd)["ssthresh"] == int(share * 14_600)


@pytest.mark.parametrize(("first", "then", "share"), [("cubic", "reno", 0.5), ("reno", "cubic", 0.7)])
@pytest.mark.parametrize("when", ["listener", "before", "during"])
def test_congestion_control_of_a_socket(first: str, then: str, share: float, when: str) -> None:
    """What the windows are stays; from then on they are reduced the new way."""
    rig = Rig(congestion=first)
    option = f"SOL_TCP TCP_CONGESTION {then}"
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1", *([option] if when == "listener" else []))
    if when == "before":
        rig.done(f"SETSOCKOPT {fd} {option}")
    rig.done(f"WRITE {fd} 14600")
    assert len(rig.sent()) == 10
    if when == "during":
        rig.done(f"SETSOCKOPT {fd} {option}")
    assert (rig.info(fd)["cwnd"], rig.info(fd)["congestion"], rig.info(fd)["options"]["congestion"]) == (14_600, then, then)
    for _ in range(3):
        rig.gets("A", 1, 1)
    assert rig.info(fd)["ssthresh"] == int(share * 14_600)


REQUIRED = {"devices": ["loopback"], "interfaces": ["10.0.0.1/24"], "control": "te.sock"}


def test_options_of_the_command() -> None:
    assert load_endpoint(REQUIRED)[0].tuning == Tuning()
    given = {"timestamps": "off", "sack": "OFF", "window_scale": "off", "ecn": "on", "congestion": "Reno"}
    config, _ = load_endpoint(REQUIRED | given)
    assert config.tuning == Tuning(
        timestamps=False, sack=False, window_scale=False, ecn=Ecn.ON, congestion="reno"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["timestamps", "sack", "window_scale", "ecn", "congestion"])
def test_mistakes_in_options(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')}: 'maybe' is none of "):
        load_endpoint(REQUIRED | {name: "maybe"})
