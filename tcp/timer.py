"""What happens when a connection's deadline passes: RFC 9293 section 3.10.8, RFC 6298 section 5, RFC 1122 section 4.2.3.5."""

from __future__ import annotations

from dpdk_io.jit import kernel, rare
from dpdk_io.memory import i64
from tcp.acks import late_ack
from tcp.congestion import rewind, warm
from tcp.connection import (
    ACK_ALONE,
    ACK_DUE,
    CLOSED,
    COLD_READY,
    ESTABLISHED,
    FIN_WAIT_2,
    KEEP_ALIVE,
    PERSIST,
    PROBE,
    TAIL_DUE,
    TIME_WAIT,
    raise_bits,
    sent,
)
from tcp.deadlines import await_answer, expire_after, expire_at, is_due
from tcp.events import EV_CLOSED, EV_DOUBT, EV_RETRANSMIT, EV_RST_DUE, EV_TIMEOUT
from tcp.recovery import go_back, probe_due, timed_out
from tcp.rto import back_off


@kernel
def on_timer(conn, cold, limits, now):
    """Do what is due at *now* (us); EV_ bits, 0 when nothing is.

    EV_RETRANSMIT: `next_segment` has what to send. EV_CLOSED: the end of TIME_WAIT, or with EV_TIMEOUT a connection given up;
    with EV_RST_DUE as well, `reset_of` tells the peer.
    """
    deadline = i64(conn.deadline)
    if deadline == 0 or now // 1000 < deadline:
        return 0
    if i64(conn.bits) & COLD_READY == 0:
        return _main(conn, cold, limits, now)
    ms = now // 1000
    events = 0
    if is_due(i64(cold.delack_at), ms):
        events |= late_ack(conn, cold)
    if is_due(i64(cold.probe_at), ms):
        events |= _probe(conn, cold, limits, now)
    if is_due(i64(cold.rexmit_at), ms):
        events |= _main(conn, cold, limits, now)
    return events


@kernel
def _probe(conn, cold, limits, now):
    """REORDER is due. A probe of the tail puts off the retransmission timeout (RFC 8985 section 7.3)."""
    if not probe_due(conn, cold, limits, now):
        return 0
    if i64(conn.bits) & TAIL_DUE:
        expire_after(conn, cold, i64(conn.rto), now)
    return EV_RETRANSMIT


@kernel
def _main(conn, cold, limits, now):
    """REXMIT is due."""
    expire_at(conn, cold, i64(0))
    state = i64(conn.state)
    if state == TIME_WAIT:
        return _end(conn, EV_CLOSED)
    if i64(conn.bits) & PERSIST or sent(conn, cold) != i64(conn.snd_una):
        return _retransmit(conn, cold, limits, now)
    if state == FIN_WAIT_2:
        return _end(conn, EV_CLOSED | EV_TIMEOUT)
    if i64(limits.keepalive_ms) and not _unanswered(conn, limits):
        return _keep_alive(conn, cold, limits, now)
    return _end(conn, EV_CLOSED | EV_TIMEOUT | EV_RST_DUE)


@kernel
def _end(conn, events):
    conn.state = CLOSED
    conn.deadline = 0
    return events


@kernel
def _retransmit(conn, cold, limits, now):
    """Probe a shut window, or back off and send again what is in flight, or give up."""
    wnd = i64(conn.snd_wnd)
    if i64(conn.state) >= ESTABLISHED and i64(conn.bits) & PERSIST and wnd:
        raise_bits(conn, PROBE)
        return EV_RETRANSMIT
    if _exhausted(conn, cold, limits, now):
        return _end(conn, EV_CLOSED | EV_TIMEOUT)
    if i64(conn.state) < ESTABLISHED:
        # A lost SYN leaves one segment as the initial window (RFC 5681 section 3.1).
        rewind(conn, cold)
        cold.cwnd = 1
    elif wnd == 0:
        if sent(conn, cold) != i64(conn.snd_una):
            go_back(conn, cold)
        raise_bits(conn, PROBE)
    else:
        timed_out(conn, cold, limits, now)
    retries = i64(conn.retries) + 1
    conn.retries = retries
    back_off(conn, limits)
    await_answer(conn, cold, limits, now)
    return EV_RETRANSMIT | EV_DOUBT if retries == i64(limits.r1) else EV_RETRANSMIT


@kernel
def _exhausted(conn, cold, limits, now):
    """Has the peer been silent for too many timeouts, or for the user timeout?"""
    warm(conn, cold)
    retries = i64(conn.retries)
    ms = now // 1000
    if retries == 0:
        cold.since = (ms - i64(conn.rto)) & 0xFFFFFFFF
    patience = i64(limits.user_timeout_ms)
    if patience and ms - i64(cold.since) >= patience:
        return True
    return retries >= (i64(limits.retries) if i64(conn.state) >= ESTABLISHED else i64(limits.syn_retries))


@rare
def _unanswered(conn, limits):
    """Were all keep-alive probes sent, or did they last for the user timeout (RFC 5482 section 4.2)?"""
    probes = i64(conn.retries)
    silent = i64(limits.keepalive_ms) + probes * i64(limits.keepalive_interval_ms)
    patience = i64(limits.user_timeout_ms)
    return probes >= i64(limits.keepalive_probes) or (probes > 0 and patience != 0 and silent >= patience)


@rare
def _keep_alive(conn, cold, limits, now):
    """Nothing was heard for long: an ACK of the number before snd_una has the peer answer (RFC 9293 section 3.8.4)."""
    conn.retries = i64(conn.retries) + 1
    raise_bits(conn, ACK_DUE | ACK_ALONE | KEEP_ALIVE)
    expire_after(conn, cold, i64(limits.keepalive_interval_ms), now)
    return EV_RETRANSMIT
