"""Opening a connection, as other suites test it: RFC 9293 sections 3.5 and 3.10.7.1 to 3.10.7.4, whole state by whole state."""

from __future__ import annotations

import pytest

from tcp.application import close
from tcp.events import (
    EV_ACKED,
    EV_CLOSED,
    EV_DATA,
    EV_DOUBT,
    EV_DUPLICATE,
    EV_ESTABLISHED,
    EV_FIN,
    EV_RESET,
    EV_RETRANSMIT,
    EV_RST_DUE,
    EV_SYN,
    EV_TIMEOUT,
    EV_UNACCEPTABLE,
)
from tcp.open import listen
from tcp.reset import reset_for
from tests.tcp.builders import IRS, ISS, LOCAL, MSS, PEER, Endpoint, Sent, at, bits, ours, sent_of, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance
SYN = Sent("S", ISS, 0, mss=MSS)
SYN_ACK = Sent("SA", ISS, theirs(1), mss=MSS)
ACK = Sent("A", ours(1), theirs(1))


def refuses(flags: str, seq: int, ack: int, payload: int = 0, state: str = "CLOSED") -> Sent | None:
    """The RST for a segment that comes in *state*, which changes nothing else."""
    story = Story(state)
    story.gets(flags, seq, ack, payload).then(EV_RST_DUE | (EV_UNACCEPTABLE if state == "SYN_SENT" else 0))
    return sent_of(story.endpoint.out) if reset_for(story.endpoint.segment, story.endpoint.out) else None


@conformance("smoltcp:closed_reject", "smoltcp:closed_reject_after_listen", "lwip:gen_rst_in_CLOSED")
@pytest.mark.parametrize(
    ("flags", "payload", "reset"),
    [
        ("S", 0, Sent("RA", 0, theirs(1))),
        ("SF", 5, Sent("RA", 0, theirs(7))),
        ("", 3, Sent("RA", 0, theirs(3))),
        ("PA", 3, Sent("R", ours(1), 0)),
        ("FA", 0, Sent("R", ours(1), 0)),
    ],
)
def test_closed_any_segment_is_reset(flags: str, payload: int, reset: Sent) -> None:
    assert refuses(flags, theirs(0), ours(1), payload) == reset


@conformance("smoltcp:closed_close", "smoltcp:closed_timeout", "lwip:new_abort")
def test_closed_application_and_time_do_nothing() -> None:
    story = Story("CLOSED")
    story.does(story.endpoint.timer).then()
    story.aborts().then(None)
    story.queues(10).then()
    assert story.endpoint.conn.deadline == 0


@conformance("smoltcp:listen", "smoltcp:listen_sanity", "smoltcp:listen_syn", "lwip:listen_passive_open", "rfc9293:MUST-4")
def test_listen_syn_is_answered_once() -> None:
    endpoint = Endpoint().accept(wnd=4000, mss=400)
    fields = endpoint.snapshot()
    assert {name: fields[name] for name in ("snd_una", "snd_nxt", "snd_end", "iss", "rcv_nxt", "snd_wnd", "rcv_wnd", "mss")} == {
        "snd_una": ISS, "snd_nxt": ISS, "snd_end": ours(1), "iss": ISS, "rcv_nxt": theirs(1), "snd_wnd": 4000, "rcv_wnd": 65535,
        "mss": 400,
    }  # fmt: skip
    story = Story(endpoint=endpoint)
    story.does(lambda: 0).then(0, SYN_ACK, snd_nxt=ours(1), deadline=1001, bits="+TIMED")
    assert (endpoint.conn.local_ip, endpoint.conn.local_port, endpoint.conn.peer_ip, endpoint.conn.peer_port) == (*LOCAL, *PEER)


@conformance("smoltcp:listen_syn_reject_ack", "lwip:gen_rst_in_LISTEN", "smoltcp:listen_rst", "smoltcp:listen_timeout")
@pytest.mark.parametrize(
    ("flags", "reset"), [("A", True), ("SA", True), ("FA", True), ("R", False), ("RA", False), ("SR", False)]
)
def test_listen_acks_are_reset_and_resets_ignored(flags: str, reset: bool) -> None:
    """A listener has no record: nothing of it changes, and nothing of it has a deadline."""
    endpoint = Endpoint()
    endpoint._fill(flags, theirs(0), ours(7), 0, 65535, 0)
    assert listen(endpoint.segment) == (EV_RST_DUE if reset else 0)
    assert reset_for(endpoint.segment, endpoint.out) == reset
    if reset:
        assert sent_of(endpoint.out) == Sent("R", ours(7), 0)


