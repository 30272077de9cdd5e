"""The usual segments in one go, against the functions that take them all: the same record, events and segments, or untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.connection import (
    ACK_ALONE,
    COLD,
    CONN,
    ESTABLISHED,
    FIN_QUEUED,
    FIN_WAIT_1,
    SACK_OK,
    SYN_RECEIVED,
    TIMED,
    WS_OK,
    advertised,
)
from tcp.events import EV_DATA
from tcp.expected import FLAGS_AT, LENGTH, REFUSED, next_expected, receive_expected
from tcp.limits import new_limits
from tcp.receive import receive
from tcp.segment import ACK, FIN, PSH, SEGMENT, URG
from tcp.transmit import next_segment

NOW = 7_000_123
LIMITS = [new_limits(), new_limits(delack_ms=0, rcv_wnd=900), new_limits(rcv_wnd=1_000_000, idle_ms=5000)]

near = st.sampled_from([0xFFFFFFF0, 0xFFFFFFFF, 0, 1, 5_000])


@st.composite
def connections(draw: st.DrawFn) -> Any:
    """A connection in any state, mostly without trouble."""
    conn = aligned(1, CONN)[0]
    una = draw(near)
    flight = draw(st.sampled_from([0, 0, 1, 2, 101, 1460]))
    conn.snd_una = una
    conn.iss = (una - draw(st.sampled_from([0, 1, 1000]))) & 0xFFFFFFFF
    conn.snd_nxt = (una + flight) & 0xFFFFFFFF
    conn.snd_end = (una + flight + draw(st.sampled_from([-1, -1, 0, 0, 1, 100, 1460, 1461, 9000]))) & 0xFFFFFFFF
    conn.rcv_nxt = draw(near)
    conn.state = draw(st.sampled_from([*range(11), *[3, 4, 5, 6, 7, 8, 9] * 4]))
    bits = draw(
        st.sampled_from([0, 1, 8, 9, ACK_ALONE | 8, TIMED, TIMED | 1, FIN_QUEUED, FIN_QUEUED | TIMED | 9, 8 | FIN_QUEUED])
    )
    conn.bits = (
        bits | draw(st.sampled_from([0, WS_OK | SACK_OK])) | draw(st.sampled_from([0] * 40 + [1 << n for n in range(4, 24)]))
    )
    conn.retries = draw(st.sampled_from([0] * 12 + [1]))
    conn.snd_wnd = draw(st.sampled_from([0, 100, 1461, *[65535] * 9]))
    conn.rcv_wnd = draw(st.sampled_from([0, 100, *[65535] * 9]))
    conn.snd_shift = draw(st.sampled_from([0, 0, 7]))
    conn.rcv_shift = draw(st.sampled_from([0, 0, 3]))
    conn.mss, conn.rto, conn.deadline = 1460, 200, draw(st.sampled_from([0, 7_100]))
    conn.srtt, conn.rttvar, conn.rtt_time = draw(st.sampled_from([(0, 0, 1), (3, 1, NOW - 900)]))
    return conn


@st.composite
def segments(draw: st.DrawFn, conn: Any) -> Any:
    """A segment for it, mostly the next one."""
    seg = aligned(1, SEGMENT)[0]
    seg.seq = (int(conn.rcv_nxt) + draw(st.sampled_from([0] * 19 + [-1, 1]))) & 0xFFFFFFFF
    flight = (int(conn.snd_nxt) - int(conn.snd_una)) & 0xFFFFFFFF
    seg.ack = (int(conn.snd_una) + draw(st.sampled_from([0, 1, -1, flight + 1, *[flight] * 6]))) & 0xFFFFFFFF
    seg.tcp_flags = draw(st.sampled_from([FIN, 2, 4, 18, ACK | URG, *[ACK, ACK | PSH, ACK | FIN, ACK | FIN | PSH] * 3]))
    seg.payload_len = draw(st.sampled_from([0, 0, 1, 16, 100, 101, 1460]))
    seg.wnd = draw(st.sampled_from([0, 100, *[65535] * 9]))
    return seg


def copy(record: Any) -> Any:
    made = aligned(1, record.dtype)
    made[0] = record
    return made[0]


def cold() -> Any:
    made = aligned(1, COLD)
    made.view(np.uint8)[:] = 0xA5
    return made[0]


taken = {"received": 0, "sent": 0}
"""Of what the checks were given, what was not refused."""


@settings(max_examples=1500, deadline=None)
@given(st.data())
def receives_as_receive_does(data: st.DataObject) -> None:
    conn = data.draw(connections())
    seg = data.draw(segments(conn))
    before, usual, usual_seg = copy(conn), copy(conn), copy(seg)
    limits = data.draw(st.sampled_from(LIMITS))
    events = receive_expected(conn, seg, limits.record, NOW)
    if events == REFUSED:
        assert conn.tobytes() == before.tobytes()
        return
    taken["received"] += 1
    spare = cold()
    assert events == receive(usual, spare, usual_seg, limits.record, NOW)
    assert conn.tobytes() == usual.tobytes()
    if events & EV_DATA:
        assert (seg.skip, seg.accepted) == (usual_seg.skip, usual_seg.accepted)
    assert spare.tobytes() == cold().tobytes()


@settings(max_examples=1500, deadline=None)
@given(st.data())
def sends_as_next_segment_does(data: st.DataObject) -> None:
    conn = data.draw(connections())
    before, usual, seq = copy(conn), copy(conn), int(conn.snd_nxt)
    limits = data.draw(st.sampled_from(LIMITS))
    word = next_expected(conn, NOW)
    if word == REFUSED:
        assert conn.tobytes() == before.tobytes()
        return
    taken["sent"] += 1
    spare, out = cold(), aligned(1, SEGMENT)[0]
    assert next_segment(usual, spare, out, limits.record, NOW) == (word != 0)
    if word:
        flags, length = word >> FLAGS_AT, word & LENGTH
        assert (out.seq, out.rexmit, out.ect) == (seq, 0, 0)
        assert (out.ack, out.wnd, out.opts, out.mss) == (conn.rcv_nxt, advertised(conn), 0, 0)
        assert (out.tcp_flags, out.payload_len) == (flags | PSH if length else flags, length)
        more = bool(before.bits & ACK_ALONE)
        assert conn.tobytes() == usual.tobytes()
        assert more or not next_segment(usual, spare, out, limits.record, NOW)
    assert conn.tobytes() == usual.tobytes()
    assert spare.tobytes() == cold().tobytes()


def test_receives_as_receive_does() -> None:
    """And a good part of it."""
    taken["received"] = 0
    receives_as_receive_does()
    assert taken["received"] > 120


def test_sends_as_next_segment_does() -> None:
    """And a good part of it."""
    taken["sent"] = 0
    sends_as_next_segment_does()
    assert taken["sent"] > 150


def test_a_connection_is_taken_from_its_handshake_on() -> None:
    conn = aligned(1, CONN)[0]
    conn.state, conn.snd_una, conn.snd_nxt, conn.snd_end = SYN_RECEIVED, 99, 100, 100
    conn.rcv_nxt, conn.snd_wnd, conn.rcv_wnd, conn.mss, conn.rto = 500, 65535, 65535, 1460, 200
    seg = aligned(1, SEGMENT)[0]
    seg.seq, seg.ack, seg.tcp_flags, seg.wnd, seg.payload_len = 500, 100, ACK, 65535, 16
    assert receive_expected(conn, seg, LIMITS[0].record, NOW) != REFUSED
    assert conn.state == ESTABLISHED
    conn.snd_end, conn.bits = 116, int(conn.bits) | FIN_QUEUED
    assert next_expected(conn, NOW) == (ACK | FIN) << FLAGS_AT | 16
    assert conn.state == FIN_WAIT_1
