"""reassemble: make a whole datagram of its fragments (RFC 791, RFC 815, RFC 1122 section 3.3.2, RFC 8200 section 4.5).

Pipeline("mine", [parse, reassemble, ...], resources={"fragments": Fragments})

Stands behind parse. A fragment is copied and gone; the one that makes a datagram whole becomes that datagram, and goes on as if
it had arrived so: parsed anew, no fragment header left. What does not go into one mbuf is dropped. For 60 seconds after the first
fragment of a datagram the others are waited for; it is dropped when another fragment comes after that, or, as the oldest in a
full table, before. ICMP does not tell of it.

No fragment may overlap another (RFC 5722, here for IPv4 too): all of the datagram that has come is dropped. The same fragment
again is dropped alone, as is one of IPv4 that brings no byte that is not there. The first fragment has the headers up to TCP's,
whole (RFC 7112, RFC 3128). An IPv6 fragment that is all of its datagram is not mixed with others (RFC 6946). Neighbour discovery
is not believed in fragments (RFC 6980).
"""

from __future__ import annotations

from dpdk_io.expect import unlikely
from dpdk_io.jit import kernel, rare
from dpdk_io.mbuf import data_len, nb_segs, set_length, tailroom
from dpdk_io.memory import be16, copy_many, i64, load8, put_be16, record_at, store8, store16
from operators import wire
from operators.fragment_header import describe
from operators.fragments import (
    CONFLICT,
    DATA,
    DUPLICATE,
    EVICTED,
    FITS,
    HEAD,
    MALFORMED,
    MARKS,
    MOST_DATA,
    OVERLAP,
    TABLE,
    TIMED_OUT,
    TINY,
    TOO_LONG,
    UNIT,
    begin,
    datagram_at,
    is_part,
    piece_of,
)  # fmt: skip
from operators.parse import FRAGMENT, ICMP6, parse, read_headers
from pipeline import DROP, NEXT, operator
from tcp.checksum import ip_checksum

_BEGINS, _GOES_ON = 1, 2
"""Marks of units: the first of a fragment, and the others."""
_NOT_ECT, _CE = 0, 3
"""Codepoints (RFC 3168)."""
_ND_FIRST, _ND_LAST = 133, 137


@operator(
    state=[("whole", "i8")],
    reads=("kind", "ip_version", "l3", "l4", "l4_proto", "vlan"),
    writes=parse.writes,
    drops=("malformed", "tiny", "too_long", "duplicate", "overlap", "conflict", "timed_out", "evicted", "unfinished"),
    resizes=True,
)
def reassemble(pkt, mbuf, meta, state, now, fragments):
    """Put IPv4 and IPv6 fragments together; whole datagrams and other packets go on."""
    if unlikely(meta.kind == FRAGMENT):
        return _take_in(pkt, mbuf, meta, state, now, fragments)
    return NEXT


@rare
def _take_in(pkt, mbuf, meta, state, now, fragments):
    """Keep what is in the fragment; the verdict."""
    piece = piece_of(fragments)
    fault = describe(pkt, mbuf, meta, piece)
    alone = i64(piece.start) == 0 and not i64(piece.more)
    known = i64(-1) if alone or fault == MALFORMED else _find(state, fragments, piece, now)
    if fault == FITS:
        if known < 0:
            known = i64(record_at(fragments, TABLE).capacity) if alone else _claim(state, fragments)
            begin(datagram_at(fragments, known), piece, now)
        fault = _compare(pkt, datagram_at(fragments, known), piece)
    if fault == FITS:
        return _add(pkt, mbuf, meta, state, datagram_at(fragments, known), piece)
    if known >= 0 and fault != DUPLICATE:
        _end(state, datagram_at(fragments, known), fault)
    _lose(state, fault, i64(1))
    return DROP


@rare
def _lose(state, fault, n):
    """Count *n* fragments."""
    if fault == MALFORMED:
        state.malformed += n
    elif fault == TINY:
        state.tiny += n
    elif fault == TOO_LONG:
        state.too_long += n
    elif fault == DUPLICATE:
        state.duplicate += n
    elif fault == OVERLAP:
        state.overlap += n
    elif fault == CONFLICT:
        state.conflict += n
    elif fault == TIMED_OUT:
        state.timed_out += n
    elif fault == EVICTED:
        state.evicted += n


@rare
def _end(state, datagram, fault):
    """Nothing is waited for any more: what has come is lost, or whole if it FITS."""
    n = i64(datagram.fragments)
    datagram.fragments = 0
    state.unfinished -= n
    _lose(state, fault, n)


@kernel
def _find(state, fragments, piece, now):
    """Which datagram the fragment is of, -1: none yet. Those whose time is over are forgotten."""
    found = i64(-1)
    table = record_at(fragments, TABLE)
    for k in range(i64(table.capacity)):
        datagram = datagram_at(fragments, k)
        if i64(datagram.fragments) == 0:
            continue
        if now - i64(datagram.began) > i64(table.lifetime):
            _end(state, datagram, i64(TIMED_OUT))
        elif is_part(datagram, piece):
            found = k
    return found


@kernel
def _claim(state, fragments):
    """A free place, or that of the oldest."""
    oldest = i64(0)
    for k in range(i64(record_at(fragments, TABLE).capacity)):
        datagram = datagram_at(fragments, k)
        if i64(datagram.fragments) == 0:
            return k
        if i64(datagram.began) < i64(datagram_at(fragments, oldest).began):
            oldest = k
    _end(state, datagram_at(fragments, oldest), i64(EVICTED))
    return oldest


