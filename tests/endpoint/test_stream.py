"""Data: READ and WRITE with their flags, the window that follows the reader, and what is asked about both."""

from __future__ import annotations

import errno

import pytest

from tests.endpoint.rig import Rig, Sent


@pytest.mark.conformance("packetdrill:blocking/blocking-read")
def test_read_blocks_until_there_is_data(rig: Rig) -> None:
    fd = rig.accepted()
    reading = rig.begin(f"READ {fd} 100")
    assert reading.answer is None
    rig.gets("PA", 1, 1, length=10)
    assert reading.pair == (10, 0)


@pytest.mark.parametrize("how", ["flag", "nonblocking"])
def test_read_without_data(rig: Rig, how: str) -> None:
    fd = rig.accepted()
    if how == "nonblocking":
        rig.done(f"FCNTL {fd} F_SETFL 2048")
    assert rig.ask(f"READ {fd} 100 {'MSG_DONTWAIT' if how == 'flag' else ''}") == (-1, errno.EAGAIN)


@pytest.mark.conformance("smoltcp:peek_slice")
def test_read_flags(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("PA", 1, 1, length=100)
    assert rig.done(f"READ {fd} 60 MSG_PEEK") == 60
    assert rig.done(f"READ {fd} 1000 2") == 100
    assert rig.done(f"IOCTL {fd} SIOCINQ") == 100
    assert rig.done(f"READ {fd} 30 MSG_TRUNC") == 30
    whole = rig.begin(f"READ {fd} 100 MSG_WAITALL")
    assert whole.answer is None
    rig.gets("PA", 101, 1, length=20)
    assert whole.answer is None
    rig.gets("PA", 121, 1, length=20)
    assert whole.pair == (100, 0)
    assert rig.done(f"IOCTL {fd} 0x541B") == 10
    assert rig.done(f"READ {fd} 50 MSG_WAITALL|MSG_DONTWAIT") == 10
    assert rig.ask(f"READ {fd} 5 MSG_OOB") == (-1, errno.EINVAL)


@pytest.mark.conformance("rfc9293:MUST-30", "rfc9293:MUST-32", "rfc9293:MUST-33")
def test_urgent_data_is_told_and_read_in_line(rig: Rig) -> None:
    """POLLPRI from when the peer says so, before the data comes, until the last byte of it is read."""
    fd = rig.accepted()
    told = rig.begin(f"POLL {fd} POLLPRI 500")
    assert told.answer is None
    rig.gets("UA", 1, 1, urgptr=25)
    assert told.pair == (2, 0)
    assert rig.info(fd)["urgent"] == 25
    rig.gets("UPA", 1, 1, length=20, urgptr=25)
    assert rig.done(f"READ {fd} 15") == 15
    assert (rig.info(fd)["unread"], rig.info(fd)["urgent"]) == (5, 10)
    rig.gets("PA", 21, 1, length=20)
    assert rig.done(f"READ {fd} 9") == 9
    assert rig.info(fd)["urgent"] == 1
    assert rig.done(f"POLL {fd} POLLPRI|POLLIN 0") == 1 | 2
    assert rig.done(f"READ {fd} 1") == 1
    assert rig.done(f"POLL {fd} POLLPRI|POLLIN 0") == 1
    assert (rig.info(fd)["unread"], rig.info(fd)["urgent"]) == (15, 0)
    rig.gets("UFA", 41, 1, length=3, urgptr=3)
    assert (rig.info(fd)["unread"], rig.info(fd)["urgent"]) == (18, 18)
    assert rig.done(f"READ {fd} 100") == 18
    assert rig.done(f"READ {fd} 100") == 0
    assert rig.info(fd)["urgent"] == 0


def test_read_waits_for_all_until_the_stream_ends(rig: Rig) -> None:
    fd = rig.accepted()
    whole = rig.begin(f"READ {fd} 100 MSG_WAITALL")
    rig.gets("PA", 1, 1, length=20)
    rig.gets("FA", 21, 1)
    assert whole.pair == (20, 0)
    assert rig.done(f"READ {fd} 100") == 0
    assert rig.done(f"IOCTL {fd} SIOCINQ") == 0


@pytest.mark.conformance("packetdrill:ioctl/ioctl-siocinq-fin", "smoltcp:rx_close_fin")
def test_ioctl_siocinq_fin(rig: Rig) -> None:
    """packetdrill's name: the FIN is not counted."""
    fd = rig.accepted()
    rig.gets("PA", 1, 1, length=20)
    rig.gets("FA", 21, 1)
    assert rig.done(f"IOCTL {fd} SIOCINQ") == 20


@pytest.mark.conformance("smoltcp:rx_close_rst")
def test_read_after_a_reset_has_first_the_data(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("PA", 1, 1, length=20)
    rig.gets("R", 21)
    assert rig.done(f"READ {fd} 100") == 20
    assert rig.ask(f"READ {fd} 100") == (-1, errno.ECONNRESET)
    assert rig.ask(f"READ {fd} 100") == (0, 0)


def test_read_that_blocks_hears_of_the_reset(rig: Rig) -> None:
    fd = rig.accepted()
    reading = rig.begin(f"READ {fd} 100")
    rig.gets("R", 1)
    assert reading.pair == (-1, errno.ECONNRESET)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)


def test_write_after_a_reset(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("R", 1)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.ECONNRESET)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)


