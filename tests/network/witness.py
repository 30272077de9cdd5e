"""Who testifies that TCP on the wire was proper: the peer kernel's counters, conntrack, and tshark over a capture."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from tests.network.lab import Namespace, counted, wait_until

_SUSPECT = " || ".join(
    (
        "tcp.checksum.status == 0", "ip.checksum.status == 0", "icmp.checksum.status == 0", "icmpv6.checksum.status == 0",
        "_ws.malformed",
        "_ws.expert.severity == 0x00800000", "tcp.analysis.ack_lost_segment", "tcp.analysis.lost_segment",
        "tcp.analysis.window_full",
    )
)  # fmt: skip
_BAD = f"({_SUSPECT}) && !tcp.checksum.ffff"
"""tshark filter: checksums that are wrong, malformed or expert-error frames, and all that a clean wire never shows. Linux may
write the other zero of one's complement (RFC 1624), once in 65,536 segments: tshark remarks on it, and it is right."""
_REPEATED = "tcp.analysis.out_of_order || tcp.analysis.retransmission"
"""tshark filter: what a clean wire shows only where the machine held a core up for longer than a timeout."""

OF_OUR_MAKING = (
    "TcpInErrs", "TcpInCsumErrors", "TcpEstabResets", "TcpAttemptFails", "IpInHdrErrors", "IpInAddrErrors",
    "TcpExtTCPAbortOnData", "TcpExtTCPAbortOnClose", "TcpExtTCPAbortOnTimeout", "TcpExtTCPOFOQueue", "TcpExtListenOverflows",
    "TcpExtListenDrops", "TcpExtTCPReqQFullDrop", "TcpExtPAWSEstab", "TcpExtTCPRcvQDrop",
)  # fmt: skip
"""Counters of the peer's kernel that stay 0 when the other side speaks TCP properly over a wire that loses nothing."""
OF_HOLD_UPS = (
    "TcpRetransSegs", "TcpExtTCPTimeouts", "TcpExtTCPDSACKRecv", "TcpExtTCPChallengeACK", "TcpExtTCPSYNChallenge",
    "TcpExtTCPACKSkippedSynRecv",
)  # fmt: skip
"""Those that stay 0 too, but where the machine holds a core up for longer than a timeout."""
FEW = 40
"""What hold-ups may do to peers that have eight connections open at a time; `Outcome.few` is for a run of ours."""


def counters(namespace: Namespace) -> dict[str, int]:
    """The kernel's network counters by nstat's names; a fresh namespace starts with 0."""
    return json.loads(namespace.run("nstat", "-a", "-s", "-z", "-j").stdout)["kernel"]


def complaints(namespace: Namespace, few: int) -> dict[str, int]:
    """Those counters of `OF_OUR_MAKING` that are not 0, and those `OF_HOLD_UPS` that are more than a *few*."""
    values = counters(namespace)
    allowed = dict.fromkeys(OF_OUR_MAKING, 0) | dict.fromkeys(OF_HOLD_UPS, few)
    return {name: values[name] for name, most in allowed.items() if values.get(name, 0) > most}


def established(namespace: Namespace) -> int:
    """Connections that are open in both directions."""
    return len(namespace.run("ss", "-Htn", "state", "established").stdout.splitlines())


class Conntrack:
    """Counts packets arriving in *namespace* that connection tracking finds invalid."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        namespace.sysctl(net__netfilter__nf_conntrack_max=1_000_000)
        namespace.run("nft", "add table inet witness")
        namespace.run("nft", "add chain inet witness input { type filter hook input priority 0; }")
        namespace.run("nft", "add rule inet witness input ct state invalid counter")

    @property
    def invalid(self) -> int:
        return counted(self._namespace, "inet", "witness")


class Capture:
    """tcpdump of whole frames on an interface, from construction until `stop`; *direction* as its option -Q says."""

    def __init__(self, namespace: Namespace, file: Path, interface: str = "", direction: str = "inout") -> None:
        self.file = file
        self._process = namespace.start(
            "tcpdump", "-Z", "root", "-U", "--immediate-mode", "-B", "32768", "-s", "0", "-n", "-Q", direction,
            "-i", interface or namespace.interface, "-w", str(file),
        )  # fmt: skip
        wait_until(lambda: "listening on" in self._process.errors or not self._process.running, what="tcpdump")
        assert self._process.running, self._process.errors

    def stop(self) -> Path:
        """Stop once nothing more arrives; AssertionError when tcpdump could not keep up."""
        self._wait_for_quiet()
        self._process.signal(signal.SIGTERM)
        log = self._process.finish().stderr
        assert "\n0 packets dropped by kernel" in log, log
        return self.file

    def _wait_for_quiet(self) -> None:
        size = -1
        while size != self.file.stat().st_size:
            size = self.file.stat().st_size
            time.sleep(0.2)


def tshark(file: Path, display_filter: str, *fields: str) -> list[list[str]]:
    """The *fields* of every frame in *file* that matches, with all checksums verified."""
    wanted = [word for field in fields or ("frame.number", "_ws.col.Info") for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
         "-Y", display_filter, "-T", "fields", *wanted],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return [line.split("\t") for line in done.stdout.splitlines()]


def bad_frames(file: Path, few: int) -> list[list[str]]:
    """Frames in *file* that are wrong, and what was sent again if it is more than a *few*."""
    again = tshark(file, _REPEATED)
    return tshark(file, _BAD) + (again if len(again) > few else [])


def streams(file: Path, display_filter: str) -> int:
    """How many directions of connections have a segment that matches: one sent again does not count again."""
    return len({tuple(ends) for ends in tshark(file, display_filter, "tcp.stream", "tcp.srcport")})