@kernel
def _compare(pkt, datagram, piece):
    """Does the fragment fit to those that have come?"""
    start, total = i64(piece.start), i64(datagram.total)
    end = start + i64(piece.bytes)
    is_last = not i64(piece.more)
    if (total >= 0 and (end > total or (is_last and end != total))) or (is_last and i64(datagram.reach) > end):
        return CONFLICT
    first, behind = start // UNIT, (end + UNIT - 1) // UNIT
    marks = i64(datagram.block) + MARKS
    seen = i64(0)
    for k in range(first, behind):
        seen += i64(load8(marks + k) != 0)
    if seen == 0:
        return FITS
    known = seen == behind - first and is_last == (end == total) and _is_same(pkt, datagram, piece)
    return DUPLICATE if known and (i64(piece.version) == 4 or _has_bounds(marks, first, behind)) else OVERLAP


@kernel
def _has_bounds(marks, first, behind):
    """Are these units those of one fragment?"""
    if load8(marks + first) != _BEGINS or load8(marks + behind) == _GOES_ON:
        return False
    for k in range(first + 1, behind):
        if load8(marks + k) != _GOES_ON:
            return False
    return True


@kernel
def _is_same(pkt, datagram, piece):
    """Is this what has come before at this place?"""
    one, other = pkt + i64(piece.at), i64(datagram.block) + DATA + i64(piece.start)
    for k in range(i64(piece.bytes)):
        if load8(one + k) != load8(other + k):
            return False
    return True


@kernel
def _store(pkt, datagram, piece):
    """Add the fragment to its datagram."""
    block, start, size = i64(datagram.block), i64(piece.start), i64(piece.bytes)
    first, behind = start // UNIT, (start + size + UNIT - 1) // UNIT
    store8(block + MARKS + first, i64(_BEGINS))
    for k in range(first + 1, behind):
        store8(block + MARKS + k, i64(_GOES_ON))
    copy_many(block + DATA + start, pkt + i64(piece.at), size)
    if start == 0:
        copy_many(block + HEAD, pkt, i64(piece.head))
        datagram.l3 = i64(piece.l3)
        datagram.head = i64(piece.head)
        datagram.proto = i64(piece.proto)
    if not i64(piece.more):
        datagram.total = start + size
    datagram.reach = max(i64(datagram.reach), start + size)
    datagram.units += behind - first
    datagram.fragments += 1
    datagram.ecns = i64(datagram.ecns) | 1 << i64(piece.ecn)


@kernel
def _add(pkt, mbuf, meta, state, datagram, piece):
    """The fragment fits; should it be the last that was missing, it becomes the datagram. The verdict."""
    _store(pkt, datagram, piece)
    state.unfinished += 1
    if i64(datagram.total) < 0 or i64(datagram.units) * UNIT < i64(datagram.total):
        return DROP
    fault = _become(pkt, mbuf, meta, datagram)
    _end(state, datagram, fault)
    if fault != FITS:
        return DROP
    state.whole += 1
    return NEXT


@kernel
def _become(pkt, mbuf, meta, datagram):
    """Write the datagram where the fragment is, and parse it; what is wrong with it. A mark of congestion on any fragment is
    kept, but not beside one whose sender knows of no marks (RFC 3168 section 5.3)."""
    size = i64(datagram.head) + i64(datagram.total)
    marked = i64(datagram.ecns) >> _CE & 1
    if marked and i64(datagram.ecns) >> _NOT_ECT & 1:
        return CONFLICT
    if nb_segs(mbuf) != 1 or size > min(data_len(mbuf) + tailroom(mbuf), MOST_DATA):
        return TOO_LONG
    copy_many(pkt, i64(datagram.block) + HEAD, i64(datagram.head))
    copy_many(pkt + i64(datagram.head), i64(datagram.block) + DATA, i64(datagram.total))
    set_length(mbuf, size)
    ip = pkt + i64(datagram.l3)
    if load8(ip) >> 4 == 4:
        _mend4(ip, size - i64(datagram.l3), i64(datagram.head) - i64(datagram.l3), marked)
    else:
        _mend6(ip, size - i64(datagram.l3), i64(datagram.head) - i64(datagram.l3), marked, i64(datagram.proto))
    if read_headers(pkt, size, mbuf, meta) != 0 or meta.kind == FRAGMENT or _is_discovery(pkt, meta):
        return MALFORMED
    return FITS


@kernel
def _mend4(ip, size, header, marked):
    """An IPv4 header of *header* bytes for a packet of *size* that is no fragment."""
    put_be16(ip + wire.IP_TOTAL_LENGTH, size)
    put_be16(ip + wire.IP_FRAGMENT, i64(0))
    if marked:
        store8(ip + wire.IP_TOS, load8(ip + wire.IP_TOS) | _CE)
    store16(ip + wire.IP_CHECKSUM, i64(0))
    store16(ip + wire.IP_CHECKSUM, ip_checksum(ip, header))


@kernel
def _mend6(ip, size, header, marked, proto):
    """IPv6 headers of *header* bytes for a packet of *size*, behind which *proto* follows and no fragment header."""
    put_be16(ip + wire.IP6_PAYLOAD_LENGTH, size - wire.IP6_HEADER)
    if marked:
        put_be16(ip, be16(ip) | _CE << 4)
    following, at = ip + wire.IP6_NEXT_HEADER, ip + wire.IP6_HEADER
    while at < ip + header:
        following = at
        at += (load8(at + 1) + 1) * UNIT
    store8(following, proto)


@kernel
def _is_discovery(pkt, meta):
    """Solicitations, advertisements and redirects of hosts and routers."""
    return meta.kind == ICMP6 and _ND_FIRST <= load8(pkt + i64(meta.l4)) <= _ND_LAST