def test_a_reset_after_the_peers_fin_is_a_broken_pipe(rig: Rig) -> None:
    fd = rig.accepted()
    rig.gets("FA", 1, 1)
    rig.gets("R", 2)
    assert rig.done(f"READ {fd} 1") == 0
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)


def test_unconnected(rig: Rig) -> None:
    fd = rig.done("SOCKET 2 1 6")
    assert rig.ask(f"READ {fd} 1") == (-1, errno.ENOTCONN)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.EPIPE)
    assert rig.ask(f"SHUTDOWN {fd} 1") == (-1, errno.ENOTCONN)
    assert rig.ask(f"PEERIP {fd}") == (-1, errno.ENOTCONN)
    assert rig.done(f"POLL {fd} POLLIN|POLLOUT 0") == 4 | 16
    assert rig.state(fd) == "CLOSED"


@pytest.mark.conformance(
    "packetimpact:QueueSendInSynSentHandshake",
    "packetimpact:QueueRecvInSynSentHandshake",
    "packetimpact:QueueSendInSynSentRST",
    "packetimpact:QueueRecvInSynSentRST",
)
@pytest.mark.parametrize("call", ["READ {} 5", "WRITE {} 5"])
@pytest.mark.parametrize("outcome", ["established", "reset"])
def test_calls_in_syn_sent_wait_for_the_handshake(rig: Rig, call: str, outcome: str) -> None:
    """As gVisor's QueueSendInSynSent and QueueRecvInSynSent."""
    fd = rig.done("SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6")
    rig.begin(f"CONNECT {fd} 10.0.0.2 9000")
    rig.our_port, rig.their_port, rig.iss = rig.take()[0]["TCP"].sport, 9000, rig.info(fd)["iss"]
    assert rig.ask(call.format(fd)) == (-1, errno.EAGAIN)
    rig.done(f"FCNTL {fd} F_SETFL 0")
    waiting = rig.begin(call.format(fd))
    assert waiting.answer is None
    if outcome == "reset":
        rig.gets("RA", 0, 1)
        assert waiting.pair == (-1, errno.ECONNREFUSED)
        return
    answers = rig.gets("SA", 0, 1)
    assert answers[0] == Sent("A", 1, 1)
    if call.startswith("READ"):
        rig.gets("PA", 1, 1, length=5)
    else:
        assert answers[1:] == [Sent("PA", 1, 1, 5)]
    assert waiting.pair == (5, 0)


def test_write_sends_zeros_in_segments(rig: Rig) -> None:
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    assert rig.done(f"WRITE {fd} 3000") == 3000
    assert rig.sent() == [Sent("A", 1, 1, 1460), Sent("A", 1461, 1, 1460), Sent("PA", 2921, 1, 80)]
    assert rig.done(f"IOCTL {fd} SIOCOUTQ") == 3000
    rig.gets("A", 1, 2921)
    assert rig.done(f"IOCTL {fd} SIOCOUTQ") == 80
    assert rig.done(f"WRITE {fd} 0") == 0


@pytest.mark.conformance("packetdrill:blocking/blocking-write")
def test_write_blocks_on_a_full_send_buffer(rig: Rig) -> None:
    fd = rig.accepted("SOL_TCP TCP_NODELAY 1")
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_SNDBUF 5000")
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_SNDBUF") == 10_000
    writing = rig.begin(f"WRITE {fd} 8000")
    assert writing.answer is None
    assert [sent.length for sent in rig.sent()] == [1460, 1460, 1460, 620]
    assert rig.ask(f"WRITE {fd} 10 MSG_DONTWAIT") == (-1, errno.EAGAIN)
    assert rig.done(f"POLL {fd} POLLOUT 0") == 0
    rig.gets("A", 1, 2921)
    assert writing.answer is None
    rig.gets("A", 1, 5001)
    assert writing.pair == (8000, 0)
    assert rig.done(f"WRITE {fd} 9000 MSG_DONTWAIT|MSG_NOSIGNAL") == 2000


def test_a_blocked_write_that_is_reset_tells_how_much_was_taken(rig: Rig) -> None:
    fd = rig.accepted()
    rig.done(f"SETSOCKOPT {fd} SOL_SOCKET SO_SNDBUF 5000")
    writing = rig.begin(f"WRITE {fd} 8000")
    rig.gets("R", 1)
    assert writing.pair == (5000, 0)
    assert rig.ask(f"WRITE {fd} 1") == (-1, errno.ECONNRESET)


