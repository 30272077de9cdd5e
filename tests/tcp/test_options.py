"""Options: what a handshake agrees on (RFC 9293 section 3.2, RFC 7323, RFC 2018), scaled windows, timestamps and PAWS."""

from __future__ import annotations

import pytest

from tcp.connection import SACK_OK, TS_OK, WS_OK
from tcp.events import EV_ACKED, EV_DATA, EV_DUPLICATE, EV_ESTABLISHED, EV_FIN, EV_RESET, EV_REUSE, EV_TIME_WAIT, EV_UNACCEPTABLE
from tcp.segment import OPT_SACK_PERMITTED, OPT_TIMESTAMPS, OPT_WSCALE
from tests.tcp.builders import MSS, START, Endpoint, Sent, ours, theirs

ALL = OPT_WSCALE | OPT_SACK_PERMITTED | OPT_TIMESTAMPS
CLOCK = START // 1000
"""Our timestamp clock at the start of a test."""
DAY_US = 24 * 3600 * 1_000_000


def client(options: int = ALL, **limits: int) -> Endpoint:
    endpoint = Endpoint(options=options, **limits).connect()
    endpoint.sends()
    return endpoint


def stamped(ts_recent: int = 100, **limits: int) -> Endpoint:
    """An established client whose segments have timestamps, and whose peer's last one was *ts_recent*."""
    endpoint = client(OPT_TIMESTAMPS, **limits)
    assert endpoint.gets("SA", theirs(0), ours(1), mss=MSS, ts=(ts_recent, CLOCK)) == EV_ESTABLISHED | EV_ACKED
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), ts=(CLOCK, ts_recent))]
    return endpoint


@pytest.mark.conformance(
    "smoltcp:syn_sent_win_scale_buffers", "smoltcp:syn_sent_sack_option", "rfc9293:MUST-14", "rfc9293:MUST-67"
)
@pytest.mark.parametrize("options", range(0, 16, 2))
def test_closed_connect_offers(options: int) -> None:
    endpoint = Endpoint(options=options, rcv_wnd=1_000_000).connect()
    wscale = 4 if options & OPT_WSCALE else None
    ts = (CLOCK, 0) if options & OPT_TIMESTAMPS else None
    sack = bool(options & OPT_SACK_PERMITTED)
    assert endpoint.sends() == [Sent("S", ours(0), 0, mss=MSS, wscale=wscale, sack_permitted=sack, ts=ts)]
    assert endpoint.out.wnd == 65535


@pytest.mark.conformance(
    "smoltcp:listen_sack_option",
    "smoltcp:listen_syn_win_scale_buffers",
    "smoltcp:tsval_disabled_in_local_server",
    "smoltcp:tsval_disabled_in_remote_client",
    "packetimpact:TCPHandshakeWindowSize",
)
@pytest.mark.parametrize("offered", range(0, 16, 2))
@pytest.mark.parametrize("allowed", range(0, 16, 2))
def test_listen_syn_answers_what_both_have(offered: int, allowed: int) -> None:
    """A SYN-ACK has no option that the SYN had not."""
    both = offered & allowed
    endpoint = Endpoint(options=allowed, rcv_wnd=300_000).accept(
        mss=MSS,
        wscale=7 if offered & OPT_WSCALE else None,
        sack_permitted=bool(offered & OPT_SACK_PERMITTED),
        ts=(900, 0) if offered & OPT_TIMESTAMPS else None,
    )
    wscale = 3 if both & OPT_WSCALE else None
    ts = (CLOCK, 900) if both & OPT_TIMESTAMPS else None
    sack = bool(both & OPT_SACK_PERMITTED)
    assert endpoint.sends() == [Sent("SA", ours(0), theirs(1), mss=MSS, wscale=wscale, sack_permitted=sack, ts=ts)]
    assert endpoint.out.wnd == 65535
    assert (endpoint.conn.snd_shift, endpoint.conn.rcv_shift) == ((7, 3) if wscale else (0, 0))
    assert endpoint.conn.rcv_wnd == (300_000 if wscale else 65535)
    bits = int(endpoint.conn.bits)
    assert (bool(bits & WS_OK), bool(bits & SACK_OK), bool(bits & TS_OK)) == (wscale is not None, sack, ts is not None)


