"""Sockets, as other suites test them: opening, closing with SO_LINGER, shutting down, buffers and the IP header."""

from __future__ import annotations

import errno

import pytest
from scapy.layers.inet import IP, TCP

from tests.endpoint.rig import OURS, THEIRS, Rig, Sent

conformance = pytest.mark.conformance


@conformance("smoltcp:listen_validation", "rfc9293:MUST-46.1")
@pytest.mark.parametrize(
    ("address", "error"),
    [("10.0.0.9", errno.EADDRNOTAVAIL), ("10.0.0.255", errno.EADDRNOTAVAIL), ("224.0.0.1", errno.EADDRNOTAVAIL)],
)
def test_closed_listen_at_an_address_that_is_not_ours(rig: Rig, address: str, error: int) -> None:
    fd = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"BIND {fd} {address} 80") == (-1, error)
    assert rig.state(fd) == "CLOSED"
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


@conformance("smoltcp:listen_twice", "rfc9293:MUST-42")
def test_listen_listen_again_and_a_second_listener(rig: Rig) -> None:
    listener = rig.listening()
    rig.done(f"LISTEN {listener} 7")
    assert rig.state(listener) == "LISTEN"
    other = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"BIND {other} {OURS} 80") == (-1, errno.EADDRINUSE)
    rig.shakes_hands()
    assert rig.state(rig.done(f"ACCEPT {listener}")) == "ESTABLISHED"
    rig.shakes_hands(1001)
    assert rig.state(rig.done(f"ACCEPT {listener}")) == "ESTABLISHED"


@conformance("smoltcp:listen_timeout", "smoltcp:listen_close", "smoltcp:closed_reject_after_listen")
def test_listen_lasts_until_it_is_closed(rig: Rig) -> None:
    listener = rig.listening()
    rig.advance(3_600_000)
    assert (rig.state(listener), rig.sent()) == ("LISTEN", [])
    rig.done(f"CLOSE {listener}")
    assert rig.sent() == []
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


@conformance("smoltcp:connect_validation", "rfc9293:MUST-46.2", "rfc9293:MUST-46.1")
@pytest.mark.parametrize("address", ["10.0.0.255", "224.0.0.1", "255.255.255.255"])
def test_closed_connect_to_what_is_no_station(rig: Rig, address: str) -> None:
    fd = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"CONNECT {fd} {address} 80") == (-1, errno.ENETUNREACH)
    assert (rig.state(fd), rig.take()) == ("CLOSED", [])


@conformance("smoltcp:connect_unspecified_local", "rfc9293:MUST-44")
def test_closed_connect_chooses_address_and_port(rig: Rig) -> None:
    fd, _ = rig.connecting()
    assert rig.our_port >= 32_768
    assert rig.state(fd) == "SYN_SENT"


