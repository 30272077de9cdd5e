"""Transfers with the kernel's sockets: by our client, by our server, and, to compare, by a kernel in our place."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.network import needless
from tests.network.command import Outcome, outcome, te_apps_in, wait_for_answer
from tests.network.lab import Lab, Loss, Namespace, Wire
from tests.network.peers import SCRIPTS, wait_for_listener
from tests.network.witness import Capture, Conntrack, counters, tshark

SCRIPT = str(SCRIPTS / "transfers.py")
THEIRS, OURS, KERNEL = "10.0.0.1", "10.0.0.2", "10.0.0.3"
APP = ("trafficengine", "--ip", f"{OURS}/24", "--idle", "sleep", "--device", "af_packet:v0")
WRONG = "(tcp.checksum.status == 0 || ip.checksum.status == 0) && !tcp.checksum.ffff"
SILENT = ("TcpInCsumErrors", "IpInHdrErrors", "TcpEstabResets", "TcpAttemptFails")
"""Counters of the peer's kernel that stay 0 however bad the path is. It may send an RST for what comes late, or twice, and
finds its connection closed."""


@dataclass(frozen=True)
class Plan:
    """*count* transfers, *at_once* of them at the same time, of *request* bytes to the server and *response* bytes back."""

    count: int
    at_once: int
    request: int
    response: int

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(map(str, (self.count, self.at_once, self.request, self.response)))


@dataclass(frozen=True)
class Transfers:
    """What the kernel's sockets say of them, and what our run does."""

    told: list[dict[str, object]]
    run: Outcome | None = None

    @property
    def wrong(self) -> list[dict[str, object]]:
        return [each for each in self.told if not each["right"]]

    @property
    def seconds(self) -> list[float]:
        return sorted(float(str(each["seconds"])) for each in self.told)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def by_our_client(ours: Namespace, theirs: Namespace, plan: Plan) -> Transfers:
    server = theirs.start(sys.executable, SCRIPT, "server", "9000", str(plan.count))
    wait_for_listener(theirs, 9000)
    sizes = ("--connections", plan.count, "--max-open", plan.at_once, "--send", plan.request, "--receive", plan.response)
    run = outcome(te_apps_in(ours, *APP, "--target", f"{THEIRS}:9000", *sizes).finish(600))
    return Transfers(lines(server.finish(60).stdout), run)


def by_our_server(ours: Namespace, theirs: Namespace, plan: Plan) -> Transfers:
    process = te_apps_in(ours, *APP, "--role", "server", "--listen", 8080, "--connections", plan.count)
    wait_for_answer(theirs, OURS)
    told = theirs.run(sys.executable, SCRIPT, "client", OURS, "8080", *plan.sizes, seconds=600)
    return Transfers(lines(told.stdout), outcome(process.finish(60)))


def by_a_kernel(ours: Namespace, theirs: Namespace, plan: Plan) -> Transfers:
    """With CUBIC, from `KERNEL`, an address that *ours* must have."""
    server = theirs.start(sys.executable, SCRIPT, "server", "9000", str(plan.count))
    wait_for_listener(theirs, 9000)
    ours.run(sys.executable, SCRIPT, "client", THEIRS, "9000", *plan.sizes, seconds=600)
    return Transfers(lines(server.finish(60).stdout))


ROLES = {"client": by_our_client, "server": by_our_server}


def on_a_bad_path(lab: Lab, home: Path, role: str, plan: Plan, delay: float = 0.01) -> dict[str, int]:
    """Transfers at 3 % loss each way, 1 % of the frames late and 1 % twice. AssertionError if anything is not as it should be."""
    ours, middle, theirs = lab.distant()
    theirs.sysctl(net__ipv4__tcp_early_retrans=3)
    wire = Wire(middle, delay, reorder=0.01, duplicate=0.01)
    loss = Loss(middle, "numgen random mod 1000 < 30")
    conntrack = Conntrack(theirs)
    capture = Capture(middle, home / "bad.pcap", "m0")
    done = ROLES[role](ours, theirs, plan)
    file = capture.stop()
    carried = wire.stop()
    assert carried["dropped"] == 0
    assert min(loss.packets, carried["reordered"], carried["duplicated"]) > plan.count
    _assert_whole(done, role, plan)
    values = counters(theirs)
    assert {name: values[name] for name in SILENT if values[name]} == {}
    assert conntrack.invalid == 0
    assert tshark(file, WRONG) == []
    read = needless.read(file, OURS)
    assert read.needless == [], read.needless
    file.unlink()
    assert read.again > plan.count
    return {"transfers": plan.count, "lost": loss.packets, "segments": read.segments, "sent_again": read.again, **carried}


def _assert_whole(done: Transfers, role: str, plan: Plan) -> None:
    assert (len(done.told), done.wrong) == (plan.count, [])
    assert done.run is not None
    assert done.run.code == 0, done.run.errors
    side = done.run.result["roles"][role]
    assert (side["completed"], side["failed"]) == (plan.count, 0)
    ends = done.run.result[role]
    assert (ends["Mismatches"], ends["SentRst"]) == (0, 0), ends
    causes = done.run.result["release_causes"][role]
    assert (causes["PassiveRst"], causes["ActiveRst"], causes["Timeout"]) == (0, 0, 0), causes
    assert done.run.drops == {}


def goodput(transfers: list[Transfers], size: int) -> float:
    """Bytes a second, over the time of all transfers together: those at a lossy path's luckiest count little."""
    seconds = [each for transfer in transfers for each in transfer.seconds]
    return len(seconds) * size / sum(seconds)
