"""The steps of a handshake in one go, against the functions that take them one by one: the same record, events and segments, or
nothing changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpdk_io.memory import aligned
from tcp.connection import COLD, CONN
from tcp.expected import REFUSED
from tcp.handshake import accept_expected, connect_expected, receive_syn_ack
from tcp.header import write_options
from tcp.ip6 import FIRST_NUMBER
from tcp.limits import new_limits, own_mss
from tcp.open import accept, connect
from tcp.receive import receive
from tcp.segment import (
    ACK,
    ECE,
    FIN,
    OPT_MSS,
    OPT_SACK_PERMITTED,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    PSH,
    RST,
    SEGMENT,
    SYN,
    URG,
)
from tcp.timer import on_timer
from tcp.transmit import next_segment

NOW = 7_000_123
USUAL = OPT_MSS | OPT_WSCALE | OPT_SACK_PERMITTED
LIMITS = [
    *[new_limits(), new_limits(rcv_wnd=0x1FFFF, mss=900, in_order_only=1), new_limits(rcv_wnd=900, idle_ms=5000)] * 3,
    new_limits(options=0),
    new_limits(options=OPT_WSCALE),
    new_limits(options=USUAL & ~OPT_MSS | OPT_TIMESTAMPS),
    new_limits(ecn=1),
]
limits_of_all = st.sampled_from(LIMITS)
peers = st.sampled_from([0xC6120001, 0xC6120001, FIRST_NUMBER + 3])
numbers = st.sampled_from([0xFFFFFFF0, 0xFFFFFFFF, 0, 1, 5_000])


@st.composite
def syns(draw: st.DrawFn, flags: int) -> Any:
    """A segment with *flags* as a rule, and mostly with the usual options."""
    seg = aligned(1, SEGMENT)[0]
    seg.seq, seg.wnd = draw(numbers), draw(st.sampled_from([0, 100, 65535]))
    seg.tcp_flags = draw(
        st.sampled_from([*[flags] * 9, flags | PSH | FIN | URG, flags ^ ACK, flags ^ SYN, flags | RST, flags | ECE])
    )
    seg.opts = draw(st.sampled_from([*[USUAL, USUAL | OPT_TIMESTAMPS] * 4, 0, OPT_MSS, USUAL & ~OPT_WSCALE]))
    seg.mss, seg.wscale = draw(st.sampled_from([0, 47, 48, 1460, 1460, 1460, 9000])), draw(st.sampled_from([0, 7, 14, 15]))
    seg.payload_len = draw(st.sampled_from([0, 0, 0, 20]))
    return seg


def empty(dtype: Any) -> Any:
    """A record that nothing was written to yet."""
    made = aligned(1, dtype)
    made.view(np.uint8)[:] = 0xA5
    return made[0]


def copy(record: Any) -> Any:
    """The same bytes, padding and all."""
    made = aligned(1, record.dtype)
    made.view(np.uint8)[:] = np.frombuffer(record.tobytes(), np.uint8)
    return made[0]


def leaves_usual(conn: Any, limits: Any, flags: int) -> None:
    """What `next_segment` sends of *conn* is the SYN, or SYN-ACK, that the engine writes then."""
    spare, out = empty(COLD), aligned(1, SEGMENT)[0]
    assert next_segment(conn, spare, out, limits, NOW)
    assert (out.tcp_flags, out.seq, out.rexmit, out.ect, out.payload_len) == (flags, conn.iss, 0, 0, 0)
    assert (out.ack, out.wnd) == (conn.rcv_nxt if flags & ACK else 0, limits.syn_wnd)
    assert (out.opts, out.mss, out.wscale) == (USUAL, own_mss(conn, limits), limits.rcv_shift)
    assert spare.tobytes() == empty(COLD).tobytes()
    if conn.peer_ip < FIRST_NUMBER:
        options = aligned(3, ">u4")
        length = write_options(int(options.ctypes.data), out)
        assert options.tobytes() == limits.syn_options.tobytes() + limits.syn_scale.tobytes()
        assert limits.syn_sum == int(options.sum()) + length


@settings(max_examples=300, deadline=None)
@given(limits_of_all, peers, numbers)
def test_connects_as_one_by_one(block: Any, peer_ip: int, iss: int) -> None:
    limits, conn, usual = block.record, empty(CONN), empty(CONN)
    if not connect_expected(conn, limits, 7, 1024, peer_ip, 80, iss, NOW):
        assert conn.tobytes() == empty(CONN).tobytes()
        return
    connect(usual, limits, 7, 1024, peer_ip, 80, iss)
    leaves_usual(usual, limits, SYN)
    assert conn.tobytes() == usual.tobytes()


@settings(max_examples=600, deadline=None)
@given(limits_of_all, peers, numbers, syns(SYN))
def test_accepts_as_one_by_one(block: Any, peer_ip: int, iss: int, seg: Any) -> None:
    limits, conn, usual, spare = block.record, empty(CONN), empty(CONN), empty(COLD)
    if not accept_expected(conn, seg, limits, 7, 80, peer_ip, 1024, iss, NOW):
        assert conn.tobytes() == empty(CONN).tobytes()
        return
    accept(usual, spare, seg, limits, 7, 80, peer_ip, 1024, iss, NOW)
    leaves_usual(usual, limits, SYN | ACK)
    assert conn.tobytes() == usual.tobytes()
    assert spare.tobytes() == empty(COLD).tobytes()


@settings(max_examples=1200, deadline=None)
@given(st.data())
def test_is_answered_as_receive_takes_it(data: st.DataObject) -> None:
    limits, conn, spare = data.draw(limits_of_all).record, empty(CONN), empty(COLD)
    connect(conn, limits, 7, 1024, data.draw(peers), 80, data.draw(numbers))
    sent, again, now = *data.draw(st.sampled_from([*[(True, False)] * 9, (False, False), (True, True)])), NOW - 800
    if sent:
        assert next_segment(conn, spare, aligned(1, SEGMENT)[0], limits, now)
    if again:
        now += 1_100_000
        on_timer(conn, spare, limits, now)
        assert next_segment(conn, spare, aligned(1, SEGMENT)[0], limits, now)
    seg = data.draw(syns(SYN | ACK))
    seg.ack = (int(conn.iss) + data.draw(st.sampled_from([*[1] * 9, 0, 2]))) & 0xFFFFFFFF
    before, usual, usual_seg, usual_spare = copy(conn), copy(conn), copy(seg), copy(spare)
    events = receive_syn_ack(conn, seg, limits, now + 800)
    if events == REFUSED:
        assert conn.tobytes() == before.tobytes()
        return
    assert events == receive(usual, usual_spare, usual_seg, limits, now + 800)
    assert conn.tobytes() == usual.tobytes()
    assert seg.tobytes() == usual_seg.tobytes()
    assert spare.tobytes() == usual_spare.tobytes()


@pytest.mark.parametrize("block", LIMITS[:3])
@pytest.mark.parametrize("more", [0, OPT_TIMESTAMPS])
def test_the_usual_is_not_refused(block: Any, more: int) -> None:
    """Else the tests above would say nothing."""
    near, far, syn, answer = empty(CONN), empty(CONN), *aligned(2, SEGMENT)
    for seg, flags in (syn, SYN), (answer, SYN | ACK):
        seg.tcp_flags, seg.seq, seg.wnd, seg.opts, seg.mss, seg.wscale = flags, 5_000, 65535, USUAL | more, 1460, 7
    answer.ack = 301
    assert accept_expected(far, syn, block.record, 7, 80, 8, 1024, 900, NOW)
    assert connect_expected(near, block.record, 8, 1024, 7, 80, 300, NOW)
    assert receive_syn_ack(near, answer, block.record, NOW + 800) != REFUSED
