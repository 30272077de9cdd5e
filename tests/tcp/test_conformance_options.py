"""Options and duplicate ACKs, as other suites test them: RFC 9293 section 3.2, RFC 7323, RFC 2018, whole state by whole state."""

from __future__ import annotations

from typing import Any

import pytest

from tcp.board import new_boards
from tcp.congestion import RENO
from tcp.connection import SACK_OK, TS_OK, WS_OK
from tcp.events import (
    EV_ACKED,
    EV_CLOSED,
    EV_DATA,
    EV_ESTABLISHED,
    EV_FIN,
    EV_OUT_OF_ORDER,
    EV_RESET,
    EV_RETRANSMIT,
    EV_UNACCEPTABLE,
)
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE
from tests.tcp.builders import MSS, START, Endpoint, Sent, at, ours, theirs
from tests.tcp.story import Story

conformance = pytest.mark.conformance
CLOCK = START // 1000
FRESH = {"deadline": 0, "srtt": 1, "rttvar": 1, "rto": 200}
"""What a handshake without a delay leaves."""


def syn_sent(options: int, **limits: int) -> Story:
    endpoint = Endpoint(options=options, **limits).connect()
    endpoint.sends()
    return Story(endpoint=endpoint)


def syn_received(options: int, offered: dict[str, Any], **limits: int) -> tuple[Story, Sent]:
    """A server that answered a SYN with the options *offered*, and its SYN-ACK."""
    endpoint = Endpoint(options=options, **limits).accept(mss=MSS, **offered)
    [answer] = endpoint.sends()
    return Story(endpoint=endpoint), answer


def stamped(ts_recent: int = 100, **limits: int) -> Story:
    story = syn_sent(OPT_TIMESTAMPS, **limits)
    story.gets("SA", theirs(0), ours(1), mss=MSS, ts=(ts_recent, CLOCK))
    return story


@conformance("smoltcp:listen_sack_option", "smoltcp:syn_sent_sack_option")
@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("granted", [True, False])
def test_sack_is_agreed_on_by_both(offered: bool, granted: bool) -> None:
    options = OPT_SACK_PERMITTED if granted else 0
    story, answer = syn_received(options, {"sack_permitted": offered})
    assert answer == Sent("SA", ours(0), theirs(1), mss=MSS, sack_permitted=offered and granted)
    assert bool(story.endpoint.conn.bits & SACK_OK) == (offered and granted)
    story = syn_sent(options)
    step = story.gets("SA", theirs(0), ours(1), mss=MSS, sack_permitted=offered)
    assert step.sent == [Sent("A", ours(1), theirs(1))]
    assert bool(story.endpoint.conn.bits & SACK_OK) == (offered and granted)


@conformance("smoltcp:listen_syn_win_scale_buffers", "smoltcp:syn_sent_win_scale_buffers")
@pytest.mark.parametrize(
    ("buffer", "shift"),
    [(64, 0), (1024, 0), (65_535, 0), (65_536, 1), (131_071, 1), (131_072, 2), (262_143, 2), (1 << 20, 5), (1 << 29, 14)],
)
def test_window_scale_is_the_least_that_tells_the_buffer(buffer: int, shift: int) -> None:
    _, answer = syn_received(OPT_WSCALE, {"wscale": 0}, rcv_wnd=buffer)
    assert answer == Sent("SA", ours(0), theirs(1), mss=MSS, wscale=shift)
    endpoint = Endpoint(options=OPT_WSCALE, rcv_wnd=buffer).connect()
    assert endpoint.sends() == [Sent("S", ours(0), 0, mss=MSS, wscale=shift)]
    assert endpoint.out.wnd == min(buffer, 65_535)


@conformance("smoltcp:syn_received_window_scaling", "smoltcp:syn_received_no_window_scaling")
@pytest.mark.parametrize("scale", [0, 1, 7, 14, None])
def test_syn_received_ack_with_a_scaled_window(scale: int | None) -> None:
    story, _ = syn_received(OPT_WSCALE, {"wscale": scale, "wnd": 1000})
    assert story.endpoint.conn.snd_wnd == 1000
    story.gets("A", theirs(1), ours(1), wnd=1100).then(
        EV_ESTABLISHED | EV_ACKED, state="ESTABLISHED", snd_una=ours(1), snd_wnd=1100 << (scale or 0), bits="-TIMED", **FRESH
    )


@conformance("smoltcp:syn_sent_syn_ack_window_scaling", "smoltcp:syn_sent_syn_ack_no_window_scaling")
@pytest.mark.parametrize("scale", [0, 7, 14, None])
def test_syn_sent_syn_ack_with_and_without_a_scale(scale: int | None) -> None:
    """The window of a SYN-ACK is not scaled, those that follow are, both ways or not at all."""
    story = syn_sent(OPT_WSCALE, rcv_wnd=1 << 20)
    story.gets("SA", theirs(0), ours(1), wnd=42, mss=MSS, wscale=scale)
    assert story.endpoint.conn.snd_wnd == 42
    assert story.endpoint.out.wnd == (65_535 if scale is None else 1 << 15)
    assert bool(story.endpoint.conn.bits & WS_OK) == (scale is not None)
    wnd = 42_000 << (scale or 0)
    story.gets("A", theirs(1), ours(1), wnd=42_000).then(0, snd_wnd=wnd)


