"""Loss recovery with selective acknowledgments: RFC 2018, 2883, 6675, 6937 and 8985."""

from __future__ import annotations

import pytest

from tcp.congestion import RENO
from tcp.connection import LOST, RECOVERY, TIMED_OUT
from tcp.events import EV_ACKED, EV_RETRANSMIT
from tcp.icmp import FRAGMENTATION_NEEDED, on_icmp
from tests.tcp.builders import MSS, ours, theirs
from tests.tcp.sacking import RTT, Sender

conformance = pytest.mark.conformance


@conformance("packetdrill:fast_retransmit/fr-4pkt-sack", "packetimpact:RACKWithSACK", "packetimpact:RACKWithoutReorder")
def test_established_three_sacked_segments_lose_the_first() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(10)
    assert sender.acks(0, (2, 2)) == 0
    assert sender.leaving() == []
    assert sender.spans() == [(1, 1, ""), (2, 2, "S"), (3, 10, "")]
    sender.acks(0, (2, 3))
    assert sender.leaving() == []
    sender.acks(0, (2, 4))
    assert sender.conn.bits & RECOVERY
    assert (sender.cold.ssthresh, sender.cold.recover) == (5 * MSS, ours(1 + 10 * MSS))
    assert sender.leaving() == ["1R"]
    assert sender.spans() == [(1, 1, "R"), (2, 4, "S"), (5, 10, "")]
    for last in range(5, 11):
        sender.acks(0, (2, last))
        assert sender.leaving() == []
    sender.now += RTT
    assert sender.acks(10) == EV_ACKED
    assert not sender.conn.bits & (RECOVERY | LOST)
    assert (sender.cold.cwnd, sender.conn.deadline) == (5 * MSS, 0)
    assert (sender.cold.board, sender.boards.record.free) == (0, 1)


@conformance("packetdrill:limited_transmit/limited-transmit-sack")
def test_established_first_sacks_let_new_data_out() -> None:
    sender = Sender()
    sender.flight(20)
    sender.acks(0, (2, 2))
    assert sender.leaving() == ["11"]
    sender.acks(0, (2, 3))
    assert sender.leaving() == ["12"]


@conformance("packetdrill:fast_recovery/prr-ss-10pkt-lost-1")
def test_established_window_shrinks_in_proportion() -> None:
    """PRR: of 12 in flight 5 are to be left, so that 12 SACKs let 5 segments out, the first one at once."""
    sender = Sender(congestion=RENO)
    sender.flight(40)
    left = []
    for last in range(2, 13):
        sender.acks(0, (2, last))
        left.append(len(sender.leaving()))
    assert left == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    sender.now += RTT
    sender.acks(12)
    assert int(sender.cold.cwnd) == 5 * MSS


@conformance("packetdrill:fast_recovery/prr-ss-30pkt-lost-1_4-11_16")
def test_established_two_holes_cost_one_reduction() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(10)
    sender.acks(0, (3, 3), (6, 6))
    sender.acks(0, (3, 3), (6, 8))
    # Two more arrived, so two may leave.
    sent = sender.leaving()
    assert sent == ["1R", "2R"]
    ssthresh = int(sender.cold.ssthresh)
    for last in (9, 10):
        sender.acks(0, (3, 3), (6, last))
        sent += sender.leaving()
    sender.now += RTT
    sender.acks(1, (3, 3), (6, 10))
    sent += sender.leaving()
    assert sent == ["1R", "2R", "4R", "5R"]
    sender.now += RTT
    sender.acks(10)
    assert sender.leaving() == []
    assert int(sender.cold.ssthresh) == int(sender.cold.cwnd) == ssthresh


@conformance("packetimpact:RACKWithReorder")
def test_established_reordering_waits_for_a_part_of_the_round_trip() -> None:
    sender = Sender()
    sender.flight(10)
    sender.acks(0, (2, 2))
    assert sender.leaving() == []
    sender.now += RTT // 8
    assert sender.acks(2) == EV_ACKED
    assert sender.leaving() == []
    assert not sender.conn.bits & RECOVERY
    # It arrived late: from now on nothing is lost only because three others have overtaken it.
    sender.acks(2, (4, 8))
    assert sender.leaving() == []
    waits = int(sender.conn.deadline) * 1000 - sender.now
    assert RTT // 8 <= waits <= RTT // 4 + 2000
    assert sender.expire() == EV_RETRANSMIT
    assert sender.leaving() == ["3R"]


