"""What a process of its own does with a DPDK device: EAL starts once per process. `python programs.py NAME WORD...` runs one.

Each returns what is printed as JSON; an error of the project is printed as {"error": its line, "kind": its class}.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from dpdk_io import Port, TeError, UsageError, eal, flow, open_ports, register_thread, toeplitz, unregister_thread
from dpdk_io import mbuf as mb
from dpdk_io.jit import kernel
from dpdk_io.memory import load64, store64
from tests.dpdk_io.packets import content, ethernet, make, receive, send

FRAMES = [ethernet(i, 60 + i) for i in range(100)]
ETHERTYPE = 0x88B5
PROGRAMS: dict[str, Callable[..., Any]] = {}


def program(function: Callable[..., Any]) -> Callable[..., Any]:
    PROGRAMS[function.__name__] = function
    return function


def mine(frames: list[bytes]) -> list[bytes]:
    """Those of a test: kernels also send neighbour discovery and the like."""
    return [frame for frame in frames if frame[12:14] == ETHERTYPE.to_bytes(2, "big")]


def report(port: Port, **more: Any) -> dict[str, Any]:
    return {"name": port.name, "mac": port.mac.hex(), "stats": port.stats(), **more}


@program
def echo(spec: str, cores: str = "0", hugepages: str = "") -> dict[str, Any]:
    """Send frames on each queue of a device that returns what is sent, and look at what comes."""
    numbers = [int(core) for core in cores.split(",")]
    with open_ports([spec], numbers, hugepages={"": None, "1": True, "0": False}[hugepages]) as (port,):
        same = []
        for queue in range(port.n_queues):
            send(port, FRAMES[queue:], queue)
            same.append(receive(port, 100 - queue, queue) == FRAMES[queue:])
        return report(port, same=same, running=eal.running())


@program
def checksums(spec: str, interface: str) -> dict[str, Any]:
    """A TCP packet whose checksums are left to the device, as the other end sees it. Only here scapy may slow the start."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    packet = bytearray(
        bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(dst="10.0.0.2", src="10.0.0.1") / TCP())
    )
    expected = bytes(packet)
    packet[24:26] = bytes(2)
    pseudo = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(26, 34, 2)) + 6 + 20
    packet[50:52] = ((pseudo & 0xFFFF) + (pseudo >> 16)).to_bytes(2, "big")
    with open_ports([spec], [0], checksums=True) as (port,):
        _up(interface)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
            wire.bind((interface, 0))
            wire.settimeout(5)
            mbufs = make(port, [bytes(packet)])
            mb.leave_checksums(int(mbufs[0]), 14, 20)
            assert port.driver.tx_burst(port.handle, 0, mbufs.ctypes.data, 1) == 1
            (frame,) = _incoming(wire, 1)
    return {"same": frame == expected}


@program
def send_all(spec: str, cores: str) -> dict[str, Any]:
    """Send frames on each queue."""
    with open_ports([spec], [int(core) for core in cores.split(",")]) as (port,):
        for queue in range(port.n_queues):
            send(port, FRAMES, queue)
        return report(port)


@program
def mirror(spec: str, interface: str) -> dict[str, Any]:
    """Frames from a socket on *interface* to the device and back."""
    with open_ports([spec], [0]) as (port,):
        _up(interface)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as wire:
            wire.bind((interface, 0))
            wire.settimeout(5)
            for frame in FRAMES:
                wire.send(frame)
            inward = []
            end = time.monotonic() + 5
            while len(inward) < len(FRAMES) and time.monotonic() < end:
                inward += mine(receive(port, 8, seconds=0.05))
            send(port, FRAMES)
            outward = list(_incoming(wire, len(FRAMES)))
        return report(port, inward=inward == FRAMES, outward=outward == FRAMES, link=port.device.link()[0])


def _up(interface: str) -> None:
    subprocess.run(["ip", "link", "set", interface, "up"], check=True)
    state = Path(f"/sys/class/net/{interface}/operstate")
    while state.read_text().strip() == "down":
        time.sleep(0.01)


