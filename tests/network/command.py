"""The installed command, run as a user would: `te-apps` beside the Python that runs the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.network.lab import Namespace, Process, wait_until

TE_APPS = str(Path(sys.executable).with_name("te-apps"))


@dataclass(frozen=True)
class Outcome:
    """How a run with --json ended."""

    code: int
    result: dict[str, Any]
    errors: str

    @property
    def drops(self) -> dict[str, int]:
        """Named drops that are not 0, but for those that lose nothing: other protocols' frames, and TIME_WAITs cut short."""
        harmless = ("not_for_us", "time_wait_evicted")
        return {name: count for name, count in self.result["drops"].items() if count and name not in harmless}

    @property
    def few(self) -> int:
        """Of segments that needlessly are sent again, so many are the machine's fault: when it holds up a core for longer than a
        timeout, each connection open at that time repeats a segment or two. A quiet machine, which has few open, may little."""
        return 4 * max(role["max_open"] for role in self.result["roles"].values())


def outcome(done: subprocess.CompletedProcess[str]) -> Outcome:
    """Parse stdout, which must be one JSON object and nothing else."""
    assert done.stdout.startswith("{"), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Outcome(done.returncode, json.loads(done.stdout), done.stderr)


def te_apps(*arguments: object, seconds: float = 180.0, before: tuple[str, ...] = ()) -> Outcome:
    """Run an app to its end, outside namespaces, for devices whose packets stay in the process; *before* stands before it."""
    command = [*before, TE_APPS, *map(str, arguments), "--json"]
    return outcome(
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
    )


def te_apps_in(namespace: Namespace, *arguments: object) -> Process:
    """Start an app in *namespace*; `outcome(process.finish())` is its result."""
    return namespace.start(TE_APPS, *map(str, arguments), "--json")


def run_in(namespace: Namespace, *arguments: object, seconds: float = 180.0) -> Outcome:
    return outcome(te_apps_in(namespace, *arguments).finish(seconds))


def wait_for_interface(namespace: Namespace, process: Process, interface: str, address: str = "") -> None:
    """Wait until the app has made *interface*, then give it *address* and bring it up."""
    wait_until(lambda: namespace.has(interface) or not process.running, 30, interface)
    assert process.running, process.finish()
    namespace.configure(interface, address)


def wait_for_answer(namespace: Namespace, address: str) -> None:
    """Wait until *address* answers a ping: an app compiles before it does, the first time."""
    command = ("ping", "-c1", "-W1", address)
    wait_until(lambda: namespace.run(*command, check=False).returncode == 0, 120, f"an answer from {address}")
