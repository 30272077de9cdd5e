"""Every example does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from pipeline import Operator, load
from pipeline.testing import Bench
from tests.operators.models import checksum

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ETHER = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")


def module(name: str) -> ModuleType:
    load_name = {"syn_guard": "guard", "generator": "generator", "two_branches": "router"}[name]
    load(f"{EXAMPLES / name}.py:{load_name}")
    return sys.modules[f"te_pipeline_{name}"]


def test_syn_guard_has_a_limit_and_two_ports() -> None:
    bench = Bench(module("syn_guard").guard)
    syn, data = bytes(ETHER / IP() / TCP(dport=80, flags="S")), bytes(ETHER / IP() / TCP(dport=443, flags="A"))
    verdicts = [o.verdict for o in bench.run([syn] * 101 + [data, bytes(ETHER / IP() / TCP(dport=22, flags="A"))])]
    assert verdicts == ["tx"] * 100 + ["drop", "tx", "slow"]
    assert bench.core.drops()["syn_guard.syn"] == 1


def test_the_generator_keeps_its_rate_and_its_packets_are_right() -> None:
    example = module("generator")
    bench = Bench(example.generator)
    start = bench.core.states[0][0]
    bench.run([], turns=1)
    first = int(start.next_at)
    while not int(start.sent) > 20:
        bench.run([], turns=1)
    assert int(start.next_at) - first == (int(start.sent) - 1) * int(start.gap)
    packet = Ether(bench.sent[0] if bench.sent else example.UDP)
    assert bytes(packet) == example.UDP
    assert checksum(bytes(packet)[14:34]) == 0
    assert packet[UDP].dport == 0x2000
    assert [o.verdict for o in bench.run([example.UDP])][:1] == ["drop"]
    assert int(bench.core.states[1][0].packets) == 1


def test_two_branches_route_mark_and_answer() -> None:
    bench = Bench(module("two_branches").router)
    four, six = ETHER / IP(dst="10.0.0.9", ttl=9) / UDP(), ETHER / IPv6(hlim=9) / UDP()
    request = Ether(src="02:00:00:00:00:0a") / ARP(hwsrc="02:00:00:00:00:0a", psrc="10.0.0.9", pdst="10.0.0.1")
    frames = [bytes(four), bytes(six), bytes(request), bytes(ETHER / ARP(op=2)), bytes(60), bytes(ETHER / IP(ttl=1) / UDP())]
    outcomes = bench.run(frames)
    assert [o.verdict for o in outcomes] == ["tx", "tx", "tx", "drop", "drop", "drop"]
    routed = Ether(outcomes[0].frame)
    assert (routed.src, routed.dst, routed[IP].ttl, routed[IP].tos >> 2) == ("02:00:00:00:00:01", "02:00:00:00:00:02", 8, 46)
    assert checksum(outcomes[0].frame[14:34]) == 0
    assert Ether(outcomes[1].frame)[IPv6].hlim == 8
    assert Ether(outcomes[2].frame)[ARP].hwsrc == "02:00:00:00:00:01"
    assert {k: v for k, v in bench.core.drops().items() if v} == {
        "ethertype.2054": 1, "ethertype.otherwise": 1, "decrement_ttl.expired": 1,
    }  # fmt: skip


def test_the_callback_example_looks_at_packets() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "callback.py")], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment where the plugin package is installed."""
    target = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source")
    for file in ("pyproject.toml", "te_apps_plugin_ttl.py", "README.md"):
        (source / file).write_text((EXAMPLES / "te-apps-plugin-ttl" / file).read_text())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": f"{target}:{ROOT}"}


def test_an_installed_plugin_is_discovered_and_listed(installed: dict[str, str]) -> None:
    program = "import pipeline; print(pipeline.discover()['ttl_histogram'].help)"
    done = subprocess.run([sys.executable, "-c", program], env=installed, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("Count IPv4 packets by their TTL.\n", "")
    listed = subprocess.run(
        [sys.executable, "-m", "apps.cli", "operators"], env=installed, capture_output=True, text=True, timeout=60
    )
    assert listed.returncode == 0, listed.stderr
    assert any("ttl_histogram" in line and "Count IPv4 packets by their TTL." in line for line in listed.stdout.splitlines())


def test_the_plugins_own_tests_pass(installed: dict[str, str]) -> None:
    tests = EXAMPLES / "te-apps-plugin-ttl" / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests), str(tests)]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, timeout=120, cwd=tests)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_built_in_operator_is_registered_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["te_apps.operators"]
    for name, target in points.items():
        place, _, attribute = target.partition(":")
        found = getattr(import_module(place), attribute)
        assert isinstance(found, Operator)
        assert found.name == name
    modules = {f"operators.{path.stem}" for path in (ROOT / "operators").glob("*.py")}
    named_after_it = {m for m in modules if isinstance(getattr(import_module(m), m.rpartition(".")[2], None), Operator)}
    assert named_after_it <= {target.partition(":")[0] for target in points.values()}
