"""te-apps endpoint over IPv6 against the kernel, beside IPv4: over a tap, and beyond a router that has something to say."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.endpoints import KERNEL, KERNEL6, OURS, OURS6, SIZE, Site, endpoint, is_reset, sends
from tests.network.lab import Lab, Namespace, wait_until
from tests.network.test_ip6 import add_ip6, speak_ip6

pytestmark = pytest.mark.root

FAR, FAR6 = "10.0.1.2", "fd01::2"
NARROW = 1400


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with endpoint(lab, tmp_path / "te.sock", "--ip", f"{OURS6}/64", "--gateway", KERNEL, "--gateway", KERNEL6) as made:
        speak_ip6(made.namespace)
        made.namespace.sysctl(net__ipv6__conf__te0__disable_ipv6=0)
        add_ip6(made.namespace, f"{KERNEL6}/64")
        yield made


def test_the_kernel_connects_over_both_families(site: Site) -> None:
    listener, client = site.listening(10, "::"), site.client
    for ours, theirs in ((OURS6, 0xFD00 << 112 | 1), (OURS, 0xFFFF0A000001)):
        program = site.kernel(sends(ours))
        fd = client.done(f"ACCEPT {listener}")
        assert client.done(f"PEERIP {fd}") == theirs
        assert client.done(f"READ {fd} {SIZE} MSG_WAITALL") == SIZE
        assert client.done(f"READ {fd} 1") == 0
        assert client.done(f"WRITE {fd} 100") == 100
        client.done(f"CLOSE {fd}")
        assert program.finish().stdout == "100\n"


def test_we_connect_and_send(site: Site) -> None:
    fd = site.sending(10, KERNEL6)
    assert site.client.info(fd)["mss"] == 1428
    assert site.client.info(fd)["negotiated"] == ["window_scale", "sack", "timestamps"]


def test_how_it_fails(site: Site) -> None:
    client, listener = site.client, site.listening(10, OURS6)
    fd = client.done("SOCKET 10 1 6")
    assert client.ask(f"CONNECT {fd} {KERNEL6} 9999") == (-1, errno.ECONNREFUSED)
    program = site.kernel(f"import socket; print(socket.socket(socket.AF_INET6).connect_ex(('{OURS6}', 81)))")
    assert program.finish().stdout == f"{errno.ECONNREFUSED}\n"
    program = site.kernel(is_reset(OURS6))
    accepted = client.done(f"ACCEPT {listener}")
    assert client.done(f"POLL {accepted} POLLIN 5000") == 1
    client.done(f"CLOSE {accepted}")
    assert program.finish().stdout == "reset\n"
    assert client.ask(f"CONNECT {fd} fd00::77 80") == (-1, errno.EHOSTUNREACH)


def test_what_the_kernel_asks_for(site: Site) -> None:
    """Pings, also to the link-local address, and whether ours is free: it is not."""
    site.namespace.run("ping", "-c3", "-i0.2", "-W2", "-s1000", OURS6)
    mac = site.namespace.run("ip", "neighbour", "show", OURS6).stdout.split("lladdr ")[1].split()[0]
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]).hex(":", 2)
    site.namespace.run("ping", "-c1", "-W2", f"fe80::{interface}%te0")
    site.namespace.sysctl(net__ipv6__conf__te0__accept_dad=1)
    site.namespace.run("ip", "address", "add", f"{OURS6}/64", "dev", "te0")
    wait_until(lambda: OURS6 in site.namespace.run("ip", "-6", "address", "show", "dadfailed").stdout, what="the kernel's answer")


def routed(lab: Lab, near: Namespace) -> Namespace:
    """Another namespace beyond *near*, whose link there takes less than ours."""
    far = lab.namespace("c")
    speak_ip6(far)
    lab.veth(near, "v0", far, "v1")
    near.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    near.configure("v0", "10.0.1.1/24")
    add_ip6(near, "fd01::1/64")
    near.run("ip", "link", "set", "v0", "mtu", str(NARROW))
    far.configure("v1", f"{FAR}/24")
    add_ip6(far, f"{FAR6}/64")
    far.run("ip", "route", "add", "default", "via", "10.0.1.1")
    far.run("ip", "-6", "route", "add", "default", "via", "fd01::1")
    return far


def test_beyond_a_router_whose_link_is_narrow(lab: Lab, site: Site) -> None:
    """Its "packet too big" and "fragmentation needed" are heeded (RFC 8201, RFC 1191)."""
    far = routed(lab, site.namespace)
    for domain, to, headers in ((10, FAR6, 60), (2, FAR, 40)):
        fd = site.sending(domain, to, far)
        assert site.client.info(fd)["mss"] == NARROW - headers - 12
        assert 0 < site.client.info(fd)["retransmits"] < 30


def test_what_a_router_says(site: Site) -> None:
    site.namespace.sysctl(net__ipv6__conf__all__forwarding=1)
    for kind, net, error in (("unreachable", "fd02", errno.ENETUNREACH), ("prohibit", "fd03", errno.EACCES)):
        site.namespace.run("ip", "-6", "route", "add", kind, f"{net}::/64")
        fd = site.client.done("SOCKET 10 1 6")
        assert site.client.ask(f"CONNECT {fd} {net}::1 80") == (-1, error)


def waits_for_a_byte(ours: str) -> str:
    """Connects to us, and prints how much it gets."""
    return f"""
import socket
with socket.create_connection(("{ours}", 80), timeout=20) as s:
    print(len(s.recv(1)))
"""


def awaits_a_byte(at: str) -> str:
    """The same of who connects to it."""
    return f"""
import socket
with socket.create_server(("{at}", 9000), family=socket.{"AF_INET6" if ":" in at else "AF_INET"}) as listener:
    print(len(listener.accept()[0].recv(1)))
"""


def test_the_kernel_changes_its_mac_address(site: Site) -> None:
    """What it says of that, unasked, is believed: connections either way go on."""
    listener, client = site.listening(10, "::"), site.client
    site.namespace.sysctl(net__ipv4__conf__te0__arp_notify=1, net__ipv6__conf__te0__ndisc_notify=1)
    programs, fds = [], []
    for ours, domain, theirs in ((OURS, 2, KERNEL), (OURS6, 10, KERNEL6)):
        programs.append(site.kernel(waits_for_a_byte(ours)))
        fds.append(client.done(f"ACCEPT {listener}"))
        programs.append(site.kernel(awaits_a_byte(theirs)))
        wait_until(lambda: theirs in site.namespace.run("ss", "-Hltn", "sport = :9000").stdout, what="a listener")  # noqa: B023
        fds.append(client.done(f"SOCKET {domain} 1 6"))
        client.done(f"CONNECT {fds[-1]} {theirs} 9000")
    site.namespace.run("ip", "link", "set", "te0", "address", "02:00:00:00:00:aa")
    for fd in fds:
        client.done(f"WRITE {fd} 1")
    assert [program.finish().stdout for program in programs] == ["1\n"] * 4
    assert [client.info(fd)["timeouts"] for fd in fds] == [0] * 4