@pytest.mark.conformance("packetimpact:ZeroReceiveWindow", "rfc9293:MUST-39")
def test_the_window_follows_the_reader(rig: Rig) -> None:
    """As gVisor's TCPZeroReceiveWindow: it shuts byte by byte, and opens with a segment of its own."""
    fd = rig.accepted("SOL_SOCKET SO_RCVBUF 4096")
    assert rig.done(f"GETSOCKOPT {fd} SOL_SOCKET SO_RCVBUF") == 8192
    info = rig.info(fd)
    assert info["rcv_wnd"] == 4096
    for seq, left in ((1, 3096), (1001, 2096), (2001, 1096), (3001, 96)):
        rig.gets("PA", seq, 1, length=1000)
        rig.advance(300)
        assert rig.info(fd)["rcv_wnd"] == left
    rig.sent()
    assert rig.done(f"READ {fd} 1000") == 1000
    assert rig.sent() == []
    assert rig.done(f"READ {fd} 1000") == 1000
    assert rig.sent() == [Sent("A", 1, 4001)]
    assert rig.info(fd)["rcv_wnd"] == 2096


def test_reset_goes_before_everything(rig: Rig) -> None:
    fd = rig.accepted()
    reading = rig.begin(f"READ {fd} 10")
    listener = rig.done("SOCKET 2 1 6")
    rig.done(f"BIND {listener} 0 7")
    rig.done(f"LISTEN {listener} 1")
    assert rig.ask("RESET") == (0, 0)
    assert rig.sent() == [Sent("RA", 1, 1)]
    assert reading.pair == (-1, errno.EBADF)
    assert rig.ask(f"READ {fd} 10") == (-1, errno.EBADF)
    assert rig.done("SOCKET 2 1 6") == 101
    rig.our_port = 7
    assert rig.gets("S", 0) == [Sent("RA", 0, 1)]


def test_poll(rig: Rig) -> None:
    listener = rig.listening()
    assert rig.done(f"POLL {listener} POLLIN 0") == 0
    waiting = rig.begin(f"POLL {listener} POLLIN -1")
    rig.shakes_hands()
    assert waiting.pair == (1, 0)
    fd = rig.done(f"ACCEPT {listener}")
    assert rig.done(f"POLL {fd} POLLIN|POLLOUT 0") == 4
    in_time = rig.begin(f"POLL {fd} POLLIN 500")
    rig.advance(499)
    assert in_time.answer is None
    rig.advance(1)
    assert in_time.pair == (0, 0)
    rig.gets("PA", 1, 1, length=1)
    assert rig.done(f"POLL {fd} POLLIN|POLLRDNORM|POLLOUT|POLLRDHUP 0") == 1 | 4 | 0x40
    rig.gets("FA", 2, 1)
    assert rig.done(f"POLL {fd} POLLIN|POLLRDHUP 0") == 1 | 0x2000
    rig.gets("R", 3)
    assert rig.done(f"POLL {fd} POLLIN 0") == 1 | 8 | 16
    assert rig.done("POLL 999 POLLIN 0") == 0x20


def test_a_poll_that_times_out_does_not_see_what_comes_later(rig: Rig) -> None:
    """Both within one ADVANCE: the timeout comes first."""
    fd = rig.done("SOCKET 2 SOCK_STREAM|SOCK_NONBLOCK 6")
    rig.done(f"SETSOCKOPT {fd} SOL_TCP TCP_SYNCNT 1")
    rig.ask(f"CONNECT {fd} 10.0.0.2 9000")
    early, late = rig.begin(f"POLL {fd} POLLOUT 2000"), rig.begin(f"POLL {fd} POLLOUT 20000")
    rig.advance(10_000)
    assert early.pair == (0, 0)
    assert late.pair == (4 | 8 | 16, 0)


@pytest.mark.conformance("packetimpact:Retransmits")
@pytest.mark.conformance("packetimpact:TCPInfo")
def test_info(rig: Rig) -> None:
    fd = rig.connected()
    rig.done(f"WRITE {fd} 2000")
    rig.sent()
    rig.advance(100)
    rig.gets("A", 1, 1461)
    info = rig.info(fd)
    assert info["state"] == "ESTABLISHED"
    assert (info["snd_una"] - info["iss"], info["snd_nxt"] - info["iss"]) == (1461, 2001)
    assert (info["unacked"], info["unsent"], info["mss"], info["snd_wnd"]) == (540, 0, 1460, 65_535)
    assert info["rto_us"] >= 200_000
    assert info["srtt_us"] > 0
    assert info["retransmits"] == 0
    rig.advance(1000)
    assert rig.info(fd)["retransmits"] >= 1
    assert rig.info(fd)["timeouts"] >= 1
    assert rig.info(fd)["cwnd"] <= 2 * 1460
    assert set(info) >= {"rcv_nxt", "rcv_wnd", "cwnd", "ssthresh", "options", "error", "unread"}