@pytest.mark.conformance(
    "smoltcp:syn_sent_syn_ack_no_window_scaling",
    "smoltcp:syn_sent_syn_ack_window_scaling",
    "smoltcp:tsval_disabled_in_remote_server",
    "smoltcp:tsval_disabled_in_local_client",
)
def test_syn_sent_syn_ack_without_options() -> None:
    endpoint = client(rcv_wnd=1_000_000)
    endpoint.gets("SA", theirs(0), ours(1), wnd=500, mss=MSS)
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1))]
    assert endpoint.out.wnd == 65535
    assert (endpoint.conn.snd_wnd, endpoint.conn.mss) == (500, MSS)
    assert endpoint.gets("A", theirs(1), ours(1), wnd=400) == 0
    assert endpoint.conn.snd_wnd == 400


@pytest.mark.conformance("smoltcp:syn_received_window_scaling", "smoltcp:syn_received_no_window_scaling")
def test_windows_are_scaled_except_in_syns() -> None:
    endpoint = client(rcv_wnd=1_000_000)
    endpoint.gets("SA", theirs(0), ours(1), wnd=500, mss=MSS, wscale=6)
    assert endpoint.conn.snd_wnd == 500
    endpoint.sends()
    assert endpoint.out.wnd == 1_000_000 >> 4
    endpoint.gets("A", theirs(1), ours(1), wnd=500)
    assert endpoint.conn.snd_wnd == 500 << 6
    assert endpoint.gets("A", theirs(1 + 999_999), ours(1), 1) != EV_UNACCEPTABLE
    assert endpoint.gets("A", theirs(1 + 1_000_000), ours(1), 1) == EV_UNACCEPTABLE


def test_syn_received_window_of_the_handshakes_ack_is_scaled() -> None:
    endpoint = Endpoint(options=ALL).accept(wnd=500, mss=MSS, wscale=6)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1), wnd=500)
    assert endpoint.conn.snd_wnd == 500 << 6


@pytest.mark.parametrize(("shift", "taken"), [(14, 14), (15, 14), (255, 14)])
def test_listen_syn_shift_beyond_14(shift: int, taken: int) -> None:
    """RFC 7323 section 2.3."""
    assert Endpoint(options=ALL).accept(mss=MSS, wscale=shift).conn.snd_shift == taken


def test_syn_sent_simultaneous_open_agrees() -> None:
    endpoint = client(rcv_wnd=300_000)
    endpoint.gets("S", theirs(0), mss=MSS, wscale=2, ts=(77, 0), wnd=1000)
    assert endpoint.sends() == [Sent("SA", ours(0), theirs(1), mss=MSS, wscale=3, ts=(CLOCK, 77))]
    assert endpoint.gets("SA", theirs(0), ours(1), wnd=1000, wscale=2, ts=(78, CLOCK)) & EV_ESTABLISHED
    assert (endpoint.conn.snd_wnd, endpoint.conn.snd_shift) == (1000, 2)


@pytest.mark.conformance("smoltcp:tsval_established_connection")
def test_established_every_segment_has_timestamps() -> None:
    endpoint = stamped()
    endpoint.now += 50_000
    assert endpoint.gets("A", theirs(1), ours(1), 10, ts=(130, CLOCK)) == EV_DATA
    endpoint.queue(5)
    assert endpoint.sends() == [Sent("PA", ours(1), theirs(11), 5, ts=(CLOCK + 50, 130))]
    endpoint.close()
    assert endpoint.sends() == [Sent("FA", ours(6), theirs(11), ts=(CLOCK + 50, 130))]


@pytest.mark.conformance(
    "smoltcp:established_options_reduce_payload_when_local_mss_limited",
    "smoltcp:established_options_reduce_payload_when_remote_mss_limited",
    "smoltcp:established_tiny_mss_with_options_makes_progress",
    "rfc9293:MUST-16",
)
@pytest.mark.parametrize(("mss", "payload"), [(MSS, MSS - 12), (500, 488), (5000, MSS - 12), (1, 36)])
def test_established_timestamps_take_from_the_payload(mss: int, payload: int) -> None:
    endpoint = client(OPT_TIMESTAMPS)
    endpoint.gets("SA", theirs(0), ours(1), mss=mss, ts=(1, CLOCK))
    endpoint.queue(2 * MSS)
    sent = endpoint.sends()
    assert max(segment.payload_len for segment in sent) == payload


