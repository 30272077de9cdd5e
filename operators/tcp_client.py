"""tcp_client: open connections, by a schedule or as fast as they are answered."""

from __future__ import annotations

from dpdk_io.jit import inlined, kernel
from dpdk_io.memory import i64, load16, load64, record_at
from operators.accounting import count_opened
from operators.connections import release, start
from operators.engine import (
    ATTEMPTED,
    ENGINE,
    OPEN,
    TARGET,
    TIME_WAIT_EVICTED,
    addresses_at,
    app_at,
    bump,
    conn_at,
    first_number,
    new_app,
    peek,
)  # fmt: skip
from operators.frames import address_sum
from operators.steering import STEERING, owner, owner_ip6
from pipeline import BURST, room, tick
from pipeline.outbox import CORE, behind
from tcp.connection import TIME_WAIT
from tcp.index import INDEX, insert, lookup, prefetch_entry, tuple_hash
from tcp.ip6 import FIRST_NUMBER, octets_of
from tcp.ports import PORTS, give_port, take_port
from tcp.slots import SLOTS, take_slot

_PORTS_TRIED = 1024


@tick(state=[("no_port", "i8"), ("no_slot", "i8")])
def tcp_client(now, out, state, tcp):
    """Open the connections that are due: never more than wanted, than may be open at once, or than the schedule asks for."""
    eng = record_at(tcp, ENGINE)
    if not i64(eng.is_client) or i64(eng.paused) or not i64(eng.begun) <= now < i64(eng.ends):
        return i64(0)
    opened = i64(0)
    for _ in range(_allowed(eng, out, now)):
        if not _open_one(eng, out, state, opened, now):
            break
        opened += 1
    if opened:
        eng.started = i64(eng.started) + opened
        bump(i64(eng.intervals) + i64(eng.interval) * 16, 0, opened)
        count_opened(i64(eng.client), opened)
    return opened


@kernel
def _allowed(eng, out, now):
    """How many connections to open in this turn."""
    if behind(out):
        return i64(0)
    counters = i64(eng.client)
    allowed = min(i64(eng.max_open) - peek(counters, OPEN), room(out), BURST)
    if i64(eng.wanted) >= 0:
        allowed = min(allowed, i64(eng.wanted) - i64(eng.started))
    if eng.per_cycle > 0.0:
        return min(allowed, i64((now - i64(eng.begun)) * eng.per_cycle) - i64(eng.started))
    # Without a schedule a full burst means that there is enough to do: what is in flight stays in the processor's cache. A few
    # connections are always open, whatever else fills the bursts.
    return allowed if i64(record_at(out, CORE).rx_last) < BURST or peek(counters, OPEN) < BURST else i64(0)


@inlined
def _open_one(eng, out, state, before, now):
    """Open a connection to the next target, after *before* others in this turn. False: there was no port or no slot, or the
    target's MAC is not known."""
    target = record_at(i64(eng.targets) + i64(eng.next_target) * 24, TARGET)
    peer_mac = load64(i64(target.neighbour))
    if peer_mac == 0:
        return False
    local = i64(eng.next_local_ip6) if i64(target.ip) >= FIRST_NUMBER else i64(eng.next_local)
    ports = record_at(i64(eng.ports) + local * 64, PORTS)
    local_ip = load64(i64(eng.local) + local * 8)
    port = _take_own_port(eng, ports, local_ip, target)
    if port < 0:
        state.no_port += 1
        return False
    slot = _claim(eng, local_ip, port, i64(target.ip), i64(target.port))
    if slot < 0:
        give_port(ports, port)
        state.no_slot += 1
        return False
    _start(eng, out, slot, target, local, local_ip, port, peer_mac, before, now)
    _prefetch_next(eng, ports, local_ip, target)
    following = i64(eng.next_target) + 1
    if following == i64(eng.n_targets):
        following = i64(0)
        _next_locals(eng)
    eng.next_target = following
    return True


