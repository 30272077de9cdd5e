"""IPv6 with the kernel's TCP at the other end: as client and as server, beside IPv4, found by neighbour discovery."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.addresses import ip_text, link_local
from tests.network.command import outcome, run_in, te_apps_in, wait_for_answer, wait_for_interface
from tests.network.lab import Lab, Namespace, Process
from tests.network.peers import connect_many, curl, nginx
from tests.network.test_client import BODY, CLIENT, assert_all_served
from tests.network.witness import FEW, Capture, Conntrack, bad_frames, complaints, counters, streams, tshark

pytestmark = pytest.mark.root

THEIRS, OURS = "fd00::1", "fd00::2"
MAC = "02:00:00:00:00:02"
TARGET = ("--ip", f"{OURS}/64", "--target", f"[{THEIRS}]:80")
SERVER = (
    "trafficengine", "--role", "server", "--ip", "10.0.0.2/24", "--ip", f"{OURS}/64", "--listen", 8080, "--mac", MAC,
    "--idle", "sleep", "--duration", 300,
)  # fmt: skip


def speak_ip6(namespace: Namespace) -> None:
    """Interfaces that come up from now on have IPv6, at once."""
    namespace.sysctl(net__ipv6__conf__default__disable_ipv6=0, net__ipv6__conf__all__disable_ipv6=0)
    namespace.sysctl(net__ipv6__conf__default__accept_dad=0, net__ipv6__conf__all__accept_dad=0)
    namespace.sysctl(net__ipv6__icmp__ratelimit=0)


def add_ip6(namespace: Namespace, address: str = f"{THEIRS}/64") -> None:
    namespace.run("ip", "address", "add", address, "dev", namespace.interface, "nodad")


def cable(lab: Lab) -> tuple[Namespace, Namespace]:
    """As `lab.cable`, with IPv6 at their end."""
    ours, theirs = lab.cable()
    speak_ip6(theirs)
    add_ip6(theirs)
    return ours, theirs


def on_a_tap(lab: Lab, *arguments: object) -> tuple[Namespace, Process]:
    """The peer's namespace, and the server answering in it."""
    theirs = lab.namespace("b")
    speak_ip6(theirs)
    process = te_apps_in(theirs, *SERVER, "--device", "tap:te0", *arguments)
    wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
    add_ip6(theirs)
    wait_for_answer(theirs, OURS)
    return theirs, process


def on_packet_sockets(lab: Lab, *arguments: object) -> tuple[Namespace, Process]:
    ours, theirs = cable(lab)
    process = te_apps_in(ours, *SERVER, "--device", "af_packet:v0", *arguments)
    wait_for_answer(theirs, OURS)
    return theirs, process


Network = Callable[..., tuple[Namespace, Process]]
both_networks = pytest.mark.parametrize("network", [on_a_tap, on_packet_sockets])


def test_a_client_of_nginx_over_a_tap(lab: Lab, tmp_path: Path) -> None:
    theirs = lab.namespace("b")
    speak_ip6(theirs)
    nginx(theirs, tmp_path, BODY)
    process = te_apps_in(theirs, *CLIENT, *TARGET, "--device", "tap:te0", "--connections", 10_000)
    wait_for_interface(theirs, process, "te0", "10.0.0.1/24")
    add_ip6(theirs)
    run = outcome(process.finish(180))
    assert_all_served(run, 10_000)
    assert complaints(theirs, run.few) == {}
    assert counters(theirs)["TcpPassiveOpens"] == 10_000
    assert counters(theirs)["Ip6InReceives"] >= 4 * 5_000


