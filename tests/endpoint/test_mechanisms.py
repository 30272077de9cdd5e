"""What an option or a flag of a socket makes TCP do, and what of TCP is there without asking."""

from __future__ import annotations

import errno

import pytest
from scapy.layers.inet import ICMP, IP, TCP

from tests.endpoint.rig import OURS, ROUTER, THEIRS, Rig, Sent

WSCALE, SACK, TIMESTAMPS = ("WScale", 7), ("SAckOK", b""), ("Timestamp", (100, 0))
ALL = [("MSS", 1460), SACK, TIMESTAMPS, ("NOP", None), WSCALE]


def lengths(sent: list[Sent]) -> list[int]:
    return [segment.length for segment in sent]


def test_nagle_holds_what_fills_no_segment(rig: Rig) -> None:
    fd = rig.accepted()
    for _ in range(3):
        rig.done(f"WRITE {fd} 100")
    assert lengths(rig.sent()) == [100]
    assert rig.gets("A", 1, 101) == [Sent("PA", 101, 1, 200)]


@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_nodelay(rig: Rig, when: str) -> None:
    fd = rig.accepted()
    if when == "before":
        rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_NODELAY 1")
    rig.done(f"WRITE {fd} 100")
    rig.done(f"WRITE {fd} 100")
    if when == "afterwards":
        assert lengths(rig.sent()) == [100]
        rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_NODELAY 1")
        assert lengths(rig.sent()) == [100]
    else:
        assert lengths(rig.sent()) == [100, 100]


def test_cork_holds_until_it_is_pulled(rig: Rig) -> None:
    """As gVisor's TCPCorkMSS."""
    fd = rig.accepted("SOL_TCP TCP_CORK 1")
    rig.done(f"WRITE {fd} 1000")
    assert rig.sent() == []
    rig.done(f"WRITE {fd} 1000")
    assert lengths(rig.sent()) == [1460]
    rig.gets("A", 1, 1461)
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_CORK 0")
    assert lengths(rig.sent()) == [540]


@pytest.mark.parametrize("options", [[], [("SAckOK", b"")]], ids=["newreno", "sack"])
def test_a_cork_does_not_hold_what_has_left_before(rig: Rig, options: list[tuple[str, bytes]]) -> None:
    """After 200 ms nothing is held any longer; when that is lost, it is sent again."""
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_TCP TCP_CORK 1")
    rig.gets("S", 0, options=[("MSS", 1460), *options])
    rig.gets("A", 1, 1)
    rig.done(f"WRITE {rig.done(f'ACCEPT {listener}')} 100")
    rig.advance(150)
    assert rig.sent() == []
    for ms in (150, 250, 400):
        rig.advance(ms)
        assert rig.sent() == [Sent("PA", 1, 1, 100)]


def test_msg_more_holds_until_a_write_without_it(rig: Rig) -> None:
    """packetdrill's sendmsg_msg_more."""
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 100 MSG_MORE")
    rig.done(f"WRITE {fd} 100 MSG_MORE")
    assert rig.sent() == []
    rig.done(f"WRITE {fd} 100")
    assert rig.sent() == [Sent("PA", 1, 1, 300)]


def test_msg_more_holds_until_the_next_event(rig: Rig) -> None:
    """Unlike TCP_CORK, it is about one WRITE: the next ACK lets go what is held. A WRITE of nothing does not."""
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 1500 MSG_MORE")
    assert lengths(rig.sent()) == [1460]
    assert rig.done(f"WRITE {fd} 0") == 0
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_RCVLOWAT 1")
    assert rig.sent() == []
    assert rig.gets("A", 1, 1461) == [Sent("PA", 1461, 1, 40)]


def test_acks_are_delayed(rig: Rig) -> None:
    rig.accepted()
    assert rig.gets("PA", 1, 1, length=100) == []
    rig.advance(500)
    assert rig.sent() == [Sent("A", 1, 101)]
    assert rig.gets("A", 101, 1, length=1460) == []
    assert rig.gets("A", 1561, 1, length=1460) == [Sent("A", 1, 3021)]


def test_quickack(rig: Rig) -> None:
    fd = rig.accepted()
    assert rig.gets("PA", 1, 1, length=100) == []
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_QUICKACK 1")
    assert rig.sent() == [Sent("A", 1, 101)]
    assert rig.gets("PA", 101, 1, length=100) == [Sent("A", 1, 201)]
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_QUICKACK 0")
    assert rig.gets("PA", 201, 1, length=100) == []