@conformance("smoltcp:listen_syn_tiny_mss_is_clamped", "smoltcp:listen_syn_zero_mss_is_ignored")
@pytest.mark.parametrize(("option", "size"), [(1, 48), (47, 48), (49, 49), (0, 536)])
def test_listen_mss_decides_what_data_is_cut_to(option: int, size: int) -> None:
    """RFC 9293 section 3.7.1, MUST-15 and MUST-16."""
    endpoint = Endpoint().accept(mss=option)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(2 * size)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), size), Sent("PA", ours(1 + size), theirs(1), size)]


@conformance("smoltcp:connect_synack_tiny_mss_is_clamped", "smoltcp:connect_synack_zero_mss_is_ignored", "rfc9293:MUST-15.1")
@pytest.mark.parametrize(("option", "size"), [(1, 48), (47, 48), (49, 49), (0, 536)])
def test_syn_sent_mss_decides_what_data_is_cut_to(option: int, size: int) -> None:
    story = Story("SYN_SENT")
    story.gets("SA", theirs(0), ours(1), mss=option)
    story.endpoint.queue(2 * size)
    assert story.endpoint.sends() == [Sent("A", ours(1), theirs(1), size), Sent("PA", ours(1 + size), theirs(1), size)]


@conformance("smoltcp:syn_received_ack", "smoltcp:three_way_handshake")
def test_syn_received_ack_establishes() -> None:
    story = Story("SYN_RECEIVED")
    story.endpoint.now += 64
    story.gets("A", theirs(1), ours(1), wnd=3000).then(
        EV_ESTABLISHED | EV_ACKED, state="ESTABLISHED", snd_una=ours(1), snd_wnd=3000, bits="-TIMED", deadline=0, srtt=1,
        rttvar=1, rto=200,
    )  # fmt: skip


@conformance("packetimpact:AcceptableAckInSynRcvd", "smoltcp:syn_received_ack_too_low", "smoltcp:syn_received_ack_too_high")
@conformance("lwip:gen_rst_in_SYN_RCVD")
@pytest.mark.parametrize("ack", [-70_000, -1, 0, 2, 1 << 30])
@pytest.mark.parametrize("payload", [0, 10])
def test_syn_received_ack_of_something_else_is_reset(ack: int, payload: int) -> None:
    story = Story("SYN_RECEIVED")
    story.gets("A", theirs(1), ours(ack), payload).then(EV_RST_DUE)
    assert reset_for(story.endpoint.segment, story.endpoint.out)
    assert sent_of(story.endpoint.out) == Sent("R", ours(ack), 0)


@conformance("smoltcp:syn_received_fin")
def test_syn_received_ack_with_data_and_fin() -> None:
    story = Story("SYN_RECEIVED")
    story.gets("FPA", theirs(1), ours(1), 6).then(
        EV_ESTABLISHED | EV_ACKED | EV_DATA | EV_FIN, Sent("A", ours(1), theirs(8)), state="CLOSE_WAIT", snd_una=ours(1),
        rcv_nxt=theirs(8), rcv_wnd=65529, bits="-TIMED", deadline=0, srtt=1, rttvar=1, rto=200,
    )  # fmt: skip


@conformance("smoltcp:syn_received_rst", "lwip:receive_rst_SYN_RCVD_to_LISTEN", "packetimpact:TCPSynRcvdReset", "rfc9293:MUST-11")
def test_syn_received_rst_ends_it_in_silence() -> None:
    """Whoever listens does so still; the record is free for the next SYN. MUST-11: which open it was, CLIENT tells."""
    story = Story("SYN_RECEIVED")
    story.gets("R", theirs(1)).then(EV_RESET | EV_CLOSED, state="CLOSED", deadline=0)
    story = Story(endpoint=story.endpoint.accept(mss=MSS))
    story.does(lambda: 0).then(0, SYN_ACK, snd_nxt=ours(1), deadline=1001, bits="+TIMED")