@pytest.mark.conformance("packetimpact:PAWSMechanism")
@pytest.mark.parametrize("age", [1, 99, 1 << 30])
def test_established_older_timestamp_is_not_acceptable(age: int) -> None:
    """RFC 7323 section 5.3 R1: dropped, and answered with an ACK that has the timestamp of the last good segment."""
    endpoint = stamped(ts_recent=100)
    before = endpoint.snapshot()
    assert endpoint.gets("A", theirs(1), ours(1), 10, ts=((100 - age) & 0xFFFFFFFF, CLOCK)) == EV_UNACCEPTABLE
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), ts=(CLOCK, 100))]
    assert endpoint.changed(before) == {}


def test_established_timestamps_wrap() -> None:
    endpoint = stamped(ts_recent=0xFFFFFFFE)
    assert endpoint.gets("A", theirs(1), ours(1), 10, ts=(3, CLOCK)) == EV_DATA
    assert endpoint.sends() == [Sent("A", ours(1), theirs(11), ts=(CLOCK, 3))]
    assert endpoint.gets("A", theirs(11), ours(1), 10, ts=(0xFFFFFFFF, CLOCK)) == EV_UNACCEPTABLE


def test_established_any_timestamp_after_24_days() -> None:
    """RFC 7323 section 5.5."""
    endpoint = stamped(ts_recent=100)
    endpoint.now += 24 * DAY_US
    assert endpoint.gets("A", theirs(1), ours(1), 10, ts=(50, CLOCK)) == EV_UNACCEPTABLE
    endpoint.now += DAY_US // 1000
    assert endpoint.gets("A", theirs(1), ours(1), 10, ts=(50, CLOCK)) == EV_DATA


@pytest.mark.conformance("packetdrill:ts_recent/reset_tsval")
def test_established_rst_is_exempt_from_paws() -> None:
    endpoint = stamped(ts_recent=100)
    assert endpoint.gets("R", theirs(1), ts=(5, 0)) & EV_RESET
    endpoint = stamped(ts_recent=100)
    assert endpoint.gets("R", theirs(1)) & EV_RESET


def test_established_segment_without_timestamps_is_dropped() -> None:
    """RFC 7323 section 3.2: silently."""
    endpoint = stamped()
    before = endpoint.snapshot()
    assert endpoint.gets("A", theirs(1), ours(1), 10) == EV_UNACCEPTABLE
    assert endpoint.changed(before) == {}
    assert endpoint.sends() == []


@pytest.mark.conformance("packetdrill:ts_recent/invalid_ack")
def test_established_timestamp_is_kept_of_what_begins_at_the_last_ack() -> None:
    """RFC 7323 section 4.3: what is echoed is that of the segment the ACK is for, not of one behind a gap."""
    endpoint = stamped(ts_recent=100)
    endpoint.gets("A", theirs(11), ours(1), 10, ts=(140, CLOCK))
    assert endpoint.sends() == [Sent("A", ours(1), theirs(1), ts=(CLOCK, 100))]
    endpoint.gets("A", theirs(1), ours(1), 10, ts=(120, CLOCK))
    assert endpoint.sends() == [Sent("A", ours(1), theirs(11), ts=(CLOCK, 120))]


def test_established_timestamp_of_the_first_of_two_that_one_ack_is_for() -> None:
    endpoint = stamped(ts_recent=100, delack_ms=40)
    endpoint.gets("A", theirs(1), ours(1), 10, ts=(110, CLOCK))
    assert endpoint.sends() == []
    endpoint.gets("A", theirs(11), ours(1), 10, ts=(120, CLOCK))
    assert endpoint.sends() == [Sent("A", ours(1), theirs(21), ts=(CLOCK, 110))]


@pytest.mark.conformance("packetdrill:ts_recent/fin_tsval")
def test_established_timestamp_of_a_fin() -> None:
    endpoint = stamped(ts_recent=100)
    assert endpoint.gets("FA", theirs(1), ours(1), ts=(150, CLOCK)) == EV_FIN
    assert endpoint.sends() == [Sent("A", ours(1), theirs(2), ts=(CLOCK, 150))]