@conformance("smoltcp:tsval_established_connection")
def test_established_timestamps_are_on_every_segment() -> None:
    story = stamped()
    story.endpoint.now += 10_000
    story.gets("PA", theirs(1), ours(1), 6, ts=(120, CLOCK)).then(
        EV_DATA, Sent("A", ours(1), theirs(7), ts=(CLOCK + 10, 120)), rcv_nxt=theirs(7), rcv_wnd=65529
    )
    story.queues(6).then(
        6, Sent("PA", ours(1), theirs(7), 6, ts=(CLOCK + 10, 120)), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED"
    )
    story.gets("A", theirs(7), ours(7), ts=(121, CLOCK + 10)).then(EV_ACKED, snd_una=ours(7), deadline=0, bits="-TIMED")


@conformance("smoltcp:tsval_disabled_in_remote_client", "smoltcp:tsval_disabled_in_local_server")
@pytest.mark.parametrize(("ours_too", "theirs_too"), [(True, False), (False, True)])
def test_listen_without_timestamps_of_both_there_are_none(ours_too: bool, theirs_too: bool) -> None:
    story, answer = syn_received(OPT_TIMESTAMPS if ours_too else 0, {"ts": (100, 0)} if theirs_too else {})
    assert answer == Sent("SA", ours(0), theirs(1), mss=MSS)
    assert not story.endpoint.conn.bits & TS_OK
    story.gets("A", theirs(1), ours(1))
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")


@conformance("smoltcp:tsval_disabled_in_remote_server", "smoltcp:tsval_disabled_in_local_client")
@pytest.mark.parametrize(("ours_too", "theirs_too"), [(True, False), (False, True)])
def test_syn_sent_without_timestamps_of_both_there_are_none(ours_too: bool, theirs_too: bool) -> None:
    story = syn_sent(OPT_TIMESTAMPS if ours_too else 0)
    step = story.gets("SA", theirs(0), ours(1), mss=MSS, ts=(100, CLOCK) if theirs_too else None)
    assert step.sent == [Sent("A", ours(1), theirs(1))]
    assert not story.endpoint.conn.bits & TS_OK
    story.queues(6).then(6, Sent("PA", ours(1), theirs(1), 6), snd_end=ours(7), snd_nxt=ours(7), deadline=201, bits="+TIMED")


@conformance(
    "smoltcp:established_options_reduce_payload_when_local_mss_limited",
    "smoltcp:established_options_reduce_payload_when_remote_mss_limited",
    "smoltcp:established_tiny_mss_with_options_makes_progress", "rfc9293:MUST-16",
)  # fmt: skip
@pytest.mark.parametrize(("offered", "size"), [(1400, MSS - 12), (600, 588), (60, 48), (1, 36)])
def test_established_payload_is_what_options_leave(offered: int, size: int) -> None:
    """Ours limits (1400), the peer's does (600, 60), and one too small counts as 48."""
    story = syn_sent(OPT_TIMESTAMPS)
    story.gets("SA", theirs(0), ours(1), mss=offered, ts=(100, CLOCK))
    full = Sent("A", ours(1), theirs(1), size, ts=(CLOCK, 100))
    last = Sent("PA", ours(1 + size), theirs(1), size, ts=(CLOCK, 100))
    end = ours(1 + 2 * size)
    story.queues(2 * size).then(2 * size, full, last, snd_end=end, snd_nxt=end, deadline=201, bits="+TIMED")


@conformance("packetdrill:ts_recent/fin_tsval")
def test_established_timestamp_of_the_peers_fin_is_echoed() -> None:
    story = stamped()
    story.gets("FA", theirs(1), ours(1), ts=(150, CLOCK)).then(
        EV_FIN, Sent("A", ours(1), theirs(2), ts=(CLOCK, 150)), state="CLOSE_WAIT", rcv_nxt=theirs(2)
    )


@conformance("packetdrill:ts_recent/invalid_ack", "packetdrill:ts_recent/reset_tsval")
def test_established_timestamp_of_what_is_not_acceptable_is_not_kept() -> None:
    """Neither of an ACK for something never sent; and an RST is believed whatever its timestamp."""
    story = stamped()
    story.gets("A", theirs(70_000), ours(1), ts=(900, CLOCK)).then(
        EV_UNACCEPTABLE, Sent("A", ours(1), theirs(1), ts=(CLOCK, 100))
    )
    story.gets("PA", theirs(1), ours(1), 6, ts=(101, CLOCK)).then(
        EV_DATA, Sent("A", ours(1), theirs(7), ts=(CLOCK, 101)), rcv_nxt=theirs(7), rcv_wnd=65529
    )
    story.gets("R", theirs(7), ts=(5, 0)).then(EV_RESET | EV_CLOSED, state="CLOSED")