@conformance("packetimpact:TCPSynSentRcvdReset", "smoltcp:syn_sent_syn_received_rst", "rfc9293:MUST-11")
def test_syn_received_after_syn_sent_rst_refuses() -> None:
    story = Story("SYN_SENT")
    story.gets("S", IRS, mss=MSS).then(EV_SYN, SYN_ACK, state="SYN_RECEIVED", rcv_nxt=theirs(1), snd_wnd=65535)
    assert story.endpoint.conn.bits & 1
    story.gets("R", theirs(1)).then(EV_RESET | EV_CLOSED, state="CLOSED", deadline=0)


@conformance("smoltcp:syn_sent_syn_received_ack", "rfc9293:MUST-10")
def test_syn_sent_simultaneous_open() -> None:
    story = Story("SYN_SENT")
    story.gets("S", IRS, mss=MSS).then(EV_SYN, SYN_ACK, state="SYN_RECEIVED", rcv_nxt=theirs(1), snd_wnd=65535)
    story.gets("SA", IRS, ours(1), wnd=5000, mss=MSS).then(
        EV_ESTABLISHED | EV_ACKED, state="ESTABLISHED", snd_una=ours(1), snd_wnd=5000, bits="-TIMED", deadline=0, srtt=1,
        rttvar=1, rto=200,
    )  # fmt: skip


@conformance("smoltcp:syn_received_close")
def test_syn_received_close_waits_for_the_handshake() -> None:
    story = Story("SYN_RECEIVED")
    story.closes().then(None, bits="+FIN_QUEUED")
    story.gets("A", theirs(1), ours(1)).then(
        EV_ESTABLISHED | EV_ACKED, Sent("FA", ours(1), theirs(1)), state="FIN_WAIT_1", snd_una=ours(1), snd_nxt=ours(2),
        bits="-TIMED", deadline=201, srtt=1, rttvar=1, rto=200,
    )  # fmt: skip


@conformance("smoltcp:connect", "lwip:connect_active_open", "rfc9293:SHLD-5.1", "rfc9293:MAY-3", "rfc9293:MUST-14")
def test_closed_connect_sends_a_syn() -> None:
    story = Story(endpoint=Endpoint())
    story.does(lambda: (story.endpoint.connect(), 0)[1]).then(
        0, SYN, state="SYN_SENT", local_ip=LOCAL[0], local_port=LOCAL[1], peer_ip=PEER[0], peer_port=PEER[1], iss=ISS,
        snd_una=ISS, snd_nxt=ours(1), snd_end=ours(1), rcv_wnd=65535, mss=MSS, rto=1000, deadline=1001, bits="+CLIENT +TIMED",
    )  # fmt: skip


@conformance("smoltcp:syn_sent_syn_ack", "smoltcp:syn_sent_sanity", "smoltcp:three_way_handshake")
def test_syn_sent_syn_ack_establishes() -> None:
    story = Story("SYN_SENT")
    story.gets("SA", theirs(0), ours(1), wnd=4096, mss=600).then(
        EV_ESTABLISHED | EV_ACKED, ACK, state="ESTABLISHED", snd_una=ours(1), rcv_nxt=theirs(1), snd_wnd=4096, mss=600,
        bits="-TIMED", deadline=0, srtt=1, rttvar=1, rto=200,
    )  # fmt: skip


@conformance("smoltcp:syn_sent_syn_ack_not_incremented", "smoltcp:syn_sent_bad_ack", "smoltcp:syn_sent_bad_ack_seq_1")
@conformance("smoltcp:syn_sent_bad_ack_seq_2", "lwip:gen_rst_in_SYN_SENT_ackseq", "lwip:gen_rst_in_SYN_SENT_non_syn_ack")
@pytest.mark.parametrize("flags", ["SA", "A", "PA", "FA"])
@pytest.mark.parametrize("ack", [-70_000, -1, 0, 2, 100])
def test_syn_sent_ack_of_something_never_sent_is_reset(flags: str, ack: int) -> None:
    assert refuses(flags, theirs(0), ours(ack), state="SYN_SENT") == Sent("R", ours(ack), 0)