@conformance("packetimpact:RACKWithLostRetransmission")
def test_established_a_lost_retransmission_is_sent_again_without_a_timeout() -> None:
    sender = Sender()
    sender.flight(30)
    sender.acks(0, (2, 4))
    assert sender.leaving()[0] == "1R"
    for last in range(5, 11):
        sender.acks(0, (2, last))
        sender.leaving()
    sender.now += RTT
    # What was sent with the retransmission says nothing of it, what was sent a little later does.
    sender.acks(0, (2, 12))
    sender.leaving()
    sender.now += 3000
    sender.acks(0, (2, 13))
    more = sender.leaving()
    sender.now += RTT
    sender.acks(0, (2, sender.number(int(sender.conn.snd_nxt)) - 1))
    assert "1R" in more + sender.leaving()
    assert not sender.conn.bits & TIMED_OUT


@conformance("packetimpact:RACKTLPLost")
def test_established_a_silent_tail_is_probed() -> None:
    sender = Sender()
    sender.flight(20)
    sender.acks(2)
    assert sender.leaving() == ["11", "12", "13", "14"]
    sender.now += RTT
    sender.acks(14)
    assert sender.leaving() == ["15", "16", "17", "18", "19", "20"]
    before = sender.now
    assert sender.expire() == EV_RETRANSMIT
    assert 2 * RTT <= sender.now - before + 1000 <= 3 * RTT
    assert sender.leaving() == ["20R"]
    # No second probe: the timeout is next.
    assert int(sender.conn.deadline) * 1000 - sender.now >= 200_000
    sender.now += RTT
    sender.acks(14, (20, 20))
    assert sender.conn.bits & RECOVERY
    assert sender.leaving()[0] == "15R"


def test_established_a_tail_probe_with_new_data() -> None:
    sender = Sender()
    sender.queue(10 * MSS)
    sender.sends()
    sender.queue(5 * MSS)
    assert sender.leaving() == []
    sender.now += RTT
    sender.acks(0)
    sender.expire()
    assert sender.leaving() == ["11"]
    sender.acks(11)
    assert not sender.conn.bits & RECOVERY
    assert int(sender.cold.ssthresh) == 1 << 30


def test_established_a_tail_probe_that_repaired_a_loss_costs_a_reduction() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(11)
    sender.acks(1)
    assert sender.leaving() == ["11"]
    sender.expire()
    assert sender.leaving() == ["11R"]
    sender.queue(MSS)
    sender.leaving()
    sender.now += RTT
    sender.acks(12)
    assert int(sender.cold.ssthresh) < 1 << 30


def test_established_a_tail_probe_that_came_twice_costs_nothing() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(11)
    sender.acks(1)
    sender.leaving()
    sender.expire()
    assert sender.leaving() == ["11R"]
    sender.now += RTT
    sender.acks(11)
    sender.acks(11, (11, 11))
    assert int(sender.cold.ssthresh) == 1 << 30


@conformance("packetdrill:sack/sack-shift-sacked-2-6-8-3-9-nofack")
def test_established_sacks_in_any_order() -> None:
    sender = Sender()
    sender.flight(10)
    for block, spans in (
        ((2, 2), [(1, 1, ""), (2, 2, "S"), (3, 10, "")]),
        ((6, 6), [(1, 1, ""), (2, 2, "S"), (3, 5, ""), (6, 6, "S"), (7, 10, "")]),
        ((8, 8), [(1, 1, "R"), (2, 2, "S"), (3, 5, "L"), (6, 6, "S"), (7, 7, "L"), (8, 8, "S"), (9, 10, "")]),
        ((3, 3), [(1, 1, "R"), (2, 3, "S"), (4, 5, "L"), (6, 6, "S"), (7, 7, "L"), (8, 8, "S"), (9, 10, "")]),
    ):
        sender.acks(0, block)
        sender.sends()
        found = sender.spans()
        assert [(first, last, marks.replace("R", "").replace("L", "")) for first, last, marks in found if "S" in marks] == [
            one for one in spans if one[2] == "S"
        ]
    assert sender.board.sacked == 4 * MSS


