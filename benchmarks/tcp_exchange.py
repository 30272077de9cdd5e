"""Cycles of one 7-packet connection, both roles, through the functions of `tcp` alone: no packets, no wire.

    python benchmarks/tcp_exchange.py [CONNECTIONS]

Prints the cold compile time of everything, the cycles of an exchange (median of five rounds), and those of its parts.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np

from dpdk_io.jit import kernel
from dpdk_io.memory import aligned, i64, rdtsc, record_at
from tcp.application import close, queue
from tcp.checksum import pseudo_sum, tcp_checksum
from tcp.connection import CLOSED, COLD, CONN, TIME_WAIT
from tcp.events import EV_DATA, EV_ESTABLISHED, EV_FIN
from tcp.header import parse_options, write_checksum, write_header
from tcp.index import insert, lookup, new_index, remove, tuple_hash
from tcp.isn import initial
from tcp.limits import new_limits
from tcp.open import accept, connect
from tcp.receive import receive
from tcp.segment import SEGMENT
from tcp.slots import give_slot, new_slots, take_slot
from tcp.timer import on_timer
from tcp.transmit import next_segment
from tcp.wheel import arm, cancel, expired, new_wheel

_CLIENT_IP, _SERVER_IP, _SERVER_PORT, _PAYLOAD = 0x0A000001, 0x0A000002, 80, 16
_SHIFT = CONN.itemsize


@kernel
def _client(conn, cold, seg, limits, now):
    events = receive(conn, cold, seg, limits, now)
    if events & EV_ESTABLISHED:
        queue(conn, _PAYLOAD)
    if events & EV_FIN:
        close(conn)


@kernel
def _server(conn, cold, seg, limits, now):
    events = receive(conn, cold, seg, limits, now)
    if events & EV_DATA:
        queue(conn, i64(seg.accepted))
        close(conn)


@kernel
def exchange(client, server, cold, seg, limits, port, now):
    """One connection from SYN to the last ACK; the segments that it took."""
    connect(client, limits, _CLIENT_IP, port, _SERVER_IP, _SERVER_PORT, 0, initial(1, 2, _CLIENT_IP, port, _SERVER_IP, 80, now))
    next_segment(client, cold, seg, limits, now)
    accept(
        server, seg, limits, _SERVER_IP, _SERVER_PORT, _CLIENT_IP, port, 0, initial(3, 4, _SERVER_IP, 80, _CLIENT_IP, port, now)
    )
    segments = 1
    moved = True
    while moved:
        moved = False
        while next_segment(server, cold, seg, limits, now):
            segments += 1
            moved = True
            _client(client, cold, seg, limits, now)
        while next_segment(client, cold, seg, limits, now):
            segments += 1
            moved = True
            _server(server, cold, seg, limits, now)
    return segments


@kernel
def run(conns, cold, seg, limits, n, start):
    """*n* exchanges, cycling through the records; how many took 7 segments and ended as they should."""
    good = 0
    pairs = len(conns) // 2
    for i in range(n):
        client = conns[2 * (i % pairs)]
        server = conns[2 * (i % pairs) + 1]
        segments = exchange(client, server, cold, seg, limits, 1024 + i % 60000, start + i)
        if segments == 7 and i64(client.state) == CLOSED and i64(server.state) == TIME_WAIT:
            good += 1
    return good


@kernel
def run_tables(conns, slots, index, wheel, n, start):
    """What surrounds *n* exchanges: slot, index and timer work for both roles, 7 lookups and 7 re-arms."""
    found = 0
    for i in range(n):
        port = 1024 + i % 60000
        first = take_slot(slots)
        second = take_slot(slots)
        for slot in (first, second):
            conn = record_at(conns + slot * _SHIFT, CONN)
            conn.local_ip = _CLIENT_IP
            conn.peer_ip = _SERVER_IP
            conn.local_port = port
            conn.peer_port = slot
            hashed = tuple_hash(i64(index.seed), _CLIENT_IP, port, _SERVER_IP, slot)
            insert(index, hashed, slot)
            for k in range(4):
                hashed = tuple_hash(i64(index.seed), _CLIENT_IP, port, _SERVER_IP, slot)
                found += lookup(index, hashed, conns, _CLIENT_IP, port, _SERVER_IP, slot) == slot
                arm(wheel, slot, start + 200 + k)
            cancel(wheel, slot)
            remove(index, hashed, slot)
        give_slot(slots, second)
        give_slot(slots, first)
        expired(wheel, start + i // 1000)
    return found


@kernel
def run_wire(address, seg, n):
    """*n* times: header written, 16 bytes of payload checksummed, the same verified, options parsed."""
    good = 0
    for i in range(n):
        seg.seq = i
        length = write_header(address, 1024 + (i & 0x7FFF), 80, seg) + _PAYLOAD
        pseudo = pseudo_sum(_CLIENT_IP, _SERVER_IP, length)
        write_checksum(address, tcp_checksum(address, length, pseudo))
        good += tcp_checksum(address, length, pseudo) == 0
        parse_options(address + 20, 0, seg)
    return good


@kernel
def _cycles() -> Any:
    return rdtsc()


def measure(fn: Any, *arguments: Any, n: int) -> float:
    """Cycles of one of *n* rounds: the median of five."""
    rounds = []
    for _ in range(5):
        start = _cycles()
        fn(*arguments)
        rounds.append((_cycles() - start) / n)
    return statistics.median(rounds)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    conns, cold, seg = aligned(512, CONN), aligned(1, COLD)[0], aligned(1, SEGMENT)[0]
    limits = new_limits().record
    slots, index, wheel = new_slots(512), new_index(512, 7), new_wheel(512)
    buffer = np.zeros(2048, np.uint8)
    _cycles()
    began = time.perf_counter()
    run(conns, cold, seg, limits, 1, 1)
    exchange_compiled = time.perf_counter()
    on_timer(conns[0], cold, limits, 1)
    run_tables(conns.ctypes.data, slots.record, index.record, wheel.record, 1, 1)
    run_wire(buffer.ctypes.data, seg, 1)
    print(f"cold compile: exchange {exchange_compiled - began:.1f} s, everything {time.perf_counter() - began:.1f} s")
    good = run(conns, cold, seg, limits, n, 1)
    if good != n:
        raise SystemExit(f"only {good} of {n} exchanges were right")
    print(f"exchange: {measure(run, conns, cold, seg, limits, n, 1, n=n):.0f} cycles for 7 segments, both roles")
    tables = measure(run_tables, conns.ctypes.data, slots.record, index.record, wheel.record, n, 1, n=n)
    print(f"tables:   {tables:.0f} cycles for slots, index and timers of both roles, 8 lookups and 8 re-arms")
    wire = measure(run_wire, buffer.ctypes.data, seg, n, n=n)
    print(f"wire:     {wire:.0f} cycles to write and to verify one segment of {_PAYLOAD} bytes")


if __name__ == "__main__":
    main()