@conformance("smoltcp:established_sack_no_overflow_on_near_max_seqnumber", "smoltcp:established_rfc2018_cases")
def test_established_blocks_tell_what_came_early_across_the_wrap() -> None:
    """The peer's first number is 0xFFFFFFFE: the hole begins before 2^32, the block ends after it."""
    boards = new_boards(1)
    story = syn_sent(OPT_SACK_PERMITTED, boards=boards.address)
    story.gets("SA", theirs(0), ours(1), mss=MSS, sack_permitted=True)
    story.gets("A", theirs(11), ours(1), 10).then(
        EV_OUT_OF_ORDER, Sent("A", ours(1), theirs(1), blocks=((theirs(11), theirs(21)),)), bits="+COLD_READY"
    )
    story.gets("A", theirs(31), ours(1), 10).then(
        EV_OUT_OF_ORDER, Sent("A", ours(1), theirs(1), blocks=((theirs(31), theirs(41)), (theirs(11), theirs(21))))
    )
    story.gets("A", theirs(1), ours(1), 10).then(
        EV_DATA, Sent("A", ours(1), theirs(21), blocks=((theirs(31), theirs(41)),)), rcv_nxt=theirs(21), rcv_wnd=65515
    )
    story.gets("A", theirs(21), ours(1), 10).then(EV_DATA, Sent("A", ours(1), theirs(41)), rcv_nxt=theirs(41), rcv_wnd=65495)


@conformance("smoltcp:fast_retransmit_after_triple_duplicate_ack", "smoltcp:established_retransmit_for_dup_ack")
@conformance("smoltcp:fast_retransmit_duplicate_detection", "smoltcp:congestion_window_doesnt_limit_fast_retransmit")
def test_established_third_duplicate_sends_the_first_segment_again() -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(4 * MSS)
    endpoint.sends()
    story = Story(endpoint=endpoint)
    story.gets("A", theirs(1), ours(1)).then(0, bits="+COLD_READY")
    story.gets("A", theirs(1), ours(1)).then(0)
    endpoint.cold.cwnd = MSS
    step = story.gets("A", theirs(1), ours(1))
    assert (step.events, step.sent) == (0, [Sent("A", ours(1), theirs(1), MSS, rexmit=1)])
    assert (endpoint.conn.snd_una, endpoint.conn.snd_nxt) == (ours(1), ours(1 + 4 * MSS))
    assert story.gets("A", theirs(1), ours(1)).sent == []


@conformance("smoltcp:fast_retransmit_duplicate_detection_with_data", "smoltcp:fast_retransmit_zero_window")
@conformance("smoltcp:fast_retransmit_duplicate_detection_with_window_update")
@pytest.mark.parametrize("what", ["data", "window", "zero"])
def test_established_what_is_no_duplicate_sends_nothing_again(what: str) -> None:
    endpoint = at("ESTABLISHED", congestion=RENO)
    endpoint.queue(4 * MSS)
    endpoint.sends()
    for k in range(6):
        if what == "data":
            endpoint.gets("PA", theirs(1 + k), ours(1), 1)
        elif what == "window":
            endpoint.gets("A", theirs(1), ours(1), wnd=60_000 - k)
        else:
            endpoint.gets("A", theirs(1), ours(1), wnd=0)
        assert [one for one in endpoint.sends() if one.payload_len] == []
    assert (endpoint.conn.snd_una, endpoint.conn.snd_nxt) == (ours(1), ours(1 + 4 * MSS))


@conformance("smoltcp:data_retransmit_bursts_half_ack", "smoltcp:retransmit_timer_restart_on_partial_ack")
@conformance("smoltcp:established_retransmit_reset_after_ack", "smoltcp:established_queue_during_retransmission")
def test_established_ack_of_a_part_starts_the_timer_again() -> None:
    endpoint = at("ESTABLISHED")
    endpoint.queue(2 * MSS)
    endpoint.sends()
    story = Story(endpoint=endpoint)
    endpoint.now += 100_000
    step = story.gets("A", theirs(1), ours(1 + MSS))
    assert (step.events, step.sent, endpoint.conn.snd_una) == (EV_ACKED, [], ours(1 + MSS))
    assert endpoint.conn.deadline == endpoint.now // 1000 + int(endpoint.conn.rto) + 1
    step = story.expires()
    assert (step.events, step.sent) == (EV_RETRANSMIT, [Sent("PA", ours(1 + MSS), theirs(1), MSS, rexmit=1)])
    story.queues(6)
    assert endpoint.conn.retries == 1
    story.gets("A", theirs(1), ours(1 + 2 * MSS))
    assert (endpoint.conn.retries, endpoint.conn.snd_una) == (0, ours(1 + 2 * MSS))
