"""A network on one machine: namespaces, veth pairs and bridges that live as long as a `with` block.

    with Lab() as lab:
        ours, theirs = lab.cable()                       # two namespaces, a veth pair between them
        theirs.run("ping", "-c1", ours.address)

Nothing here touches the machine's own interfaces, and everything goes with the block: processes first, then namespaces
with all that is in them.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, TracebackType
from typing import Any

OFFLOADS = ("tx", "rx", "tso", "gso", "gro")
_AHEAD = """
if [ -e /proc/self/autogroup ]; then echo -20 >/proc/self/autogroup; fi
exec nice -n -20 taskset --cpu-list "$0" "$@"
"""
"""For a session of its own: where sessions share the machine (autogroups), being nice counts within one only."""
_serial = itertools.count()


def wait_until(true: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """The first true value of *true()*, asked every 20 ms; AssertionError after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what or true}"
        time.sleep(0.02)


class Process:
    """A command running in a namespace. What it writes goes to files: a pipe nobody reads would stop it when full."""

    def __init__(self, namespace: str, command: tuple[str, ...]) -> None:
        self._home = TemporaryDirectory()
        self._out, self._err = Path(self._home.name, "out"), Path(self._home.name, "err")
        with self._out.open("w") as out, self._err.open("w") as err:
            whole = ["ip", "netns", "exec", namespace, *command]
            self.popen = subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def errors(self) -> str:
        """All of stderr so far."""
        return self._err.read_text()

    def signal(self, number: int = signal.SIGINT) -> None:
        self.popen.send_signal(number)

    def finish(self, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Wait for the end; AssertionError, with what it wrote, when it does not come."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.popen.args} still runs after {seconds} s\n{self.errors}") from None
        return subprocess.CompletedProcess(self.popen.args, self.popen.returncode, self._out.read_text(), self.errors)

    def stop(self) -> None:
        """End it, with force where SIGTERM is not heard within five seconds."""
        self.popen.terminate()
        try:
            self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self._home.cleanup()


class Namespace:
    """A network namespace with loopback up, no IPv6 chatter, and no limit on what it answers.

    Its TCP sends no tail loss probes: on a busy machine they repeat segments that are not lost.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.interface = ""
        self.address = ""
        self._place: tuple[str, ...] = ()
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.sysctl(
            net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1, net__ipv4__icmp_ratelimit=0,
            net__ipv4__tcp_early_retrans=0, net__core__somaxconn=8192, net__ipv4__tcp_max_syn_backlog=8192,
            net__ipv4__tcp_syncookies=0,
        )  # fmt: skip
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str, check: bool = True, seconds: float = 60.0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run *command* to its end. CalledProcessError (with its stderr shown) on failure."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *self._place, *command],
            stdin=subprocess.DEVNULL if "input" not in options else None,
            capture_output=True, text=True, timeout=seconds, **options,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *command: str) -> Process:
        """Start *command*; the lab stops it at the latest."""
        process = Process(self.name, (*self._place, *command))
        self.lab.at_end(process.stop)
        return process

    def sysctl(self, **values: Any) -> None:
        """Set keys written with double underscores for dots."""
        self.run("sysctl", "-q", *(f"{key.replace('__', '.')}={value}" for key, value in values.items()))

    def configure(self, interface: str, address: str = "") -> None:
        """Give *interface* the address "10.0.0.1/24", if any, and bring it up."""
        if address:
            self.run("ip", "address", "add", address, "dev", interface)
            self.address = address.split("/")[0]
        self.run("ip", "link", "set", interface, "up")
        self.interface = interface

    def settle(self, core: int) -> None:
        """Run commands on one core from now on, ahead of what else the machine does, and have what the interface receives come
        there, as from a network card."""
        core %= os.cpu_count() or 1
        self._place = ("setsid", "sh", "-c", _AHEAD, str(core))
        self.run("sh", "-c", f"echo {1 << core:x} > /sys/class/net/{self.interface}/queues/rx-0/rps_cpus")

    def has(self, interface: str) -> bool:
        return self.run("ip", "link", "show", interface, check=False).returncode == 0


def _remove(namespace: str) -> None:
    """Delete *namespace* and kill what still runs in it: it would live on as long as they do."""
    for pid in subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False).stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", namespace], check=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the tests as Ctrl-C does, with everything removed."""
    raise KeyboardInterrupt