def _incoming(wire: socket.socket, count: int) -> Iterator[bytes]:
    while count:
        frame, (_, _, direction, *_) = wire.recvfrom(65535)
        if direction != socket.PACKET_OUTGOING:
            count -= 1
            yield frame


@program
def memif(path: str, role: str) -> dict[str, Any]:
    """The server returns what the client sends."""
    with open_ports([f"memif:{path}"], [0]) as (port,):
        end = time.monotonic() + 10
        while not port.device.link()[0] and time.monotonic() < end:
            time.sleep(0.01)
        if role == "client":
            send(port, FRAMES)
        got = receive(port, len(FRAMES))
        if role == "server":
            send(port, got)
            time.sleep(0.5)
        return report(port, same=got == FRAMES)


@program
def pcap(spec: str) -> dict[str, Any]:
    """Read a device to its end and send everything back."""
    with open_ports([spec], [0]) as (port,):
        frames: list[bytes] = []
        end = time.monotonic() + 5
        while not port.exhausted() and time.monotonic() < end:
            frames += receive(port, 1, seconds=0.01)
        send(port, frames)
        return report(port, packets=port.packets, read=[frame.hex() for frame in frames], exhausted=port.exhausted())


@program
def null(spec: str) -> dict[str, Any]:
    """Receive what a generator makes, and send into nothing."""
    with open_ports([spec], [0]) as (port,):
        sizes = {len(frame) for frame in receive(port, 100)}
        send(port, FRAMES)
        return report(port, sizes=sorted(sizes))


@kernel
def _spin(rx_burst, tx_burst, alloc_bulk, free_bulk, port, pool, queue, mbufs, rounds):
    """As many packets as *rounds* bursts of 32 carry: allocate, fill, send, receive, free."""
    received = 0
    for serial in range(rounds):
        got = alloc_bulk(pool, mbufs, 32)
        for i in range(got):
            mbuf = load64(mbufs + 8 * i)
            data = mb.data(mbuf)
            for word in range(8):
                store64(data + 8 * word, serial)
            mb.set_length(mbuf, 60)
        sent = tx_burst(port, queue, mbufs, got)
        free_bulk(pool, mbufs + 8 * sent, got - sent)
        got = rx_burst(port, queue, mbufs, 32)
        free_bulk(pool, mbufs, got)
        received += got
    return received


@program
def compiled(spec: str, cores: str, rounds: str) -> dict[str, Any]:
    """A compiled loop in a thread for each core, its cost per packet in nanoseconds, and the mbufs missing in the end."""
    with open_ports([spec], [int(core) for core in cores.split(",")], mbuf_cnt=8191) as (port,):
        before = port.free_mbufs()
        with ThreadPoolExecutor(port.n_queues) as threads:
            done = list(threads.map(lambda queue: _poll(port, queue, int(rounds)), range(port.n_queues)))
        received, costs = zip(*done, strict=True)
        return report(port, received=received, ns=costs, leaked=before - port.free_mbufs())


def _poll(port: Port, queue: int, rounds: int) -> tuple[int, float]:
    register_thread()
    driver, words = port.driver, np.zeros(32, np.int64)
    arguments = (driver.rx_burst, driver.tx_burst, driver.alloc_bulk, driver.free_bulk, port.handle, port.pool(queue), queue)
    received = _spin(*arguments, words.ctypes.data, 1)
    costs = []
    for _ in range(5):
        start = time.perf_counter()
        received += _spin(*arguments, words.ctypes.data, rounds)
        costs.append((time.perf_counter() - start) / rounds / 32 * 1e9)
    unregister_thread()
    return received, min(costs)