def test_out_of_order_data_is_acknowledged_at_once_and_kept(rig: Rig) -> None:
    fd = rig.accepted()
    assert rig.gets("PA", 101, 1, length=100) == [Sent("A", 1, 1)]
    assert rig.done(f"IOCTL {fd} SIOCINQ") == 0
    assert rig.gets("PA", 1, 1, length=100) == [Sent("A", 1, 201)]
    assert rig.done(f"READ {fd} 1000") == 200


def test_a_fin_that_came_early_counts_when_its_turn_comes(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("FA", 101, 1, length=10)
    rig.gets("PA", 1, 1, length=100)
    assert rig.info(fd)["state"] == "CLOSE_WAIT"
    assert (rig.done(f"READ {fd} 1000"), rig.done(f"READ {fd} 1000")) == (110, 0)


@pytest.mark.parametrize(
    ("options", "negotiated"),
    [
        ([("MSS", 1460)], []),
        ([("MSS", 1460), WSCALE], ["window_scale"]),
        ([("MSS", 1460), SACK], ["sack"]),
        (ALL, ["window_scale", "sack", "timestamps"]),
    ],
    ids=["none", "window scale", "sack", "all"],
)
def test_options_are_agreed_on(rig: Rig, options: list[tuple[str, object]], negotiated: list[str]) -> None:
    listener = rig.listening()
    rig.gets("S", 0, options=options)
    stamp = [("Timestamp", (101, 1_000))] if "timestamps" in negotiated else []
    rig.gets("A", 1, 1, options=stamp, window=1000)
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.info(fd)["negotiated"] == negotiated
    assert rig.info(fd)["mss"] == (1448 if stamp else 1460)
    assert rig.info(fd)["snd_wnd"] == (1000 << 7 if "window_scale" in negotiated else 1000)


def test_ecn_is_agreed_on_with_who_asks(rig: Rig) -> None:
    listener = rig.listening()
    assert [sent.flags for sent in rig.gets("SEC", 0)] == ["SAE"]
    rig.gets("A", 1, 1)
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.info(fd)["negotiated"] == ["ecn"]
    rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TOS 0x20")
    rig.done(f"WRITE {fd} 10")
    [frame] = rig.take()
    assert frame[IP].tos & 0xFC == 0x20


def test_a_large_receive_buffer_is_offered_by_scaling(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"SETSOCKOPT {listener} SOL_SOCKET SO_RCVBUF 200000")
    rig.gets("S", 0, options=ALL)
    rig.gets("A", 1, 1, options=[("Timestamp", (101, 1_000))])
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.info(fd)["rcv_wnd"] == 200_000
    rig.done(f"WRITE {fd} 10")
    [frame] = rig.take()
    assert frame[TCP].window == 200_000 >> 2


def test_keepalive(rig: Rig) -> None:
    fd = rig.accepted("SOL_TCP TCP_KEEPIDLE 10", "SOL_TCP TCP_KEEPINTVL 5", "SOL_TCP TCP_KEEPCNT 2")
    rig.advance(60_000)
    assert rig.sent() == []
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_KEEPALIVE 1")
    rig.advance(9_900)
    assert rig.sent() == []
    rig.advance(200)
    assert rig.sent() == [Sent("A", 0, 1)]
    rig.gets("A", 1, 1)
    rig.advance(10_100)
    assert rig.sent() == [Sent("A", 0, 1)]
    rig.advance(10_200)
    assert rig.sent()[-1].flags == "RA"
    assert rig.ask(f"READ {fd} 1") == (-1, errno.ETIMEDOUT)


def test_a_segment_too_large_for_the_path_goes_again_in_smaller_ones(rig: Rig) -> None:
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    rig.done(f"WRITE {fd} 1460")
    assert lengths(rig.sent()) == [1460]
    quoted = IP(src=OURS, dst=THEIRS) / TCP(sport=rig.our_port, dport=rig.their_port, seq=(rig.iss + 1) & 0xFFFFFFFF)
    rig.put(IP(src=ROUTER, dst=OURS) / ICMP(type=3, code=4, nexthopmtu=1000) / bytes(quoted)[:28])
    assert lengths(rig.sent()) == [960, 500]
    assert rig.info(fd)["mss"] == 960


def test_info_tells_of_recovery(rig: Rig) -> None:
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    assert rig.info(fd)["recovering"] == ""
    rig.done(f"WRITE {fd} 10000")
    rig.sent()
    for _ in range(3):
        rig.gets("A", 1, 1)
    assert rig.info(fd)["recovering"] == "loss"
    rig.advance(3000)
    assert rig.info(fd)["recovering"] == "timeout"
