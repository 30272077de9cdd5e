"""Retransmission, recovery and the congestion window, as other suites test them: RFC 6298, 5681, 6675, 6937, 8985 and 9438."""

from __future__ import annotations

import pytest

from tcp.application import nodelay
from tcp.congestion import CUBIC, RENO, warm
from tcp.connection import ECN_OK, LOST, RECOVERY, TIMED_OUT, raise_bits
from tcp.events import EV_ACKED, EV_CHALLENGE, EV_CLOSED, EV_DATA, EV_DOUBT, EV_RETRANSMIT, EV_TIMEOUT
from tcp.limits import new_limits
from tests.tcp.builders import MSS, Endpoint, Sent, at, ours, theirs
from tests.tcp.sacking import RTT, Sender
from tests.tcp.story import Story

conformance = pytest.mark.conformance


@conformance("smoltcp:data_retransmit", "smoltcp:timer_retransmit", "smoltcp:retransmit_exponential_backoff", "rfc9293:MUST-19")
def test_established_data_is_sent_again_at_doubling_intervals() -> None:
    story = Story()
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    again = Sent("PA", ours(1), theirs(1), 6, rexmit=1)
    story.expires().then(EV_RETRANSMIT, again, retries=1, rto=400, deadline=401, bits="-TIMED +COLD_READY")
    story.expires().then(EV_RETRANSMIT, again, retries=2, rto=800, deadline=801)
    story.expires().then(EV_RETRANSMIT | EV_DOUBT, again, retries=3, rto=1600, deadline=1601)
    story.gets("A", theirs(1), ours(7)).then(EV_ACKED, snd_una=ours(7), retries=0, deadline=0)


@conformance("rfc9293:SHLD-10", "rfc9293:SHLD-9", "rfc9293:MUST-20.1", "rfc9293:SHLD-11", "rfc9293:MUST-20.2", "rfc9293:MUST-21")
@pytest.mark.parametrize(("retries", "r1"), [(15, 3), (6, 3), (10, 5)])
def test_established_r1_is_told_and_r2_is_the_end(retries: int, r1: int) -> None:
    """R1 of at least 3 retransmissions and R2 of at least 100 seconds, unless the application sets others."""
    defaults = new_limits().record
    assert (int(defaults.r1), int(defaults.retries)) == (3, 15)
    story = Story(retries=retries, r1=r1)
    story.queues(6)
    began = story.endpoint.now
    for count in range(1, retries + 1):
        step = story.expires()
        assert step.events == EV_RETRANSMIT | (EV_DOUBT if count == r1 else 0)
        assert step.sent == [Sent("PA", ours(1), theirs(1), 6, rexmit=1)]
    story.expires().then(EV_CLOSED | EV_TIMEOUT, state="CLOSED", deadline=0)
    assert retries < 15 or story.endpoint.now - began >= 100_000_000


@conformance("smoltcp:data_retransmit_ack_more_than_expected")
def test_established_ack_beyond_what_was_sent_while_data_is_sent_again() -> None:
    story = Story()
    story.queues(6)
    story.expires()
    story.gets("A", theirs(1), ours(100)).then(EV_CHALLENGE, Sent("A", ours(7), theirs(1)))
    story.gets("A", theirs(1), ours(7)).then(EV_ACKED, snd_una=ours(7), retries=0, deadline=0)


@conformance("smoltcp:rtt_estimator", "lwip:rto_tracking", "rfc9293:MUST-18")
def test_established_rto_follows_the_round_trips_and_not_those_of_what_was_sent_again() -> None:
    endpoint = at("ESTABLISHED", rto_min=1)
    sent = 0
    for _ in range(40):
        endpoint.queue(10)
        endpoint.sends()
        endpoint.now += 64_000
        sent += 10
        endpoint.gets("A", theirs(1), ours(1 + sent))
    assert int(endpoint.conn.srtt) == pytest.approx(1000, abs=60)
    settled = int(endpoint.conn.srtt), int(endpoint.conn.rttvar)
    assert 64 < int(endpoint.conn.rto) < 150
    endpoint.queue(10)
    endpoint.sends()
    endpoint.expire()
    assert [one.rexmit for one in endpoint.sends()] == [1]
    endpoint.now += 1_000
    endpoint.gets("A", theirs(1), ours(11 + sent))
    assert (int(endpoint.conn.srtt), int(endpoint.conn.rttvar)) == settled