def test_a_client_of_nginx_over_both_families_looks_proper(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = cable(lab)
    nginx(theirs, tmp_path, BODY)
    conntrack = Conntrack(theirs)
    capture = Capture(theirs, tmp_path / "wire.pcap")
    run = run_in(ours, *CLIENT, *TARGET, "--device", "af_packet:v0", "--connections", 2_000, "--cps", 4_000)
    assert_all_served(run, 2_000)
    assert conntrack.invalid == 0
    file = capture.stop()
    assert bad_frames(file, run.few) == []
    fields = ("tcp.stream", "tcp.options.mss_val", "ipv6.hlim", "ipv6.flow")
    syns = tshark(file, "ipv6 && tcp.flags.syn == 1 && tcp.flags.ack == 0", *fields)
    assert len({stream for stream, *_ in syns}) == 1_000
    assert {(mss, limit) for _, mss, limit, _ in syns} == {("1440", "64")}
    assert len({label for *_, label in syns}) > 900
    assert streams(file, "ipv6 && http.response.code == 200 && http.content_length == 170") == 1_000


def test_a_client_beyond_a_gateway(lab: Lab, tmp_path: Path) -> None:
    """The gateway is known by its address on the link alone, as routers are."""
    ours, theirs = cable(lab)
    theirs.run("ip", "address", "add", "fd01::1/128", "dev", "lo")
    gateway = theirs.run("sh", "-c", "ip -6 -o address show dev v1 scope link").stdout.split()[3].split("/")[0]
    nginx(theirs, tmp_path, BODY)
    way = ("--ip", f"{OURS}/64", "--target", "[fd01::1]:80", "--gateway", gateway)
    run = run_in(ours, *CLIENT, *way, "--device", "af_packet:v0", "--connections", 500)
    assert_all_served(run, 500)
    assert counters(theirs)["Ip6InReceives"] >= 4 * 250


@both_networks
def test_a_server_for_plain_connects(lab: Lab, network: Network) -> None:
    theirs, process = network(lab)
    conntrack = Conntrack(theirs)
    for address in (OURS, "10.0.0.2"):
        assert connect_many(theirs, address, 8080, 5_000, b"0123456789abcdef") == {"closed": 5_000, "bytes": 80_000}
    assert complaints(theirs, FEW) == {}
    assert conntrack.invalid == 0
    process.signal(signal.SIGTERM)
    run = outcome(process.finish())
    assert run.result["roles"]["server"]["completed"] == run.result["server"]["RecvSyn"] == 10_000
    assert run.result["roles"]["server"]["failed"] == 0


@both_networks
def test_a_host_answers_ping_and_solicitations_and_refuses_closed_ports(lab: Lab, network: Network) -> None:
    theirs, _ = network(lab)
    theirs.run("ping", "-6", "-c3", "-i0.2", "-W2", OURS)
    theirs.run("ping", "-6", "-c1", "-s1400", "-W2", OURS)
    theirs.run("ping", "-6", "-c1", "-W2", f"{ip_text(link_local(bytes.fromhex(MAC.replace(':', ''))))}%{theirs.interface}")
    assert f"lladdr {MAC}" in theirs.run("ip", "-6", "neighbor", "show", OURS).stdout
    assert theirs.run("ping", "-6", "-c1", "-W1", "fd00::3", check=False).returncode != 0
    assert connect_many(theirs, OURS, 8081, 50) == {"ConnectionRefusedError": 50, "bytes": 0}


def test_an_address_of_ours_cannot_be_taken(lab: Lab) -> None:
    """RFC 4862 section 5.4: the kernel asks whether the address is free, and hears that it is not."""
    theirs, _ = on_packet_sockets(lab)
    theirs.sysctl(net__ipv6__conf__v1__accept_dad=1, net__ipv6__conf__all__accept_dad=1)
    theirs.run("ip", "address", "add", f"{OURS}/64", "dev", "v1")
    theirs.run(
        "sh", "-c", "for i in $(seq 50); do ip -6 address show dadfailed | grep -q inet6 && exit 0; sleep 0.1; done; exit 1"
    )


def test_curl_and_listeners_of_one_address(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = cable(lab)
    capture = Capture(theirs, tmp_path / "wire.pcap")
    listen = ("--listen", f"[{OURS}]:80", "--listen", "10.0.0.2:81", "--response", "http")
    te_apps_in(ours, *SERVER, "--device", "af_packet:v0", *listen)
    wait_for_answer(theirs, OURS)
    assert curl(theirs, f"http://[{OURS}]/", "-6", "-i").startswith("HTTP/1.1 200")
    assert curl(theirs, "http://10.0.0.2:81/", "-4", "-i").startswith("HTTP/1.1 200")
    assert (
        connect_many(theirs, "10.0.0.2", 80, 3) == connect_many(theirs, OURS, 81, 3) == {"ConnectionRefusedError": 3, "bytes": 0}
    )
    assert bad_frames(capture.stop(), FEW) == []