def test_established_blocks_that_cannot_be_are_ignored() -> None:
    sender = Sender()
    sender.flight(10)
    before = None
    for blocks in ((11, 12), (9, 11), (5, 3), (5, 4), (-4000, -3990)):
        sender.acks(0, blocks)
        assert sender.leaving() == []
        if before is not None:
            assert sender.spans() == before
        before = sender.spans()
    assert before == [(1, 10, "")]


def test_established_late_sack_below_the_ack_is_no_news() -> None:
    sender = Sender()
    sender.flight(10)
    sender.acks(4)
    sender.acks(4, (2, 3))
    assert sender.spans()[0] == (5, 10, "")
    assert sender.board.sacked == 0


def test_established_dsack_takes_the_reduction_back() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(10)
    sender.acks(0, (2, 4))
    assert sender.leaving() == ["1R"]
    before = int(sender.cold.prior_cwnd)
    # The original was only late; the copy comes too, and is reported.
    sender.acks(4)
    sender.acks(4, (1, 1))
    assert not sender.conn.bits & RECOVERY
    assert (int(sender.cold.cwnd), int(sender.cold.ssthresh)) == (before, 1 << 30)
    assert sender.board.reo_mult == 2


def test_established_timestamps_take_the_reduction_back() -> None:
    sender = Sender(timestamps=True, congestion=RENO)
    sender.flight(10)
    sent_at = sender.now - RTT
    sender.acks(0, (2, 4), sent_at=sent_at)
    assert sender.leaving() == ["1R"]
    sender.now += 3000
    sender.acks(4, sent_at=sent_at)
    assert not sender.conn.bits & RECOVERY
    assert int(sender.cold.ssthresh) == 1 << 30


def test_established_timestamps_of_the_retransmission_leave_it() -> None:
    sender = Sender(timestamps=True, congestion=RENO)
    sender.flight(10)
    sender.acks(0, (2, 4), sent_at=sender.now - RTT)
    assert sender.leaving() == ["1R"]
    sent_at = sender.now
    sender.now += RTT
    sender.acks(4, sent_at=sent_at)
    assert sender.conn.bits & RECOVERY
    assert int(sender.cold.ssthresh) == 5 * sender.size


@conformance("lwip:rto_rexmit_wraparound", "smoltcp:data_retransmit_bursts", "rfc9293:MUST-19")
def test_established_a_timeout_sends_all_but_what_is_sacked() -> None:
    sender = Sender()
    sender.flight(10)
    sender.acks(0, (3, 3), (6, 6))
    while not sender.conn.bits & TIMED_OUT:
        sender.expire()
        if not sender.conn.bits & TIMED_OUT:
            sender.leaving()
    assert sender.leaving() == ["1R"]
    assert (sender.cold.cwnd, sender.conn.snd_nxt) == (MSS, ours(1 + 10 * MSS))
    sender.now += RTT
    sender.acks(1, (3, 3), (6, 6))
    assert sender.leaving() == ["2R", "4R"]
    sender.now += RTT
    sender.acks(4, (6, 6))
    assert sender.leaving() == ["5R", "7R", "8R"]
    sender.now += RTT
    sender.acks(8)
    assert sender.leaving() == ["9R", "10R"]
    sender.now += RTT
    assert sender.acks(10) == EV_ACKED
    assert not sender.conn.bits & (TIMED_OUT | LOST)
    assert sender.conn.deadline == 0


def test_established_a_peer_that_forgets_what_it_reported_is_survived() -> None:
    """RFC 2018 section 8: after a timeout at something that is sacked, nothing counts as sacked."""
    sender = Sender()
    sender.flight(10)
    sender.acks(0, (2, 10))
    assert sender.leaving() == ["1R"]
    sender.now += RTT
    sender.acks(1)
    assert sender.leaving() == []
    sender.expire()
    assert sender.conn.bits & TIMED_OUT
    assert sender.leaving() == ["2R"]
    sender.now += RTT
    sender.acks(2)
    assert sender.leaving() == ["3R", "4R"]


