"""Devices on the kernel's interfaces, and the kernel-side tap: packets both ways, and nothing left behind."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpdk_io.errors import DeviceError
from dpdk_io.kernel_side import Tap
from tests.dpdk_io.packets import ethernet
from tests.dpdk_io.processes import run, start

pytestmark = pytest.mark.root
MAC = bytes.fromhex("020000000077")
_numbers = itertools.count()


def shell(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def fresh(kind: str) -> str:
    return f"te{kind}{os.getpid() % 100000}{next(_numbers)}"


@pytest.fixture
def namespace() -> Iterator[str]:
    name = fresh("n")
    shell("ip", "netns", "add", name)
    yield name
    shell("ip", "netns", "delete", name)


@pytest.fixture
def cable(namespace: str) -> tuple[str, str]:
    """A veth pair in the namespace: for the device, and for the other end."""
    near, far = "veth0", "veth1"
    shell("ip", "-n", namespace, "link", "add", near, "type", "veth", "peer", "name", far)
    for end in (near, far):
        shell("ip", "-n", namespace, "link", "set", end, "up")
    return near, far


def within(namespace: str) -> tuple[str, ...]:
    return "ip", "netns", "exec", namespace


def interfaces(namespace: str) -> set[str]:
    return {line.split(":")[1].strip().split("@")[0] for line in shell("ip", "-n", namespace, "-o", "link").splitlines()}


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_an_interface_passes_packets_both_ways_and_is_left_as_it_was(namespace: str, cable: tuple[str, str], kind: str) -> None:
    near, far = cable
    before = shell("ip", "-n", namespace, "-d", "link", "show", near)
    said = run("mirror", f"{kind}:{near}", far, before=within(namespace))
    assert said["name"] == f"net_{kind}0"
    assert said["link"]
    assert said["inward"]
    assert said["outward"]
    assert said["mac"] == before.split("link/ether ")[1].split()[0].replace(":", "")
    assert shell("ip", "-n", namespace, "-d", "link", "show", near) == before


def test_a_tap_passes_packets_both_ways_and_is_gone_at_the_end(namespace: str) -> None:
    said = run("mirror", "tap:te0", "te0", before=within(namespace))
    assert said["inward"]
    assert said["outward"]
    assert said["stats"]["tx_packets"] == 100
    assert interfaces(namespace) == {"lo"}


def test_checksums_are_left_to_a_device_that_computes_them(namespace: str) -> None:
    assert run("checksums", "tap:te0", "te0", before=within(namespace))["same"]


@pytest.mark.parametrize("spec", ["ring", "loopback"])
def test_a_device_that_computes_no_checksums_is_refused(spec: str) -> None:
    assert "computes no checksums: set checksum to false" in run("checksums", spec, "lo")["error"]


def test_a_device_has_a_queue_for_each_core(namespace: str, cable: tuple[str, str]) -> None:
    said = run("send_all", f"af_packet:{cable[0]}", "0,1", before=within(namespace))
    assert said["stats"]["tx_packets"] == 200
    arrived = shell(*within(namespace), "cat", f"/sys/class/net/{cable[1]}/statistics/rx_packets")
    assert int(arrived) >= 200


@pytest.mark.parametrize(("end", "code"), [("exception", 1), ("exit", 0), ("signal", 128 + signal.SIGTERM)])
def test_nothing_is_left_after_any_end(namespace: str, end: str, code: int) -> None:
    with start("tap_then", "te0", end, before=within(namespace)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '{"present": true}\n'
        if end == "signal":
            assert interfaces(namespace) == {"lo", "te0"}
            process.terminate()
        assert process.wait(20) == code
    assert interfaces(namespace) == {"lo"}


@pytest.mark.parametrize("spec", ["tap:te0", "af_packet:lo", "af_xdp:lo"])
def test_missing_privileges_are_named(spec: str) -> None:
    said = run("fail", spec, before=("unshare", "--user"))
    assert "needs CAP_NET_" in said["error"]
    assert "run as root" in said["error"]


def test_a_device_that_cannot_steer_by_rules_says_why(namespace: str) -> None:
    said = run("steering", "tap:te0", before=within(namespace))
    assert said["answers"]["rules"].endswith("steer in software")


def test_frames_go_to_the_kernel_and_its_answers_come_back() -> None:
    namespace = fresh("k")
    with Tap("te0", mac=MAC, address="10.99.0.1/24", namespace=namespace) as tap:
        assert tap.mac == MAC
        assert "inet 10.99.0.1/24" in shell("ip", "-n", namespace, "addr", "show", "te0")
        ours = bytes.fromhex("02000000000a")
        request = b"\xff" * 6 + ours + bytes.fromhex("08060001080006040001") + ours + bytes([10, 99, 0, 2]) + bytes(6)
        assert tap.write(request + bytes([10, 99, 0, 1]) + bytes(18))
        reply = next_frame(tap, ours)
        assert reply[12:14] == b"\x08\x06"
        assert reply[20:28] == b"\x00\x02" + MAC
    assert namespace not in shell("ip", "netns", "list").split()


def next_frame(tap: Tap, destination: bytes) -> bytes:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        frame = tap.read()
        if frame and frame[:6] == destination:
            return frame
    raise AssertionError("the kernel did not answer")


def test_frames_the_kernel_refuses_are_counted(namespace: str) -> None:
    with Tap("te0", namespace=namespace) as tap:
        assert not tap.write(b"abc")
        assert tap.write(ethernet(1))
        assert tap.dropped == 1


def test_a_kernel_side_interface_stays_in_its_namespace_and_can_be_made_again(namespace: str) -> None:
    for _ in range(2):
        with Tap("te0", namespace=namespace) as tap:
            assert interfaces(namespace) == {"lo", "te0"}
            assert not Path("/sys/class/net/te0").exists()
            assert len(tap.mac) == 6
            tap.close()
        assert interfaces(namespace) == {"lo"}


def test_what_the_kernel_sends_can_be_read(namespace: str) -> None:
    with Tap("te0", mac=MAC, address="10.99.0.1/24", namespace=namespace) as tap:
        ping = subprocess.Popen([*within(namespace), "ping", "-c1", "-W1", "10.99.0.2"], stdout=subprocess.DEVNULL)
        asked = next_frame(tap, b"\xff" * 6)
        ping.terminate()
        ping.wait()
        assert asked[12:14] == b"\x08\x06"
        assert asked[38:42] == socket.inet_aton("10.99.0.2")


@pytest.mark.parametrize(
    ("name", "address", "namespace", "cause"),
    [
        ("a name", "", "", "no interface name"),
        ("te0", "10.0.0.300/24", "", "no IPv4 address"),
        ("te0", "", "a/b", "cannot be made"),
        ("lo", "", "", "cannot be set up"),
    ],
)
def test_mistakes_are_refused(name: str, address: str, namespace: str, cause: str) -> None:
    with pytest.raises(DeviceError, match=cause):
        Tap(name, address=address, namespace=namespace)


def test_an_interface_in_use_is_refused(namespace: str) -> None:
    with Tap("te0", namespace=namespace), pytest.raises(DeviceError, match="choose a name that is free"):
        Tap("te0", namespace=namespace)
