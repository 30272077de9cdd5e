"""Device names a person would guess, and their mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdk_io import UsageError, open_ports, requirements
from dpdk_io.devices import parse
from dpdk_io.errors import DeviceError
from dpdk_io.pcapfile import count_packets


@pytest.mark.parametrize(
    ("spec", "queues", "devargs"),
    [
        ("ring", 1, "net_ring0"),
        ("net_ring5", 2, "net_ring5"),
        ("null", 1, "net_null0"),
        ("null:size=128", 1, "net_null0,size=128"),
        ("null,size=128", 1, "net_null0,size=128"),
        ("memif:/tmp/x,role=server", 2, "net_memif0,socket=/tmp/x,socket-abstract=no,role=server"),
        ("memif:/tmp/not-there", 1, "net_memif0,socket=/tmp/not-there,socket-abstract=no,role=server"),
        ("7:00.0", 2, "0000:07:00.0"),
        ("0000:07:00.1", 2, "0000:07:00.1"),
        ("AB:1f.7,rep=1", 2, "0000:ab:1f.7,rep=1"),
        ("dpdk:net_ring0", 1, "net_ring0"),
        ("dpdk:eth_null1,size=64", 1, "net_null1,size=64"),
        ("virtio:path=/dev/vhost-net,queues={}", 3, "net_virtio_user0,path=/dev/vhost-net,queues=3"),
        ("virtio:virtio_user1,path=/x,queues={}", 2, "virtio_user1,path=/x,queues=2"),
        ("net_vhost0,iface=/tmp/s,queues={}", 4, "net_vhost0,iface=/tmp/s,queues=4"),
        ("  ring ", 1, "net_ring0"),
    ],
)
def test_names_become_devargs(spec: str, queues: int, devargs: str) -> None:
    device = parse(spec, queues)
    assert device.devargs == devargs
    assert device.name == devargs.split(",")[0]


@pytest.mark.root  # asks for capabilities before it parses further
@pytest.mark.parametrize(
    ("spec", "queues", "devargs"),
    [
        ("tap:te0", 1, "net_tap0,iface=te0"),
        ("tap:te0,mac=fixed", 1, "net_tap0,iface=te0,mac=fixed"),
        ("net_tap7,iface=te0", 4, "net_tap7,iface=te0"),
        ("af_packet:lo", 2, "net_af_packet0,iface=lo,qpairs=2,framecnt=4096,qdisc_bypass=1"),
        ("af_packet:lo,framecnt=64", 1, "net_af_packet0,iface=lo,framecnt=64,qpairs=1,qdisc_bypass=1"),
        ("af_xdp:lo", 1, "net_af_xdp0,iface=lo,queue_count=1"),
    ],
)
def test_names_of_interfaces_become_devargs_with_queues(spec: str, queues: int, devargs: str) -> None:
    assert parse(spec, queues).devargs == devargs


def test_kinds_count_up_past_names_in_use() -> None:
    assert parse("ring", 1, {"net_ring0", "net_null1", "net_ring1"}).name == "net_ring2"


@pytest.mark.parametrize(("spec", "scatter"), [("loopback", False), ("loopback:scatter", True)])
def test_the_embedded_device(spec: str, scatter: bool) -> None:
    device = parse(spec, 8)
    assert (device.kind, device.scatter) == ("loopback", scatter)


@pytest.mark.parametrize(
    ("spec", "cause", "remedy"),
    [
        ("", "'' is no device", "use loopback"),
        ("lopback", "'lopback' is no device", "did you mean loopback"),
        ("tab:te0", "'tab:te0' is no device", "did you mean tap"),
        ("net_tpa0", "no driver net_tpa", "did you mean net_tap"),
        ("net_quux0", "no driver net_quux", "te-apps doctor"),
        ("loopback:foo", "'loopback:foo' is no device", "loopback:scatter"),
        ("tap", "lacks a name", "tap:te0"),
        ("tap:", "lacks a name", "tap:te0"),
        ("af_packet", "lacks a name", "af_packet:eth1"),
        ("memif", "lacks a name", "memif:/run/te.sock"),
        ("pcap", "lacks a name", "pcap:in.pcap,out.pcap"),
        ("tap:a_name_too_long_for_linux", "no interface name", "1 to 15 characters"),
        ("tap:a/b", "no interface name", "without '/'"),
        ("net_tap0,iface=a b", "no interface name", "without"),
        ("af_packet:nope", "no interface 'nope'", "choose one of"),
        ("af_xdp:nope", "no interface 'nope'", "choose one of"),
        ("net_af_packet0", "'' is no interface name", "1 to 15"),
        ("pcap:/nope", "no file '/nope'", "check the path"),
        ("pcap:,/nope/out", "no directory '/nope'", "make it first"),
        ("pcap:/dev/null/x,y", "no file", "check"),
        ("pcap:,/tmp", "cannot be written", "another path"),
        (f"pcap:{__file__}", "no pcap file", "tcpdump -w"),
        ("memif:/nope/sock", "no directory '/nope'", "make it first"),
        ("memif:/tmp/" + "x" * 120, "too long for a socket", "at most 107"),
        ("memif:/tmp/s,role=master", "server or client", "not 'master'"),
        ("kni:3", "no KNI", "use tap:3"),
        ("7:00", "'7:00' is no device", "use loopback"),
        ("7:00.9", "is no device", "PCI address"),
        ("net_ring0", "17 cores", "use fewer"),
        ("net_pcap0,tx_pcap=/tmp/x", "at most 1 queue", "use fewer"),
    ],
)
def test_mistakes_are_refused_with_a_remedy(spec: str, cause: str, remedy: str) -> None:
    queues = 17 if "cores" in cause or "queue" in cause else 1
    with pytest.raises(DeviceError) as caught:
        parse(spec, queues)
    assert cause in str(caught.value)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.root  # asks for capabilities before it parses further
def test_more_cores_than_queues_of_the_interface_are_refused() -> None:
    with pytest.raises(DeviceError, match="lo has 1 queues for 2 cores"):
        parse("af_xdp:lo", 2)


def test_a_device_named_twice_is_refused() -> None:
    with pytest.raises(DeviceError, match="named twice"):
        parse("net_ring0", 1, {"net_ring0"})


@pytest.mark.parametrize(
    ("specs", "cores", "cause"),
    [
        (["loopback"], [], "1 devices need 1 lists of cores"),
        (["loopback"], [0, 0], "each named once"),
        (["loopback"], [-1], "from 0 on"),
        (["loopback", "loopback"], [[0]], "2 devices need 2 lists"),
        (["loopback"], [[]], "one or more cores"),
        (["loopback", "nope"], [0], "is no device"),
    ],
)
def test_mistakes_about_cores_open_nothing(specs: list[str], cores: list, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        open_ports(specs, cores)


@pytest.mark.parametrize(
    ("driver", "cause"),
    [("vfio-pci", ""), ("mlx5_core", ""), ("ixgbe", "is bound to ixgbe"), ("", "is bound to no driver")],
)
def test_a_pci_device_is_for_dpdk_or_it_is_told_how_it_becomes_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, cause: str
) -> None:
    monkeypatch.setattr(requirements, "PCI_DEVICES", tmp_path)
    (tmp_path / "0000:07:00.0").mkdir()
    if driver:
        (tmp_path / driver).mkdir()
        (tmp_path / "0000:07:00.0" / "driver").symlink_to(tmp_path / driver)
    if not cause:
        requirements.pci("0000:07:00.0")
        return
    with pytest.raises(DeviceError, match=f"{cause}.*--bind=vfio-pci 0000:07:00.0"):
        requirements.pci("0000:07:00.0")


def test_an_absent_pci_device_is_refused_before_dpdk_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirements, "PCI_DEVICES", tmp_path)
    with pytest.raises(DeviceError, match="no PCI device 0000:07:00.0: look for it"):
        open_ports(["7:00.0"], [0])


def test_rings_hold_a_power_of_two() -> None:
    with pytest.raises(UsageError, match="use 128"):
        open_ports(["ring"], [0], ring_size=100)


def test_each_device_may_have_cores_of_its_own() -> None:
    with open_ports(["loopback", "loopback"], [[0, 1], [3]], mbuf_cnt=64) as (first, second):
        assert (first.cores, first.n_queues, second.cores, second.n_queues) == ((0, 1), 2, (3,), 1)
        assert first.mac != second.mac


@pytest.mark.parametrize("magic", [b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"])
@pytest.mark.parametrize("cut", [0, 1, 9])
def test_whole_packets_of_a_capture_are_counted(tmp_path: Path, magic: bytes, cut: int) -> None:
    order = "big" if magic[0] == 0xA1 else "little"
    records = [bytes(8) + len(data).to_bytes(4, order) * 2 + data for data in (b"", b"a" * 60, b"b" * 5)]
    file = tmp_path / "x.pcap"
    whole = magic + bytes(20) + b"".join(records)
    file.write_bytes(whole[: len(whole) - cut])
    assert count_packets(file) == (2 if cut else 3)


@pytest.mark.parametrize("data", [b"", b"abc", b"GIF89a and so on"])
def test_other_files_are_no_captures(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DeviceError, match="no pcap file"):
        count_packets(tmp_path / "x")