@conformance("lwip:tx_full_window_lost_from_unsent")
@pytest.mark.parametrize("congestion", [RENO, CUBIC])
def test_established_a_whole_window_is_lost_while_more_waits(congestion: int) -> None:
    """The numbers of the window pass 2^32. What is sent again comes first, and what has waited follows."""
    endpoint = at("ESTABLISHED", congestion=congestion)
    endpoint.gets("A", theirs(1), ours(1), wnd=4 * MSS)
    endpoint.queue(8 * MSS)
    assert [one.seq for one in endpoint.sends()] == [ours(1 + k * MSS) for k in range(4)]
    endpoint.expire()
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), MSS, rexmit=1)]
    for k in (1, 2):
        endpoint.gets("A", theirs(1), ours(1 + k * MSS), wnd=4 * MSS)
        assert all(one.rexmit for one in endpoint.sends())
    endpoint.gets("A", theirs(1), ours(1 + 4 * MSS), wnd=4 * MSS)
    assert [(one.seq, one.rexmit) for one in endpoint.sends()][:1] == [(ours(1 + 4 * MSS), 0)]


@pytest.mark.conformance("lwip:fast_rexmit_wraparound")
@conformance("lwip:fast_retx_recover", "rfc9293:MUST-19")
def test_established_recovery_by_duplicates_across_the_wrap() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(5 * MSS)
    endpoint.sends()
    story = Story(endpoint=endpoint)
    for _ in range(2):
        assert story.gets("A", theirs(1), ours(1)).sent == []
    step = story.gets("A", theirs(1), ours(1))
    assert (step.events, step.sent) == (0, [Sent("A", ours(1), theirs(1), MSS, rexmit=1)])
    assert (endpoint.cold.ssthresh, endpoint.cold.cwnd) == (5 * MSS // 2, 5 * MSS // 2 + 3 * MSS)
    story.gets("A", theirs(1), ours(1 + 5 * MSS))
    assert (endpoint.conn.snd_una, endpoint.conn.snd_nxt, endpoint.conn.deadline) == (ours(1 + 5 * MSS), ours(1 + 5 * MSS), 0)
    assert not endpoint.conn.bits & (RECOVERY | LOST)
    assert endpoint.cold.cwnd <= 5 * MSS // 2


@conformance("smoltcp:data_retransmit_bursts", "lwip:rto_rexmit_wraparound")
def test_established_a_burst_that_is_lost_is_sent_again_as_acks_come() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(6 * MSS)
    assert len(endpoint.sends()) == 6
    story = Story(endpoint=endpoint)
    assert story.expires().sent == [Sent("A", ours(1), theirs(1), MSS, rexmit=1)]
    step = story.gets("A", theirs(1), ours(1 + MSS))
    assert step.sent == [Sent("A", ours(1 + k * MSS), theirs(1), MSS, rexmit=1) for k in (1, 2)]
    step = story.gets("A", theirs(1), ours(1 + 3 * MSS))
    assert [(one.seq, one.rexmit) for one in step.sent] == [(ours(1 + k * MSS), 1) for k in (3, 4, 5)][: len(step.sent)]


@conformance("packetdrill:fast_recovery/prr-ss-30pkt-lost1_4")
def test_established_prr_with_the_first_four_lost() -> None:
    """30 in flight, 1 to 4 lost: they leave again one for each SACK, and what follows is half of what arrives."""
    sender = Sender(congestion=RENO)
    warm(sender.conn, sender.cold)
    sender.cold.cwnd = 30 * MSS
    sender.flight(60)
    assert sender.conn.snd_nxt == ours(1 + 30 * MSS)
    sent: list[str] = []
    for last in range(5, 31):
        sender.acks(0, (5, last))
        sent += sender.leaving()
    assert [one for one in sent if one.endswith("R")] == ["1R", "2R", "3R", "4R"]
    assert int(sender.cold.ssthresh) == int(sender.cold.prior_cwnd) // 2
    outstanding = len([one for one in sent if not one.endswith("R")])
    assert outstanding + 4 <= 15 + 3
    sender.now += RTT
    sender.acks(30 + outstanding)
    assert int(sender.cold.cwnd) == int(sender.cold.ssthresh)
    assert not sender.conn.bits & (RECOVERY | LOST)


@conformance("packetdrill:fast_recovery/prr-ss-ack-below-snd_una-cubic")
def test_established_an_old_ack_in_recovery_lets_nothing_out() -> None:
    """An ACK below SND.UNA, with blocks that are known: no news, and so no credit to send for."""
    sender = Sender(congestion=CUBIC)
    sender.flight(10)
    sender.acks(1)
    sender.leaving()
    sender.acks(1, (3, 6))
    assert sender.leaving()[0] == "2R"
    assert sender.conn.bits & RECOVERY
    before = int(sender.cold.cwnd), int(sender.cold.prr_delivered), int(sender.conn.snd_nxt)
    for _ in range(5):
        assert sender.acks(0, (3, 6)) == 0
        assert sender.leaving() == []
    assert (int(sender.cold.cwnd), int(sender.cold.prr_delivered), int(sender.conn.snd_nxt)) == before


@conformance("packetdrill:fast_retransmit/fr-4pkt-fack-last-mss", "packetdrill:fast_retransmit/fr-4pkt-fack-last-byte")
@pytest.mark.parametrize("first", ["mss", "byte"])
def test_established_only_the_last_of_four_is_sacked(first: str) -> None:
    """What FACK told by the number of segments before it, RACK tells by time: a quarter of the round trip later."""
    sender = Sender()
    sender.flight(4)
    left = ours(1 + 3 * MSS) if first == "mss" else ours(4 * MSS)
    sender.gets("A", theirs(1), ours(1), blocks=((left, ours(1 + 4 * MSS)),))
    assert sender.sends() == []
    began = sender.now
    assert sender.expire() == EV_RETRANSMIT
    assert sender.now - began <= RTT // 4 + 3000
    assert sender.conn.bits & RECOVERY
    sent = sender.sends()
    while len(sent) < 3:
        before = len(sent)
        sender.now += RTT
        sender.gets("A", theirs(1), ours(1 + before * MSS), blocks=((left, ours(1 + 4 * MSS)),))
        sent += sender.sends()
        assert len(sent) > before
    assert [(one.seq, one.rexmit) for one in sent] == [(ours(1 + k * MSS), 1) for k in range(3)]


@conformance(
    "packetdrill:sack/sack-shift-sacked-2-6-8-3-9-nofack", "packetdrill:sack/sack-shift-sacked-7-3-4-8-9-fack",
    "packetdrill:sack/sack-shift-sacked-7-5-6-8-9-fack",
)  # fmt: skip
@pytest.mark.parametrize("order", [(2, 6, 8, 3, 9), (7, 3, 4, 8, 9), (7, 5, 6, 8, 9)])
def test_established_neighbours_that_are_sacked_become_one(order: tuple[int, ...]) -> None:
    sender = Sender()
    sender.flight(10)
    had: set[int] = set()
    again: list[str] = []
    for number in order:
        had.add(number)
        sender.acks(0, (number, number))
        again += [one for one in sender.leaving() if one.endswith("R")]
        found = [(first, last) for first, last, marks in sender.spans() if "S" in marks]
        assert {n for first, last in found for n in range(first, last + 1)} == had
        assert all(after - before > 1 for (_, before), (after, _) in zip(found, found[1:], strict=False))
    assert not {int(one[:-1]) for one in again} & had
    assert sender.board.sacked == len(had) * MSS
    sender.now += RTT
    assert sender.acks(10) == EV_ACKED
    assert sender.cold.board == 0


@conformance("packetdrill:cubic/cubic-rack-reo-timeout-retrans-failed-incoming-data")
def test_established_data_comes_while_what_rack_deems_lost_could_not_leave() -> None:
    """The reordering timer has passed, the device took nothing, and a segment of the peer's comes: both leave after it."""
    sender = Sender()
    sender.flight(4)
    sender.acks(0, (4, 4))
    assert sender.sends() == []
    assert sender.expire() == EV_RETRANSMIT
    assert sender.gets("PA", theirs(1), ours(1), 100, blocks=((ours(1 + 3 * MSS), ours(1 + 4 * MSS)),)) == EV_DATA
    sent = sender.sends()
    assert [(one.seq, one.ack, one.rexmit) for one in sent if one.payload_len][0] == (ours(1), theirs(101), 1)
    assert {one.ack for one in sent} == {theirs(101)}
    assert sender.conn.deadline


@conformance("packetdrill:cubic/cubic-rto-ss-ca-cwnd-bump")
def test_established_after_a_timeout_slow_start_ends_at_ssthresh_without_a_jump() -> None:
    sender = Sender(congestion=CUBIC)
    sender.flight(10)
    while not sender.conn.bits & TIMED_OUT:
        sender.expire()
        sender.leaving()
    ssthresh = int(sender.cold.ssthresh)
    assert (ssthresh, int(sender.cold.cwnd)) == (7 * MSS, MSS)
    windows = [int(sender.cold.cwnd)]
    sender.queue(200 * MSS)
    for segment in range(1, 40):
        sender.now += RTT
        sender.acks(segment)
        sender.leaving()
        windows.append(int(sender.cold.cwnd))
    steps = [after - before for before, after in zip(windows, windows[1:], strict=False)]
    assert ssthresh in windows
    beyond = windows.index(ssthresh)
    assert all(0 <= step <= MSS for step in steps)
    assert all(step < MSS for step in steps[beyond:])


@conformance("packetdrill:cubic/cubic-bulk-166k")
def test_established_cubic_without_loss_is_slow_start() -> None:
    endpoint = at("ESTABLISHED", congestion=CUBIC, mss=MSS)
    endpoint.conn.snd_shift = 4
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(166 * MSS)
    sent, acked, rounds = len(endpoint.sends()), 0, []
    while acked < 166:
        rounds.append(sent - acked)
        endpoint.now += 100_000
        for _ in range((sent - acked) // 2):
            acked += 2
            endpoint.gets("A", theirs(1), ours(1 + acked * MSS))
            sent += len(endpoint.sends())
    assert rounds[:4] == [10, 20, 40, 80]
    assert sum(rounds) == 166


@conformance("packetdrill:slow_start/slow-start-ack-per-2pkt-send-5pkt")
def test_established_an_odd_number_of_segments_does_not_slow_the_start() -> None:
    """Five in flight, ACKs for 2, 2 and 1 of them: a window of which half is used does not grow, one that is full does."""
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(5 * MSS)
    assert len(endpoint.sends()) == 5
    for acked in (2, 4, 5):
        endpoint.gets("A", theirs(1), ours(1 + acked * MSS))
    endpoint.queue(100 * MSS)
    assert len(endpoint.sends()) == 10


@conformance("packetdrill:cwnd_moderation/cwnd-moderation-disorder-no-moderation")
def test_established_disorder_without_loss_leaves_the_window() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(40 * MSS)
    assert len(endpoint.sends()) == 10
    for _ in range(2):
        endpoint.gets("A", theirs(1), ours(1))
        assert len(endpoint.sends()) == 1
    endpoint.gets("A", theirs(1), ours(1 + 12 * MSS))
    assert endpoint.cold.cwnd >= 10 * MSS
    assert len(endpoint.sends()) >= 10


@conformance("packetdrill:cwnd_moderation/cwnd-moderation-ecn-enter-cwr-no-moderation-700", "rfc9293:SHLD-8")
def test_established_a_mark_reduces_to_ssthresh_and_not_to_what_is_in_flight() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(10 * MSS)
    endpoint.sends()
    raise_bits(endpoint.conn, ECN_OK)
    endpoint.gets("EA", theirs(1), ours(1 + 9 * MSS))
    assert (endpoint.cold.ssthresh, endpoint.cold.cwnd) == (2 * MSS, 2 * MSS)
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.gets("A", theirs(1), ours(1))
    endpoint.queue(10 * MSS)
    endpoint.sends()
    raise_bits(endpoint.conn, ECN_OK)
    endpoint.gets("EA", theirs(1), ours(1 + MSS))
    assert endpoint.cold.cwnd == endpoint.cold.ssthresh == 9 * MSS // 2


@conformance("rfc9293:MUST-17", "packetdrill:nagle/sockopt_cork_nodelay")
def test_established_nagle_and_nodelay_with_data_in_flight() -> None:
    story = Story(nagle=1)
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")
    story.queues(6).then(6, snd_end=ours(13))
    story.does(lambda: nodelay(story.endpoint.conn, True)).then(
        None, Sent("PA", ours(7), theirs(1), 6), snd_nxt=ours(13), bits="+NODELAY"
    )


@conformance("rfc9293:MAY-18")
@pytest.mark.parametrize(("congestion", "left"), [(RENO, 5), (CUBIC, 7)])
def test_established_reno_and_cubic_are_told_by_what_a_loss_leaves(congestion: int, left: int) -> None:
    sender = Sender(congestion=congestion)
    sender.flight(10)
    sender.acks(0, (2, 4))
    assert sender.cold.ssthresh == left * MSS


@conformance("packetdrill:user_timeout/user-timeout-probe")
@pytest.mark.parametrize("patience", [1000, 5000])
def test_established_probes_end_with_the_user_timeout(patience: int) -> None:
    story = Story(user_timeout_ms=patience)
    story.gets("A", theirs(1), ours(1), wnd=0).then(0, snd_wnd=0, bits="+COLD_READY")
    story.queues(10).then(10, snd_end=ours(11), deadline=201, bits="+PERSIST")
    began = story.endpoint.now
    step = story.expires()
    while step.events & EV_RETRANSMIT:
        assert [(one.seq, one.payload_len) for one in step.sent] == [(ours(1), 1)]
        step = story.expires()
    step.then(EV_CLOSED | EV_TIMEOUT, state="CLOSED", deadline=0)
    assert patience * 1000 <= story.endpoint.now - began <= 2 * patience * 1000 + 400_000


@conformance("packetdrill:fast_retransmit/fr-4pkt", "packetdrill:fast_retransmit/fr-4pkt-sack")
@pytest.mark.parametrize("sack", [True, False])
def test_established_four_packets_the_first_lost(sack: bool) -> None:
    sender: Endpoint = Sender(congestion=RENO) if sack else at("ESTABLISHED", congestion=RENO)
    sender.queue(4 * MSS)
    sender.sends()
    sender.now += RTT
    for last in (2, 3, 4):
        blocks = ((ours(1 + MSS), ours(1 + last * MSS)),) if sack else ()
        assert sender.gets("A", theirs(1), ours(1), blocks=blocks) == 0
        assert sender.sends() == ([Sent("A", ours(1), theirs(1), MSS, rexmit=1)] if last == 4 else [])
    assert sender.gets("A", theirs(1), ours(1 + 4 * MSS)) == EV_ACKED
    assert (sender.sends(), sender.conn.deadline, sender.cold.ssthresh) == ([], 0, 2 * MSS)


@conformance("packetimpact:RACKTLPAllPacketsLost")
def test_established_all_is_lost_the_tail_is_probed_and_then_the_timer_expires() -> None:
    sender = Sender()
    sender.flight(20)
    sender.acks(10)
    assert sender.leaving() == [str(number) for number in range(11, 21)]
    assert sender.expire() == EV_RETRANSMIT
    assert sender.leaving() == ["20R"]
    assert not sender.conn.bits & TIMED_OUT
    assert sender.expire() == EV_RETRANSMIT
    assert sender.conn.bits & TIMED_OUT
    assert (sender.leaving(), int(sender.cold.cwnd)) == (["11R"], MSS)
    sender.now += RTT
    sender.acks(11)
    assert sender.leaving() == ["12R", "13R"]
    sender.now += RTT
    assert sender.acks(20) == EV_ACKED
    assert (sender.leaving(), sender.conn.deadline) == ([], 0)


@conformance("packetimpact:RACKWithoutReorder", "packetimpact:RACKWithSACK")
def test_established_rack_deems_lost_what_three_later_ones_have_overtaken() -> None:
    """No reordering was ever seen: segments 1 and 2 are lost as soon as 3 to 5 are sacked, and nothing else is."""
    sender = Sender()
    sender.flight(5)
    sender.acks(0, (3, 4))
    assert sender.leaving() == []
    sender.acks(0, (3, 5))
    sent = sender.leaving()
    sender.now += RTT
    sender.acks(1, (3, 5))
    assert sent + sender.leaving() == ["1R", "2R"]
    sender.now += RTT
    assert sender.acks(5) == EV_ACKED
    assert (sender.leaving(), sender.conn.deadline) == ([], 0)