def test_established_a_timeout_for_nothing_is_taken_back() -> None:
    """F-RTO: the originals arrive after all."""
    sender = Sender()
    sender.flight(30)
    sender.now -= RTT
    cwnd = int(sender.cold.cwnd)
    while not sender.conn.bits & TIMED_OUT:
        sender.expire()
        sent = sender.leaving()
    assert sent == ["1R"]
    sender.acks(2)
    assert not sender.conn.bits & TIMED_OUT
    assert int(sender.cold.cwnd) >= cwnd
    assert not any(one.endswith("R") for one in sender.leaving())


def test_established_a_second_timeout_of_the_same_segment_leaves_ssthresh() -> None:
    sender = Sender(congestion=RENO)
    sender.flight(10)
    for _ in range(2):
        sender.expire()
        sender.leaving()
    ssthresh = int(sender.cold.ssthresh)
    assert sender.conn.bits & TIMED_OUT
    sender.expire()
    assert sender.leaving() == ["1R"]
    assert (int(sender.cold.ssthresh), int(sender.cold.cwnd)) == (ssthresh, MSS)


@conformance("packetimpact:WindowShrink", "rfc9293:MUST-34")
def test_established_a_window_that_shrinks_stops_what_is_beyond_it_only() -> None:
    sender = Sender()
    sender.flight(10)
    sender.acks(0, (3, 10), wnd=1 * MSS)
    assert sender.leaving() == ["1R"]
    assert sender.conn.snd_nxt == ours(1 + 10 * MSS)
    sender.acks(1, (3, 10), wnd=4 * MSS)
    assert sender.leaving() == ["2R"]


def test_established_fin_is_sent_again_with_the_last_bytes() -> None:
    sender = Sender()
    sender.queue(2 * MSS + 10)
    sender.close()
    assert len(sender.sends()) == 3
    sender.expire()
    sent = sender.sends()
    while not sender.conn.bits & TIMED_OUT:
        sender.expire()
        sent = sender.sends()
    assert [(one.flags, one.payload_len) for one in sent] == [("A", MSS)]
    sender.now += RTT
    sender.acks(1)
    assert [(one.seq, one.payload_len) for one in sender.sends()] == [(ours(1 + MSS), MSS), (ours(1 + 2 * MSS), 10)]
    sender.expire()
    sender.sends()
    sender.acks(2)
    last = sender.sends()
    assert [(one.flags, one.seq, one.payload_len, one.rexmit) for one in last] == [("FPA", ours(1 + 2 * MSS), 10, 1)]
    sender.gets("A", theirs(1), ours(2 * MSS + 12))
    assert sender.state == "FIN_WAIT_2"


def test_established_without_a_board_recovery_is_newreno() -> None:
    sender = Sender(boards=0, congestion=RENO)
    sender.flight(10)
    for last in (2, 3, 4):
        sender.acks(0, (2, last))
    assert sender.leaving() == ["1R"]
    assert (int(sender.cold.ssthresh), int(sender.cold.cwnd)) == (5 * MSS, 8 * MSS)


def test_established_segments_too_large_for_the_path_are_lost_for_the_spans() -> None:
    sender = Sender()
    sender.flight(20)
    sender.acks(2)
    assert sender.leaving() == ["11", "12", "13", "14"]
    seq = ours(1 + 2 * MSS)
    assert on_icmp(sender.conn, sender.cold, sender.limits.record, 3, FRAGMENTATION_NEEDED, seq, 940, sender.now) == EV_RETRANSMIT
    sent = sender.sends()
    assert [(one.seq, one.payload_len, one.rexmit) for one in sent][:2] == [(seq, 900, 1), (ours(901 + 2 * MSS), 900, 1)]
    assert sum(one.payload_len for one in sent) == 12 * MSS
    sender.acks(14)
    assert not sender.conn.bits & LOST