@conformance("smoltcp:connect_specified_local", "rfc9293:MUST-43")
def test_closed_connect_from_where_it_was_told_to(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 1 6")
    rig.done(f"BIND {fd} {OURS} 5555")
    rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    [frame] = rig.take()
    assert (frame[IP].src, frame[TCP].sport, frame[TCP].dport, str(frame[TCP].flags)) == (OURS, 5555, 9000, "S")


@conformance("smoltcp:connect_twice")
def test_syn_sent_connect_again(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6")
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EINPROGRESS)
    assert len(rig.take()) == 1
    assert rig.ask(f"CONNECT {fd} {THEIRS} 9000") == (-1, errno.EALREADY)
    assert (rig.state(fd), rig.take()) == ("SYN_SENT", [])


@conformance("packetimpact:TCPSynSentReset", "packetimpact:TCPSynSentRcvdReset")
@pytest.mark.parametrize("simultaneous", [False, True])
def test_syn_sent_reset_refuses(rig: Rig, simultaneous: bool) -> None:
    fd, asked = rig.connecting()
    if simultaneous:
        assert rig.gets("S", 0) == [Sent("SA", 0, 1)]
        assert rig.state(fd) == "SYN_RECEIVED"
        assert rig.gets("R", 1) == []
    else:
        assert rig.gets("RA", 0, 1) == []
    assert asked.pair == (-1, errno.ECONNREFUSED)
    assert (rig.state(fd), rig.host.connections) == ("CLOSED", {})


@conformance("packetimpact:TCPLingerSendNonZeroTimeout")
def test_established_linger_waits_for_what_was_written(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 5")
    rig.done(f"WRITE {fd} 10")
    assert rig.sent() == [Sent("PA", 1, 1, 10)]
    closing = rig.begin(f"CLOSE {fd}")
    assert rig.sent() == [Sent("FA", 11, 1)]
    assert rig.gets("A", 1, 11) == []
    assert closing.answer is None
    assert rig.gets("A", 1, 12) == []
    assert closing.pair == (0, 0)


@conformance("packetimpact:TCPLingerShutdownSendNonZeroTimeout")
def test_established_linger_after_shutdown_waits_for_what_was_written(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER 5")
    rig.done(f"WRITE {fd} 10")
    rig.done(f"SHUTDOWN {fd} 1")
    assert rig.sent() == [Sent("PA", 1, 1, 10), Sent("FA", 11, 1)]
    closing = rig.begin(f"CLOSE {fd}")
    assert (closing.answer, rig.sent()) == (None, [])
    assert rig.gets("A", 1, 12) == []
    assert closing.pair == (0, 0)


@conformance("packetimpact:TCPLingerNonEstablished")
@pytest.mark.parametrize("seconds", [0, 5])
def test_closed_linger_holds_nothing_up(rig: Rig, seconds: int) -> None:
    fd = rig.done("SOCKET 2 1 6")
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER {seconds}")
    assert rig.ask(f"CLOSE {fd}") == (0, 0)
    fd, _ = rig.connecting()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_LINGER {seconds}")
    assert rig.ask(f"CLOSE {fd}") == (0, 0)
    assert (rig.sent(), rig.host.connections) == ([], {})


@conformance("packetdrill:shutdown/shutdown-wr-close")
def test_established_shutdown_write_then_close(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 1")
    assert rig.sent() == [Sent("FA", 1, 1)]
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == []
    assert rig.gets("A", 1, 2) == []
    assert rig.gets("FA", 1, 2) == [Sent("A", 2, 2)]


@conformance("packetdrill:shutdown/shutdown-rd-wr-close")
def test_established_shutdown_read_then_write_then_close(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 0")
    assert rig.sent() == []
    rig.done(f"SHUTDOWN {fd} 1")
    assert rig.sent() == [Sent("FA", 1, 1)]
    assert rig.gets("A", 1, 2) == []
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == []
    assert rig.gets("FA", 1, 2) == [Sent("A", 2, 2)]


@conformance("packetdrill:shutdown/shutdown-rdwr-close")
def test_established_shutdown_both_then_close(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SHUTDOWN {fd} 2")
    assert rig.sent() == [Sent("FA", 1, 1)]
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == []
    assert rig.gets("FA", 1, 2) == [Sent("A", 2, 2)]


@conformance("packetdrill:shutdown/shutdown-rdwr-send-queue-ack-close")
def test_established_shutdown_both_with_data_in_flight(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"WRITE {fd} 1000")
    assert rig.sent() == [Sent("PA", 1, 1, 1000)]
    rig.done(f"SHUTDOWN {fd} 2")
    assert rig.sent() == [Sent("FA", 1001, 1)]
    assert rig.gets("A", 1, 1001) == []
    assert rig.state(fd) == "FIN_WAIT_1"
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == []
    assert rig.gets("A", 1, 1002) == []
    assert rig.gets("FA", 1, 1002) == [Sent("A", 1002, 2)]


@conformance("packetdrill:shutdown/shutdown-rdwr-write-queue-close")
def test_established_shutdown_both_with_data_that_the_window_holds_back(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("A", 1, 1, window=2920)
    assert rig.done(f"WRITE {fd} 4380") == 4380
    assert rig.sent() == [Sent("A", 1, 1, 1460), Sent("A", 1461, 1, 1460)]
    rig.done(f"SHUTDOWN {fd} 2")
    rig.done(f"CLOSE {fd}")
    assert rig.sent() == []
    assert rig.gets("A", 1, 2921, window=2920) == [Sent("FPA", 2921, 1, 1460)]
    assert rig.gets("FA", 1, 4382) == [Sent("A", 4382, 2)]


@conformance("packetdrill:mss/mss-setsockopt-tcp_maxseg-client")
def test_closed_maxseg_is_what_the_syn_offers(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 1 6")
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_MAXSEG 1000")
    rig.begin(f"CONNECT {fd} {THEIRS} 9000")
    [frame] = rig.take()
    assert dict(frame[TCP].options)["MSS"] == 1000


@conformance("packetimpact:ReduceRecvBuf")
def test_established_a_smaller_receive_buffer_holds_no_more_than_it_says(rig: Rig) -> None:
    """The right edge does not go back (SHLD-14): what it allowed is taken, and nothing beyond it."""
    fd = rig.accepted("SOL_SOCKET SO_RCVBUF 4096")
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_RCVBUF 2304")
    rig.gets("PA", 1, 1, length=1460)
    rig.gets("PA", 1461, 1, length=1460)
    rig.gets("PA", 2921, 1, length=1460)
    rig.advance(300)
    rig.sent()
    assert (rig.info(fd)["rcv_wnd"], rig.done(f"IOCTL {fd} SIOCINQ")) == (0, 4096)
    assert rig.gets("PA", 4097, 1, length=100) == [Sent("A", 1, 4097)]


@conformance("smoltcp:set_hop_limit", "rfc9293:MUST-49")
@pytest.mark.parametrize("ttl", [1, 42, 255])
def test_established_ttl_is_what_it_was_set_to(rig: Rig, ttl: int) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TTL {ttl}")
    rig.done(f"WRITE {fd} 10")
    assert [frame[IP].ttl for frame in rig.take()] == [ttl]


@conformance("smoltcp:set_hop_limit_zero")
@pytest.mark.parametrize("ttl", [0, 256])
def test_established_ttl_that_cannot_be(rig: Rig, ttl: int) -> None:
    fd = rig.accepted()
    assert rig.ask(f"SETSOCKOPT {fd} SOL_IP IP_TTL {ttl}") == (-1, errno.EINVAL)


@conformance("rfc9293:MUST-48", "rfc9293:SHLD-21", "rfc9293:SHLD-22", "rfc9293:SHLD-23")
def test_established_diffserv_field_is_what_it_was_set_to_and_stays_so(rig: Rig) -> None:
    """As it was set, on every segment until it is set again."""
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_NODELAY 1")
    for tos in (0xB8, 0x28):
        rig.done(f"SETSOCKOPT {fd} SOL_IP IP_TOS {tos}")
        for _ in range(3):
            rig.done(f"WRITE {fd} 10")
        assert [frame[IP].tos for frame in rig.take()] == [tos] * 3


@conformance("rfc9293:MUST-25", "rfc9293:MUST-28")
def test_established_keep_alive_is_off_and_waits_two_hours_unless_told(rig: Rig) -> None:
    fd = rig.accepted()
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_KEEPALIVE") == 0
    assert rig.done(f"GETSOCKOPT {fd} SOL_TCP TCP_KEEPIDLE") == 7200
    rig.advance(10_000_000)
    assert (rig.sent(), rig.state(fd)) == ([], "ESTABLISHED")
