"""Mistakes: each is one line that names its place, exit code 2, and nothing has been started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNUSABLE_CORE = max(os.sched_getaffinity(0)) + 1
LEGACY_PORT = '[netbricks]\ncores = [0]\nports = [{ name = "7:00.0", cores = [0], %s }]\n'

OPTIONS = {
    "unknown option": ("--conections 5", "--conections"),
    "abbreviated option": ("--conn 5", "--conn"),
    "option without value": ("--cps", "--cps"),
    "not a number": ("--cps fast", "--cps"),
    "rate 0": ("--cps 0", "--cps"),
    "negative rate": ("--cps -1", "--cps"),
    "rate nan": ("--cps nan", "--cps"),
    "rate infinite": ("--cps inf", "--cps"),
    "no connections": ("--connections 0", "--connections"),
    "fraction of connections": ("--connections 1.5", "--connections"),
    "negative connections": ("--connections -7", "--connections"),
    "max open 0": ("--max-open 0", "--max-open"),
    "max open beyond the ports": ("--max-open 40000", "--max-open"),
    "duration 0": ("--duration 0", "--duration"),
    "negative duration": ("--duration -1", "--duration"),
    "payload 0": ("--payload 0", "--payload"),
    "payload too large": ("--payload 99999999", "--payload"),
    "fin by client 0": ("--fin-by-client 0", "--fin-by-client"),
    "fin by server negative": ("--fin-by-server -1", "--fin-by-server"),
    "nothing to impair": ("--impair=", "--impair"),
    "impaired by a word": ("--impair much", "give NAME=VALUE, like loss=1%"),
    "unknown impairment": ("--impair los=1%", "did you mean 'loss'"),
    "impairment twice": ("--impair loss=1%,loss=2%", "loss is given twice"),
    "loss beyond all": ("--impair loss=101%", "a probability of 0% to 100%"),
    "negative loss": ("--impair loss=-1%", "--impair loss"),
    "loss nan": ("--impair loss=nan", "--impair loss"),
    "loss in words": ("--impair loss=some", "give one like 1% or 0.01"),
    "delay without unit": ("--impair delay=20", "a number and us or ms or s, like 20ms"),
    "delay too long": ("--impair delay=61s", "at most 60s"),
    "jitter beyond the delay": ("--impair delay=1ms,jitter=2ms", "give at most the delay"),
    "reorder without delay": ("--impair reorder=1%", "give a delay or a rate"),
    "rate without unit": ("--impair rate=10", "like 10mbit"),
    "no room in the line": ("--impair delay=1ms,limit=0", "--impair limit"),
    "negative seed": ("--seed -1", "--seed"),
    "unknown role": ("--role sever", "did you mean 'server'"),
    "client without targets": ("--role client", "--target"),
    "server with targets": ("--role server --target 10.0.0.2:80", "--target: for clients"),
    "server with a rate": ("--role server --cps 5", "--cps: for clients"),
    "client that listens": ("--ip 10.0.0.1/24 --target 10.0.0.2:80 --listen 80", "--listen: for servers"),
    "unknown device": ("--device rinng", "ring"),
    "empty device": ("--device=", "--device"),
    "device without name": ("--device tap", "tap:te0"),
    "absent interface": ("--device af_packet:nosuchif0 --ip 10.0.0.1/24", "nosuchif0"),
    "absent capture file": ("--device pcap:/nonexistent/in.pcap --ip 10.0.0.1/24", "/nonexistent/in.pcap"),
    "same device twice": ("--device net_ring0 --device net_ring0", "--device"),
    "link without address": ("--device 7:00.0", "--ip"),
    "core that is not there": (f"--cores {UNUSABLE_CORE}", "--cores"),
    "core twice": ("--cores 0,0", "--cores"),
    "cores without numbers": ("--cores all", "--cores"),
    "backward range": ("--cores 1-0", "--cores"),
    "negative core": ("--cores=-1", "--cores"),
    "address without prefix": ("--ip 10.0.0.1", "--ip"),
    "prefix too long": ("--ip 10.0.0.1/33", "--ip"),
    "address out of range": ("--ip 10.0.0.256/24", "--ip"),
    "network of too many addresses": ("--ip 10.0.0.0/8", "at most 4096"),
    "range that runs backwards": ("--ip 10.0.0.9-10.0.0.5/24", "10.0.0.5-10.0.0.9"),
    "range from the network on": ("--ip 10.0.0.0-10.0.0.5/24", "--ip"),
    "range beyond the link": ("--ip 10.0.0.200-10.0.1.5/24", "--ip"),
    "range without end": ("--ip 10.0.0.1-/24", "--ip"),
    "ranges that overlap": ("--ip 10.0.0.1-10.0.0.9/24 --ip 10.0.0.5/24", "10.0.0.5 is given twice"),
    "too many addresses in all": ("--ip 10.0.0.0/20 --ip 10.1.0.0/20", "at most 4096"),
    "range of targets that runs backwards": ("--ip 10.0.0.1/24 --target 10.0.0.9-10.0.0.2:80", "--target"),
    "targets in ranges twice": (
        "--ip 10.0.0.1/24 --target 10.0.0.2-10.0.0.9:80 --target 10.0.0.5:80",
        "10.0.0.5:80 is given twice",
    ),
    "client ports without range": ("--client-ports 5000", "--client-ports"),
    "client ports that run backwards": ("--client-ports 6000-5000", "5000-6000"),
    "client ports beyond 65535": ("--client-ports 1024-70000", "--client-ports"),
    "the one client port listens": ("--client-ports 65535-65535", "no port to connect from"),
    "fewer client ports than connections": ("--client-ports 5000-5099 --max-open 101", "--max-open"),
    "held for no time": ("--hold 0", "--hold"),
    "held longer than servers wait": ("--hold 60", "engine.timeouts.established"),
    "range for the kernel side": ("--device tap:te0 --ip 10.0.0.1/24 --kernel-side te9,10.0.0.5-10.0.0.9/24", "--kernel-side"),
    "broadcast as address": ("--ip 10.0.0.255/24", "--ip"),
    "multicast as address": ("--ip 224.0.0.1/24", "--ip"),
    "kernel's loopback as address": ("--ip 127.0.0.1/8", "--ip"),
    "address twice": ("--ip 10.0.0.1/24 --ip 10.0.0.1/16", "--ip"),
    "no time to live": ("--ttl 0", "--ttl"),
    "too long to live": ("--ttl 256", "--ttl"),
    "code point of seven bits": ("--dscp 64", "--dscp"),
    "target without port": ("--ip 10.0.0.1/24 --target 10.0.0.2", "--target"),
    "target port 0": ("--ip 10.0.0.1/24 --target 10.0.0.2:0", "--target"),
    "target port too large": ("--ip 10.0.0.1/24 --target 10.0.0.2:65536", "--target"),
    "target by name": ("--ip 10.0.0.1/24 --target example.com:80", "--target"),
    "target off-link": ("--ip 10.0.0.1/24 --target 10.0.1.2:80", "--gateway"),
    "target is broadcast": ("--ip 10.0.0.1/24 --target 10.0.0.255:80", "--target"),
    "target is everybody": ("--ip 10.0.0.1/24 --target 255.255.255.255:80", "--target"),
    "target is multicast": ("--ip 10.0.0.1/24 --target 224.0.0.1:80", "--target"),
    "target is nobody": ("--ip 10.0.0.1/24 --target 0.0.0.0:80", "--target"),
    "target twice": ("--ip 10.0.0.1/24 --target 10.0.0.2:80 --target 10.0.0.2:80", "--target"),
    "target with bad MAC": ("--ip 10.0.0.1/24 --target 10.0.0.2:80@zz", "--target"),
    "target is ours, nobody listens": ("--ip 10.0.0.1/24 --target 10.0.0.1:80", "--target"),
    "target is ours, client only": ("--ip 10.0.0.1/24 --target 10.0.0.1:65535 --role client", "--target"),
    "IPv6 without prefix length": ("--ip 2001:db8::1", "2001:db8::1/64"),
    "IPv6 prefix too long": ("--ip 2001:db8::1/129", "128"),
    "IPv6 network as address": ("--ip 2001:db8::/64", "4096"),
    "IPv6 group as address": ("--ip ff02::1/64", "--ip"),
    "IPv6 loopback as address": ("--ip ::1/64", "--ip"),
    "IPv6 of no host": ("--ip ::/64", "--ip"),
    "IPv4 in IPv6": ("--ip ::ffff:10.0.0.1/64", "--ip"),
    "IPv6 target without brackets": ("--ip 2001:db8::1/64 --target 2001:db8::2:80", "[2001:db8::2]:80"),
    "IPv6 target without port": ("--ip 2001:db8::1/64 --target [2001:db8::2]", "--target"),
    "IPv4 target in brackets": ("--ip 10.0.0.1/24 --target [10.0.0.2]:80", "--target"),
    "IPv6 target is a group": ("--ip 2001:db8::1/64 --target [ff02::1]:80", "--target"),
    "IPv6 target with a zone": ("--ip 2001:db8::1/64 --target [fe80::2%eth0]:80", "zone"),
    "IPv6 target off-link": ("--ip 2001:db8::1/64 --target [2001:db8:1::2]:80", "--gateway"),
    "IPv6 target off-link, IPv4 gateway": (
        "--ip 2001:db8::1/64 --ip 10.0.0.1/24 --gateway 10.0.0.9 --target [2001:db8:1::2]:80",
        "--gateway",
    ),
    "IPv6 target, no address of the family": ("--ip 10.0.0.1/24 --target [2001:db8::2]:80", "--ip ADDR/LEN"),
    "IPv4 target, no address of the family": ("--ip 2001:db8::1/64 --target 10.0.0.2:80", "--ip ADDR/LEN"),
    "gateway of the other family": ("--ip 10.0.0.1/24 --gateway fe80::1", "--gateway"),
    "two gateways of a family": ("--ip 10.0.0.1/24 --gateway 10.0.0.2 --gateway 10.0.0.3", "--gateway"),
    "IPv6 gateway off-link": ("--ip 2001:db8::1/64 --gateway 2001:db8:1::1", "--gateway"),
    "listen on a foreign address": ("--ip 10.0.0.1/24 --role server --listen 10.0.0.2:80", "--listen"),
    "listen on a word": ("--listen http", "--listen"),
    "gateway off-link": ("--ip 10.0.0.1/24 --gateway 10.0.1.1", "--gateway"),
    "gateway is ours": ("--ip 10.0.0.1/24 --gateway 10.0.0.1", "--gateway"),
    "multicast MAC": ("--mac 01:00:5e:00:00:01", "--mac"),
    "listen port too large": ("--listen 70000", "--listen"),
    "listen port outside the blocks": ("--steering port --listen 80", "--listen"),
    "listen port of clients": ("--role both --listen 40000", "--listen"),
    "port mask with gaps": ("--port-mask F0F0", "--port-mask"),
    "port mask not hexadecimal": ("--port-mask G000", "--port-mask"),
    "port mask too wide": ("--port-mask 1E000", "--port-mask"),
    "unknown steering": ("--steering prot", "did you mean 'port'"),
    "steering by address beyond the network": ("--steering ip --ip 10.0.0.1/30 --cores 0,1", "--steering"),
    "unknown idle policy": ("--idle spni", "did you mean 'spin'"),
    "empty request": ("--request=", "--request"),
    "request from absent file": ("--request @/nonexistent", "--request"),
    "request with unknown escape": (r"--request a\qb", "--request"),
    "request and payload": ("--request x --payload 9", "--payload"),
    "unknown response": ("--response ecoh", "did you mean 'echo'"),
    "records of unknown kind": ("--records out.xls", ".parquet"),
    "records nowhere": ("--records /nonexistent/out.csv", "--records"),
    "kernel side with long name": ("--kernel-side averyverylongname", "--kernel-side"),
    "kernel side where no kernel is": ("--kernel-side te9 --device ring", "--kernel-side"),
    "map of nothing": ("--map 7:00.0", "--map"),
    "map of unknown device": ("--map 7:00.0=net_ring0", "--map"),
    "more cache than buffers": ("--mbuf-cnt 100 --cache-size 90 --rxd 32", "--cache-size"),
    "fewer buffers than descriptors": ("--mbuf-cnt 1000 --rxd 1024", "--mbuf-cnt"),
    "descriptors 0": ("--rxd 0", "--rxd"),
    "absent file": ("nonexistent.toml", "nonexistent.toml"),
    "directory as file": ("/", "/"),
    "two files": ("a.toml b.toml", "b.toml"),
}

FILES = {
    "not TOML": ("[run\ncores = 0", "line 1"),
    "unknown key": ("[engine]\ncps_limt = 5", "did you mean 'cps_limit'"),
    "unknown key like no other": ("[engine]\nfoo = 5", "docs/configuration.md has the keys of [engine]"),
    "unknown key of a table within": ("[engine.tcp]\nfoo = 5", "docs/configuration.md has the keys of [engine.tcp]"),
    "unknown table": ("[engin]\ncps = 5", "engin"),
    "key in the wrong table": ("[run]\ncps = 5", "engine.cps"),
    "unknown impairment in a table": ("[run.impair]\nlos = 0.5", "run.impair"),
    "impairment that is no table": ("[run]\nimpair = 5", "run.impair"),
    "unknown timeout": ("[engine.timeouts]\nestablishd = 5", "did you mean 'established'"),
    "table as value": ("engine = 5", "engine"),
    "rate as string": ('[engine]\ncps = "5"', "engine.cps"),
    "boolean as number": ("[engine]\nconnections = true", "engine.connections"),
    "number as boolean": ("[run]\nchecksum = 1", "run.checksum"),
    "number as string": ("[run]\nname = 5", "run.name"),
    "path as name": ('[run]\nname = "../x"', "run.name"),
    "empty devices": ("[run]\ndevices = []", "run.devices"),
    "device that is no string": ('[run]\ndevices = ["ring", 5]', "run.devices[1]"),
    "empty cores": ("[run]\ncores = []", "run.cores"),
    "core as word": ('[run]\ncores = ["a"]', "run.cores"),
    "empty targets": ("[engine]\ntargets = []", "engine.targets"),
    "targets as table": ("[engine]\ntargets = { ip = 1 }", "engine.targets"),
    "target without ip": ("[engine]\ntargets = [{ port = 80 }]", "engine.targets[0].ip"),
    "target with bad port": (
        '[engine]\ntargets = [{ ip = "198.18.0.2", port = 1 }, { ip = "198.18.0.2", port = -1 }]', "engine.targets[1].port"
    ),
    "target with unknown key": ('[engine]\ntargets = [{ ip = "198.18.0.2", prt = 80 }]', "did you mean 'port'"),
    "target with bad mac": ('[engine]\ntargets = [{ ip = "198.18.0.2", port = 80, mac = "x" }]', "engine.targets[0].mac"),
    "same id twice": (
        '[engine]\ntargets = [{ id = "a", ip = "198.18.0.2", port = 1 }, { id = "a", ip = "198.18.0.2", port = 2 }]',
        "engine.targets[1].id",
    ),
    "second target off-link": ('[engine]\ntargets = ["198.18.0.2:80", "10.0.0.2:80"]', "engine.targets[1]"),
    "two rates": ("[engine]\ncps = 5\ncps_limit = 5", "cps_limit"),
    "negative timeout": ("[engine.timeouts]\nuser = -1", "engine.timeouts.user"),
    "no shortest timeout": ("[engine.timeouts]\nmin_rto = 0", "engine.timeouts.min_rto"),
    "mask as number beyond 16 bits": ("[engine]\nport_mask = 0x1E000", "engine.port_mask"),
    "kernel side without name": ('[engine]\nkernel_side = { address = "10.0.0.1/24" }', "engine.kernel_side"),
    "predecessor: bad mask": (LEGACY_PORT % 'fdir = { dst_port_mask = "E00F" }', "netbricks.ports[0].fdir.dst_port_mask"),
    "predecessor: bad steering": (LEGACY_PORT % 'flow_steering = "Mac"', "netbricks.ports[0].flow_steering"),
    "predecessor: port without name": ("[netbricks]\nports = [{ cores = [0] }]", "netbricks.ports[0].name"),
    "predecessor: strict": ("[netbricks]\nstrict = true\nports = [{ name = 'null', cores = [0] }]", "netbricks.strict"),
    "predecessor: rx and tx apart": (
        "[netbricks]\nports = [{ name = 'null', rx_cores = [0], tx_cores = [1] }]", "netbricks.ports[0].tx_cores"
    ),
    "predecessor: empty targets": ("[netbricks]\n[engine]\ntargets = []", "engine.targets"),
    "predecessor: rate 0": ("[netbricks]\n[trafficengine]\nengine = { cps_limit = 0 }", "trafficengine.engine.cps_limit"),
    "predecessor: bad ipnet": ("[netbricks]\n[trafficengine]\nengine = { ipnet = '1.2.3.4' }", "trafficengine.engine.ipnet"),
}  # fmt: skip


@pytest.mark.conformance("rfc9293:MUST-46.1", "rfc9293:MUST-46.2")
@pytest.mark.parametrize(("options", "named"), OPTIONS.values(), ids=OPTIONS)
def test_option(te_apps, options: str, named: str) -> None:
    outcome = te_apps("trafficengine", *options.split())
    _check(outcome, named)


@pytest.mark.parametrize(("content", "named"), FILES.values(), ids=FILES)
def test_file(te_apps, toml: Callable[[str], str], content: str, named: str) -> None:
    _check(te_apps("trafficengine", toml(content)), named)


@pytest.mark.parametrize(
    "arguments",
    [
        "macswap --cps 5", "macswap --cores x", "macswap --device nosuch", "macswap --duration 0", "nosuch", "run", "run nosuch",
        "run nosuch.py:x", "run nosuchmodule:x", "show nosuch.py:x", "show", "operators extra", "doctor --nosuch", "--nosuch",
    ],
)  # fmt: skip
def test_other_commands(te_apps, arguments: str) -> None:
    _check(te_apps(*arguments.split()), "te-apps: ")


def test_not_utf8(te_apps, tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xff"')
    _check(te_apps("trafficengine", str(path)), "UTF-8")


def test_too_many_cores_for_the_mask(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    _check(te_apps("trafficengine", "--cores", "0-4", "--port-mask", "C000"), "--port-mask")


def test_missing_pyarrow(te_apps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _check(te_apps("trafficengine", "--records", str(tmp_path / "out.parquet")), "te-apps[parquet]")


def _check(outcome, named: str) -> None:
    assert outcome.code == 2, outcome.err
    assert outcome.started == []
    assert outcome.out == ""
    assert outcome.err.startswith("te-apps: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert named in outcome.err


@pytest.mark.parametrize("arguments", ["trafficengine --cps 0", "trafficengine nonexistent.toml", "nosuch", "macswap --cores x"])
def test_as_a_process(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.cli", *arguments.split()], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("te-apps: ")
    assert done.stderr.count("\n") == 1