@conformance("smoltcp:syn_sent_rst", "packetimpact:TCPSynSentReset", "rfc9293:MUST-12")
def test_syn_sent_rst_refuses() -> None:
    story = Story("SYN_SENT")
    story.gets("RA", theirs(0), ours(1)).then(EV_RESET | EV_CLOSED, state="CLOSED", deadline=0)


@conformance("smoltcp:syn_sent_rst_no_ack", "smoltcp:syn_sent_rst_bad_ack")
@pytest.mark.parametrize(("flags", "ack"), [("R", 0), ("R", 1), ("RA", 0), ("RA", 2), ("RA", -1)])
def test_syn_sent_rst_without_the_right_ack_is_ignored(flags: str, ack: int) -> None:
    Story("SYN_SENT").gets(flags, theirs(0), ours(ack)).then(EV_UNACCEPTABLE)


@conformance("smoltcp:syn_sent_close", "packetdrill:close/close-on-syn-sent")
def test_syn_sent_close_is_silent() -> None:
    story = Story("SYN_SENT")
    story.closes().then(None, state="CLOSED", deadline=0)


@conformance("lwip:rto_timeout_syn_sent_link_down", "rfc9293:MUST-22")
@pytest.mark.parametrize("down", [False, True])
def test_syn_sent_gives_up_whether_its_syns_leave_or_not(down: bool) -> None:
    """Down: the device takes nothing, so that next_segment is never asked."""
    endpoint = at("SYN_SENT", syn_retries=3)
    began = endpoint.now
    for _ in range(3):
        assert endpoint.expire() == EV_RETRANSMIT | (EV_DOUBT if endpoint.conn.retries == 3 else 0)
        if not down:
            assert endpoint.sends() == [SYN._replace(rexmit=1)]
    assert endpoint.expire() == EV_CLOSED | EV_TIMEOUT
    assert (endpoint.state, endpoint.conn.deadline) == ("CLOSED", 0)
    assert 15_000_000 <= endpoint.now - began <= 15_010_000


@conformance("smoltcp:send_data_after_syn_ack_retransmit")
def test_syn_received_data_after_a_repeated_syn_ack() -> None:
    story = Story("SYN_RECEIVED")
    story.expires().then(EV_RETRANSMIT, SYN_ACK._replace(rexmit=1), retries=1, rto=2000, deadline=2001, bits="-TIMED +COLD_READY")
    story.gets("A", theirs(1), ours(1)).then(
        EV_ESTABLISHED | EV_ACKED, state="ESTABLISHED", snd_una=ours(1), retries=0, rto=3000, deadline=0
    )
    story.queues(6).then(
        6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=3001, bits="+TIMED"
    )  # RFC 6298 section 5.7


@conformance("smoltcp:listen_syn", "rfc9293:MUST-42", "rfc9293:MUST-41")
def test_syn_received_twice_from_two_peers() -> None:
    """The second SYN for a port makes a connection of its own: nothing of the first one changes."""
    one = Story("SYN_RECEIVED")
    before = one.endpoint.snapshot()
    two = Endpoint(iss=IRS).accept(seq=ISS, mss=MSS)
    assert two.sends() == [Sent("SA", IRS, ours(1), mss=MSS)]
    assert one.endpoint.changed(before) == {}


@conformance("packetimpact:TCPHandshakeWindowSize")
def test_listen_window_of_the_syn_limits_the_first_data() -> None:
    endpoint = Endpoint().accept(wnd=10, mss=MSS)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1), wnd=10)
    endpoint.queue(100)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), 10)]


@conformance("smoltcp:listen_close")
def test_listen_closed_again_leaves_a_closed_port() -> None:
    """A listener is no record: without one its SYN is answered as any for a closed port."""
    endpoint = Endpoint()
    endpoint.segment.tcp_flags = bits("S")
    assert listen(endpoint.segment) == EV_SYN
    assert refuses("S", theirs(0), 0) == Sent("RA", 0, theirs(1))
    close(endpoint.conn)
    assert endpoint.state == "CLOSED"


@conformance("smoltcp:syn_received_ack", "rfc9293:MUST-4")
def test_syn_received_syn_once_more() -> None:
    story = Story("SYN_RECEIVED")
    story.gets("S", IRS, mss=MSS).then(EV_UNACCEPTABLE | EV_DUPLICATE, SYN_ACK._replace(rexmit=1), bits="-TIMED")