def test_established_round_trip_of_a_repeated_segment_is_told_by_its_timestamp() -> None:
    """RFC 7323 section 4.1: Karn's algorithm has none to offer."""
    endpoint = stamped()
    endpoint.queue(10)
    endpoint.sends()
    endpoint.expire()
    again = endpoint.sends()
    assert again[0].rexmit == 1
    endpoint.now += 80_000
    before = int(endpoint.conn.srtt)
    endpoint.gets("A", theirs(1), ours(11), ts=(200, again[0].ts[0] if again[0].ts else 0))
    assert endpoint.conn.srtt > before
    assert 200 <= endpoint.conn.rto <= 300


def time_wait(ts: tuple[int, int] | None, **limits: int) -> Endpoint:
    """A server in TIME_WAIT that could do timestamps, as its connection did or did not."""
    endpoint = Endpoint(options=OPT_TIMESTAMPS, **limits).accept(mss=MSS, ts=ts)
    endpoint.sends()
    endpoint.gets("A", theirs(1), ours(1), ts=ts)
    endpoint.close()
    endpoint.sends()
    assert endpoint.gets("FA", theirs(1), ours(2), ts=ts) & EV_TIME_WAIT
    endpoint.sends()
    return endpoint


OLD = EV_UNACCEPTABLE | EV_DUPLICATE


@pytest.mark.conformance("rfc9293:MAY-2", "rfc9293:SHLD-4")
@pytest.mark.parametrize(
    ("had", "now", "seq", "events"),
    [
        ((100, 0), (101, 0), -5, EV_REUSE),  # a later timestamp: whatever the sequence number
        ((100, 0), (100, 0), 2, EV_REUSE),
        ((100, 0), (100, 0), -5, OLD),
        ((100, 0), (99, 0), -5, OLD),
        ((100, 0), (99, 0), 2, EV_UNACCEPTABLE),
        ((100, 0), None, 2, EV_REUSE),
        ((100, 0), None, -5, EV_UNACCEPTABLE),
        (None, (1, 0), -5, EV_REUSE),  # timestamps are new
        (None, None, 2, EV_REUSE),
        (None, None, -5, OLD),
    ],
)  # fmt: skip
def test_time_wait_syn_by_timestamp(had: tuple[int, int] | None, now: tuple[int, int] | None, seq: int, events: int) -> None:
    """RFC 6191 section 2."""
    endpoint = time_wait(had)
    before = endpoint.snapshot()
    assert endpoint.gets("S", theirs(seq), ts=now) == events
    if events == EV_REUSE:
        assert endpoint.changed(before) == {}
    assert endpoint.state == "TIME_WAIT"


@pytest.mark.conformance("packetimpact:TimeWaitReset")
def test_time_wait_rst_ends_it_unless_it_is_kept() -> None:
    """RFC 9293 section 3.10.7.4 against RFC 1337."""
    endpoint = time_wait(None)
    endpoint.gets("R", theirs(2))
    assert endpoint.state == "CLOSED"
    endpoint = time_wait(None, keep_time_wait=1)
    before = endpoint.snapshot()
    assert endpoint.gets("R", theirs(2)) == EV_UNACCEPTABLE
    assert (endpoint.changed(before), endpoint.sends()) == ({}, [])


@pytest.mark.conformance("rfc9293:MUST-5")
def test_established_syn_options_mean_nothing_later() -> None:
    endpoint = client(0)
    endpoint.gets("SA", theirs(0), ours(1), mss=MSS)
    endpoint.sends()
    assert endpoint.gets("A", theirs(1), ours(1), 10, mss=100, wscale=9, sack_permitted=True, ts=(1, 2)) == EV_DATA
    assert endpoint.sends() == [Sent("A", ours(1), theirs(11))]
    assert (endpoint.conn.mss, endpoint.conn.snd_shift, int(endpoint.conn.bits) & (SACK_OK | TS_OK | WS_OK)) == (MSS, 0, 0)


def test_the_timestamp_clock_has_an_offset() -> None:
    endpoint = Endpoint(options=OPT_TIMESTAMPS, ts_offset=0xFFFFFFFF).connect()
    assert endpoint.sends()[0].ts == (CLOCK - 1, 0)