@inlined
def _next_locals(eng):
    """Every target has had its turn: now from the next of our addresses, in either family."""
    if i64(eng.n_local) == 1:
        return
    n_ip4 = i64(eng.n_ip4)
    following = i64(eng.next_local) + 1
    eng.next_local = following if following < n_ip4 else 0
    following = i64(eng.next_local_ip6) + 1
    eng.next_local_ip6 = following if following < i64(eng.n_local) else n_ip4


@inlined
def _prefetch_next(eng, ports, local_ip, target):
    """Ask for the index entry of the connection that is probably opened next."""
    index = record_at(i64(eng.index), INDEX)
    port = load16(i64(ports.ring) + i64(ports.head) * 2)
    prefetch_entry(index, tuple_hash(i64(index.seed), local_ip, port, i64(target.ip), i64(target.port)))


@inlined
def _take_own_port(eng, ports, local_ip, target):
    """A free port whose packets the device, or `steer`, brings back to this core; -1 when none of the next few is."""
    return _steered_port(eng, ports, local_ip, target) if i64(eng.steering) else take_port(ports)


@kernel
def _steered_port(eng, ports, local_ip, target):
    port = take_port(ports)
    steering = record_at(i64(eng.steering), STEERING)
    for _ in range(_PORTS_TRIED):
        if port < 0 or _owner(eng, steering, target, local_ip, port) == i64(steering.index):
            return port
        give_port(ports, port)
        port = take_port(ports)
    if port >= 0:
        give_port(ports, port)
    return i64(-1)


@kernel
def _owner(eng, steering, target, local_ip, port):
    peer_ip, peer_port = i64(target.ip), i64(target.port)
    if peer_ip < FIRST_NUMBER:
        return owner(steering, peer_ip, local_ip, peer_port, port)
    table = addresses_at(eng)
    return owner_ip6(steering, octets_of(table, peer_ip), octets_of(table, local_ip), peer_port, port)


@inlined
def _claim(eng, local_ip, port, peer_ip, peer_port):
    """A slot entered in the index for this 4-tuple, or -1. A connection of ours that waits in TIME_WAIT gives way (RFC 6191)."""
    index = record_at(i64(eng.index), INDEX)
    slots = record_at(i64(eng.slots), SLOTS)
    hashed = tuple_hash(i64(index.seed), local_ip, port, peer_ip, peer_port)
    old = lookup(index, hashed, i64(eng.conns), local_ip, port, peer_ip, peer_port)
    if old >= 0:
        conn = conn_at(eng, old)
        if i64(conn.state) != TIME_WAIT:
            return i64(-1)
        bump(i64(eng.client), TIME_WAIT_EVICTED, 1)
        release(eng, conn, app_at(eng, old), old)
    slot = take_slot(slots)
    if slot < 0:
        return i64(-1)
    insert(index, hashed, slot)
    app_at(eng, slot).hash = hashed
    return slot


@inlined
def _start(eng, out, slot, target, local, local_ip, port, peer_mac, before, now):
    """Fill the records in *slot* and send the SYN."""
    app = app_at(eng, slot)
    peer_ip, peer_port = i64(target.ip), i64(target.port)
    iss = first_number(eng, local_ip, port, peer_ip, peer_port)
    new_app(app, i64(app.hash), address_sum(eng, local_ip, peer_ip), peer_mac, _due(eng, before, now))
    app.uid = (peek(i64(eng.client), ATTEMPTED) + before + 1) & 0xFFFFFFFF
    app.local_index = local
    start(eng, out, app, slot, local_ip, port, peer_ip, peer_port, iss, now)


@kernel
def _due(eng, before, now):
    """When the schedule wanted this connection: latencies count from then, however late it is."""
    if eng.per_cycle > 0.0:
        return i64(eng.begun) + i64((i64(eng.started) + before) / eng.per_cycle)
    return now