class Lab:
    """The namespaces of one test."""

    def __init__(self) -> None:
        self.prefix = f"te{os.getpid()}x{next(_serial)}"
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        self.at_end(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _interrupt))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def at_end(self, undo: Callable[..., Any], *arguments: Any) -> None:
        """Have *undo* called when the lab closes, in reverse order."""
        self._stack.callback(undo, *arguments)

    def namespace(self, name: str) -> Namespace:
        full = f"{self.prefix}{name}"
        self.at_end(_remove, full)
        return Namespace(self, full)

    def veth(self, left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
        """Join two namespaces, offloads off: a packet socket at one end would else see unfinished checksums and giant frames."""
        subprocess.run(
            ["ip", "link", "add", left_name, "netns", left.name, "type", "veth", "peer", "name", right_name, "netns", right.name],
            check=True,
        )
        for namespace, name in ((left, left_name), (right, right_name)):
            namespace.run("ethtool", "-K", name, *itertools.chain.from_iterable((offload, "off") for offload in OFFLOADS))

    def cable(self, ours: str = "", theirs: str = "10.0.0.1/24") -> tuple[Namespace, Namespace]:
        """Two namespaces and a veth pair v0 - v1; ours has no address unless given, so that its kernel stays silent."""
        left, right = self.namespace("a"), self.namespace("b")
        self.veth(left, "v0", right, "v1")
        left.configure("v0", ours)
        right.configure("v1", theirs)
        return left, right

    def bridged(self, ours: str = "", theirs: str = "10.0.0.1/24") -> tuple[Namespace, Namespace, Namespace]:
        """As `cable`, with a namespace between the two whose bridge joins m0 and m1: the place to lose packets in."""
        left, middle, right = self.namespace("a"), self.namespace("m"), self.namespace("b")
        self.veth(left, "v0", middle, "m0")
        self.veth(middle, "m1", right, "v1")
        _bridge(middle)
        left.configure("v0", ours)
        right.configure("v1", theirs)
        return left, middle, right

    def distant(self, ours: str = "", theirs: str = "10.0.0.1/24") -> tuple[Namespace, Namespace, Namespace]:
        """As `bridged`, with a `Wire` to be laid in the middle, from w0, which the bridge's m1 leads to, to w1."""
        left, middle, right = self.namespace("a"), self.namespace("m"), self.namespace("b")
        self.veth(left, "v0", middle, "m0")
        self.veth(middle, "m1", middle, "w0")
        self.veth(middle, "w1", right, "v1")
        _bridge(middle)
        for name in ("w0", "w1"):
            middle.run("ip", "link", "set", name, "up")
        left.configure("v0", ours)
        right.configure("v1", theirs)
        return left, middle, right


def _bridge(middle: Namespace) -> None:
    """Join m0 and m1."""
    middle.run("ip", "link", "add", "br0", "type", "bridge")
    for port in ("m0", "m1"):
        middle.run("ip", "link", "set", port, "master", "br0")
        middle.run("ip", "link", "set", port, "up")
    middle.run("ip", "link", "set", "br0", "up")


class Wire:
    """The wire of a `distant` pair: frames come out *delay* seconds later; some, up to half of that later still, or twice."""

    def __init__(self, middle: Namespace, delay: float, reorder: float = 0.0, duplicate: float = 0.0, seed: int = 1) -> None:
        script = str(Path(__file__).parent / "wire.py")
        self._process = middle.start(sys.executable, script, "w0", "w1", *map(str, (delay, reorder, duplicate, seed)))
        wait_until(lambda: "ready" in self._process.errors or not self._process.running, what="the wire")
        assert self._process.running, self._process.errors

    def stop(self) -> dict[str, int]:
        """What it did: `frames`, `reordered`, `duplicated`; `dropped` for want of room, and at most `late_us` late."""
        self._process.signal(signal.SIGTERM)
        return json.loads(self._process.finish().stdout)


class Loss:
    """Loses the TCP packets that *rule*, in nft's words, selects out of those crossing the bridge of *middle*."""

    def __init__(self, middle: Namespace, rule: str) -> None:
        self._middle = middle
        middle.run("nft", "add table bridge loss")
        middle.run("nft", "add chain bridge loss forward { type filter hook forward priority 0; }")
        middle.run("nft", f"add rule bridge loss forward ip protocol tcp {rule} counter drop")

    @property
    def packets(self) -> int:
        return counted(self._middle, "bridge", "loss")


def counted(namespace: Namespace, family: str, table: str) -> int:
    """The packets counted by the first counter in an nft table."""
    rules = json.loads(namespace.run("nft", "-j", "list", "table", family, table).stdout)["nftables"]
    expressions = (expression for item in rules for expression in item.get("rule", {}).get("expr", ()))
    return next(expression["counter"]["packets"] for expression in expressions if "counter" in expression)
