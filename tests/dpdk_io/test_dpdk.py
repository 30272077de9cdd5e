"""DPDK devices that need no privileges pass packets, are refused in one line, and leave nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter, rdpcap

from dpdk_io.mbuf import HEADROOM
from tests.dpdk_io.packets import ethernet
from tests.dpdk_io.processes import finish, run, start

NOBODY = ("unshare", "--user") if os.geteuid() == 0 else ()
"""In a user namespace without a mapping a process is nobody and has no capability."""


@pytest.mark.parametrize("hugepages", ["", "0"])
@pytest.mark.parametrize(("spec", "cores"), [("ring", "0"), ("net_ring3", "0,1"), ("dpdk:eth_ring0", "1")])
def test_net_ring_returns_what_each_queue_sends(spec: str, cores: str, hugepages: str) -> None:
    said = run("echo", spec, cores, hugepages)
    count = sum(100 - queue for queue in range(len(cores.split(","))))
    assert said["same"] == [True] * len(cores.split(","))
    assert said["stats"] == said["stats"] | {"rx_packets": count, "tx_packets": count, "tx_errors": 0, "rx_no_mbuf": 0}
    assert said["running"]


def test_net_ring_works_without_privileges_or_hugepages() -> None:
    assert run("echo", "ring", "0,1", "0", before=NOBODY)["same"] == [True, True]


def test_dpdk_starts_where_there_is_no_stderr() -> None:
    assert run("echo", "ring", before=("sh", "-c", 'exec "$@" 2>&-', "sh"))["same"] == [True]


def test_loopback_needs_no_eal() -> None:
    said = run("echo", "loopback", "0,1", PKG_CONFIG_LIBDIR="/nonexistent")
    assert said["same"] == [True, True]
    assert not said["running"]


def test_net_null_makes_and_swallows_packets() -> None:
    said = run("null", "null:size=80")
    assert said["name"] == "net_null0"
    assert said["sizes"] == [80]
    assert said["stats"]["tx_packets"] == 100
    assert said["stats"]["rx_packets"] >= 100


@pytest.mark.parametrize("spec", ["loopback", "net_ring0"])
def test_compiled_code_moves_packets_on_two_cores_and_loses_no_mbuf(spec: str) -> None:
    said = run("compiled", spec, "0,1", "2000", jit=True)
    assert said["received"] == [32 * (5 * 2000 + 1)] * 2
    assert said["leaked"] == 0


@pytest.mark.parametrize("spec", ["loopback", "ring"])
def test_allocated_mbufs_are_cleared_and_all_or_none(spec: str) -> None:
    assert run("fresh", spec)["seen"] == [[HEADROOM, 1, 1, 0, 0, 0, 0]] * 30


@pytest.mark.parametrize(
    ("hugepages", "remedy"), [("0", "lower mbuf_cnt"), ("1", "lower mbuf_cnt or sysctl -w vm.nr_hugepages=77857")]
)
def test_more_mbufs_than_memory_are_refused(hugepages: str, remedy: str) -> None:
    said = run("too_big", str(1 << 26), hugepages)
    assert said["error"].endswith(remedy)
    assert said["after"] == 5


@pytest.mark.parametrize("spec", ["ring", "loopback"])
def test_devices_open_again_after_closing(spec: str) -> None:
    assert run("again", spec)["same"] == [True] * 3


def test_two_ports_share_their_mbufs() -> None:
    assert run("forward", "null", "ring") == {"names": ["net_null0", "net_ring0"], "got": 32, "sent": 32, "back": 32}


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_net_pcap_reads_a_file_to_its_end_and_writes_another(tmp_path: Path, writer: type) -> None:
    frames = [ethernet(i, 60 + 7 * i) for i in range(100)] + [ethernet(7, 9000), ethernet(8, 60)]
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    with writer(str(source)) as file:
        file.write([Ether(frame) for frame in frames])
    said = run("pcap", f"pcap:{source},{sink}")
    assert said["packets"] == len(frames)
    assert said["exhausted"]
    assert [bytes.fromhex(frame) for frame in said["read"]] == frames
    assert [bytes(packet) for packet in rdpcap(str(sink))] == frames


def test_a_pcap_device_may_only_read_or_only_write(tmp_path: Path) -> None:
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    with PcapWriter(str(source)) as file:
        file.write([Ether(ethernet(1))])
    said = run("pcap", f"pcap:{source}")
    assert said["read"] == [ethernet(1).hex()]
    run("send_all", f"pcap:,{sink}", "0")
    assert len(rdpcap(str(sink))) == 100


def test_net_memif_carries_packets_between_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with start("memif", str(path), "server") as server:
        while not path.exists():
            time.sleep(0.01)
            assert server.poll() is None
        client = run("memif", str(path), "client")
        assert client["same"]
        assert finish(server)["same"]
    assert client["stats"]["rx_packets"] == client["stats"]["tx_packets"] == 100
    assert list(tmp_path.iterdir()) == []


def test_a_memif_client_without_a_server_is_told_to_wait(tmp_path: Path) -> None:
    said = run("fail", f"memif:{tmp_path}/socket,role=client")
    assert said["error"].endswith("start the other side first, with role=server")


def test_a_device_that_fails_is_told_in_one_line_and_others_still_open() -> None:
    said = run("fail", "net_virtio_user0,path=/nonexistent")
    assert said["error"].startswith("net_virtio_user0 cannot be opened (")
    assert "\n" not in said["error"]
    assert said["after"] == 5


@pytest.mark.parametrize(
    ("spec", "cause"),
    [("0000:ff:1f.7", "no PCI device 0000:ff:1f.7"), ("net_null0,size=x", "net_null0")],
)
def test_what_dpdk_refuses_names_the_device(spec: str, cause: str) -> None:
    said = run("fail", spec)
    assert cause in said["error"]
    assert said["error"].count(":") >= 1


def test_too_many_queues_are_refused_once_dpdk_has_told_them() -> None:
    said = run("fail", "net_memif0,role=server,socket=x", ",".join(map(str, range(300))))
    assert "at most 255 queues" in said["error"]


def test_a_device_that_cannot_steer_says_so() -> None:
    said = run("steering", "ring")
    assert not said["rss"]
    assert "steer in software" in said["answers"]["rss"]
    assert "steer in software" in said["answers"]["rules"]
    assert "no queue 2" in said["answers"]["no queue"]


def test_rss_key_and_table_are_accepted_where_the_device_has_them() -> None:
    said = run("steering", "null")
    assert said["rss"]
    assert said["answers"]["rss"] == ""
    assert "a key of 40 bytes" in said["answers"]["short key"]


def test_no_runtime_directory_or_hugepage_file_is_left(tmp_path: Path) -> None:
    run("echo", "ring", "0", "0", XDG_RUNTIME_DIR=str(tmp_path), before=NOBODY)
    assert [path for path in tmp_path.rglob("*") if path.name != "dpdk"] == []