@program
def fresh(spec: str) -> dict[str, Any]:
    """What `alloc_bulk` gives after an mbuf came back in disorder."""
    with open_ports([spec], [0], mbuf_cnt=15, cache_size=0) as (port,):
        words, seen = np.zeros(15, np.int64), []
        for _ in range(2):
            assert port.driver.alloc_bulk(port.pool(0), words.ctypes.data, 15) == 15
            assert port.driver.alloc_bulk(port.pool(0), words.ctypes.data, 1) == 0
            for address in words.tolist():
                header = mb.header(address)
                names = ("data_off", "refcnt", "nb_segs", "ol_flags", "pkt_len", "data_len", "next")
                seen.append([int(header[name]) for name in names])
                header.data_off, header.ol_flags = 9, 3
                mb.set_length(address, 99)
            assert port.driver.reuse(port.pool(0), address)
            assert mb.pkt_len(address) == mb.header(address).ol_flags == 0
            assert mb.pool_of(address) == 0 or not port.driver.reuse(port.pool(0) + 64, address)
            port.driver.free_bulk(port.pool(0), words.ctypes.data, 15)
        return {"seen": seen}


@program
def fail(spec: str, cores: str = "0", **options: Any) -> dict[str, Any]:
    """Open what cannot be opened; then show that another device still can."""
    try:
        open_ports([spec], [int(core) for core in cores.split(",")], **options)
    except UsageError as error:
        with open_ports(["null"], [0]) as (port,):
            return {"error": str(error), "after": len(receive(port, 5))}
    return {"error": ""}


@program
def too_big(mbuf_cnt: str, hugepages: str) -> dict[str, Any]:
    """A mempool that does not fit the memory there is."""
    return fail("ring", mbuf_cnt=int(mbuf_cnt), hugepages=hugepages == "1")


@program
def forward(first: str, second: str) -> dict[str, Any]:
    """Two ports in one process, one mempool: frames of the first leave by the second."""
    with open_ports([first, second], [[0], [1]]) as (near, far):
        words = np.zeros(32, np.int64)
        got = near.driver.rx_burst(near.handle, 0, words.ctypes.data, 32)
        sent = far.driver.tx_burst(far.handle, 0, words.ctypes.data, got)
        back = [content(word) for word in words[: far.driver.rx_burst(far.handle, 0, words.ctypes.data, 32)].tolist()]
        return {"names": [near.name, far.name], "got": got, "sent": sent, "back": len(back)}


@program
def steering(spec: str) -> dict[str, Any]:
    """What a device of two queues can do, and what it says of what it cannot."""
    with open_ports([spec], [0, 1], rss_key=toeplitz.DEFAULT_KEY, rss_types=flow.RSS_IPV4_TCP) as (port,):
        can = flow.ability(port)
        asked = {
            "rss": lambda: flow.set_rss(port, toeplitz.SYMMETRIC_KEY, [0, 1]),
            "short key": lambda: flow.set_rss(port, b"short", [0, 1]),
            "rules": lambda: flow.install(port, [flow.Rule(queue, port=0xE000, port_mask=0xE000) for queue in range(2)]),
            "no queue": lambda: flow.install(port, [flow.Rule(2)]),
        }
        return {"rss": can.rss, "answers": {name: _answer(question) for name, question in asked.items()}}


def _answer(question: Callable[[], None]) -> str:
    try:
        question()
    except TeError as error:
        return str(error)
    return ""


@program
def tap_then(name: str, end: str) -> dict[str, Any]:
    """Open a tap and end by an exception, an exit without closing, or a signal from outside."""
    ports = open_ports([f"tap:{name}"], [0])
    present = Path(f"/sys/class/net/{name}").exists()
    sys.stdout.write(json.dumps({"present": present}) + "\n")
    sys.stdout.flush()
    if end == "exception":
        with ports:
            raise RuntimeError("on purpose")
    if end == "signal":
        with ports:
            signal.pause()
    return {}


@program
def again(spec: str) -> dict[str, Any]:
    """Open and close a device several times in one process."""
    outcomes = []
    for _ in range(3):
        with open_ports([spec], [0]) as (port,):
            send(port, FRAMES)
            outcomes.append(receive(port, 100) == FRAMES)
    return {"same": outcomes}


def main() -> None:
    name, *words = sys.argv[1:]
    try:
        said = PROGRAMS[name](*words)
    except TeError as error:
        said = {"error": str(error), "kind": type(error).__name__}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
