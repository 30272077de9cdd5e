"""What the application asks of a connection: RFC 9293 sections 3.10.2, 3.10.4 and 3.10.5.

There is no send buffer: a segment carries stream bytes from offset `seq - iss - 1`, which the caller makes when it is sent.
"""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import kernel
from dpdk_io.memory import i64
from tcp.connection import (
    CLOSED,
    CLOSING,
    CORK,
    FIN_QUEUED,
    LAST_ACK,
    NODELAY,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    clear_bits,
    raise_bits,
)
from tcp.reset import reset_of
from tcp.seq import advance, distance

_MOST_QUEUED = 1 << 30


@kernel
def queue(conn, n):
    """Let *n* more bytes be sent; how many of them were taken: none after `close`, and never more than 2^30 unacknowledged."""
    state = i64(conn.state)
    if state == CLOSED or i64(conn.bits) & FIN_QUEUED:
        return 0
    end = i64(conn.snd_end)
    room = _MOST_QUEUED - distance(end, i64(conn.snd_una))
    if unlikely(not 0 <= n <= room):
        n = max(min(n, room), 0)
    conn.snd_end = advance(end, n)
    return n


@kernel
def close(conn):
    """Send a FIN after what is queued; the receiving side stays open. In SYN_SENT the connection is CLOSED at once."""
    if i64(conn.state) == SYN_SENT:
        conn.state = CLOSED
        conn.deadline = 0
    else:
        raise_bits(conn, FIN_QUEUED)


@kernel
def nodelay(conn, on):
    """Let small segments leave at once whatever the limit `nagle` says (RFC 9293 section 3.7.4), or no more."""
    if on:
        raise_bits(conn, NODELAY)
    else:
        clear_bits(conn, NODELAY)


@kernel
def cork(conn, on):
    """Hold back what fills no segment, for 200 ms at most after the last ACK; or let it go."""
    if on:
        raise_bits(conn, CORK)
    else:
        clear_bits(conn, CORK)


@kernel
def abort(conn, cold, out):
    """Close at once. True when *out* holds an RST to send: in the states whose peer expects more from us."""
    state = i64(conn.state)
    conn.state = CLOSED
    conn.deadline = 0
    if state < SYN_RECEIVED or state in (CLOSING, LAST_ACK, TIME_WAIT):
        return False
    reset_of(conn, cold, out)
    return True
