"""Files of TrafficEngine 0.2 load as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.addresses import Interface, parse_ip, parse_mac
from apps.config import KernelSide
from apps.load import load_run, load_traffic

LOOPBACK = """
[netbricks]
name        = "Generator"
master_core = 5
pool_size   = 1024
cache_size  = 128
mbuf_cnt    = 32767
cores       = [ 0, 1, ]
ports       = [
    { name="7:00.0", rxd=4096, txd=2048, cores = [0, 1, ], checksum = false, loopback = true, kni = "virtio:virtio_user0", \
      fdir = { pballoc="256k", mode="Perfect", ipv4_mask= {src_ip="0.0.0.0", dst_ip="FFFFFFFF"}, \
      src_port_mask="0", dst_port_mask="E000"}, \
      flow_steering = "Port" },
    { name="kni:1", rxd=64, txd=64, cores = [1], k_cores = [0], namespace="ns1", \
      mac="02:36:9f:82:9c:fc", ipnet="192.168.222.9/24" },
    { name="virtio:virtio_user0,path=/dev/vhost-net,iface=tap00,queues={},queue_size=1024", cores = [1], namespace="ns2", \
      mac="02:36:9f:82:9c:fd", ipnet="192.168.222.2/24" },
]
vdev        = [ "net_kni0" ]

[engine]
engine      = { port=20001, timeouts= { established= 4000 }, cps_limit=283000, max_open= 2000, detailed_records= true, \
               fin_by_client= 100, fin_by_server= 2 }
targets     = [ { id = "gen_0", ip = "192.168.222.2", mac="02:36:9f:82:9c:fd", port = 65535 },
                { id = "gen_1", ip = "192.168.222.2", mac="02:36:9f:82:9c:fd", port = 57343 } ]
test_size   = 2000000
"""

KNI = """
[netbricks]
cores       = [ 0 ]
ports       = [
    { name="7:00.0", rxd=512, txd=512, cores = [0], checksum = true, driver= "Ixgbe", \
      fdir = { pballoc=2, mode=2, ipv4_mask= {src_ip="0.0.0.0", dst_ip="FFFFFFFF"}, src_port_mask="0", dst_port_mask="C000"} },
    { name="kni:1", rxd=64, txd=64, cores = [0], k_cores = [1] },
]
vdev        = [ "net_kni0" ]

[trafficengine]
engine      = { flow_steering= "Ip", namespace="nskni", mac="02:f7:35:7e:73:91", ipnet="192.168.222.1/24", \
               port=999, timeouts= { established= 1000 } }
targets     = [ { id = "server 1", ip = "192.168.222.3", linux_if="nosuchif1", port = 12345 },
                { id = "server 2", ip = "192.168.222.3", linux_if="nosuchif0", port = 12346 } ]
"""

VDEV = """
[netbricks]
strict      = true
secondary   = false
cores       = [ 0 ]
ports       = [ { name="dpdk:net_ring0", rx_cores = [0], tx_cores = [0] } ]

[engine]
test_size   = 7
"""


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def write(directory: Path, text: str) -> Path:
    path = directory / "run.toml"
    path.write_text(text)
    return path


def places(warnings: list[str]) -> list[str]:
    return [warning.partition(": ")[0] for warning in warnings]


def test_loopback_on_a_pci_port_with_fdir(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, LOOPBACK), {})
    assert (config.devices, config.cores, config.name) == (("7:00.0",), (0, 1), "Generator")
    assert (config.pool_size, config.cache_size, config.mbuf_cnt, config.rxd, config.txd) == (1024, 128, 32767, 4096, 2048)
    assert (config.checksum, config.nic_loopback, config.steering, config.port_mask) == (False, True, "port", 0xE000)
    assert config.interfaces == (Interface(parse_ip("192.168.222.2"), 24),)
    assert config.mac == parse_mac("02:36:9f:82:9c:fd")
    assert config.kernel_side == KernelSide("tap00", None, "ns2")
    assert (config.role, config.connections, config.cps_per_core, config.max_open) == ("both", 2_000_000, 283_000, 2000)
    assert (config.fin_by_client, config.fin_by_server, config.detailed_records) == (100, 2, True)
    assert config.timeouts.established_ms == 4000
    assert [(target.id, target.port) for target in config.targets] == [("gen_0", 65535), ("gen_1", 57343)]
    fdir = [f"netbricks.ports[0].fdir.{key}" for key in ("pballoc", "mode", "src_port_mask")]
    in_engine = ["engine.engine.port", "engine.engine.detailed_records"]
    beside = ["netbricks.master_core", "netbricks.vdev", "netbricks.ports[1]", "netbricks.ports[2]", *in_engine]
    assert sorted(places(warnings)) == sorted([*fdir, *beside])


def test_records_that_are_kept_need_no_warning(tmp_path: Path) -> None:
    path = str(tmp_path / "records.csv")
    _, warnings = load_traffic(write(tmp_path, LOOPBACK), {"records": path})
    assert not [warning for warning in warnings if "records" in warning]
    quiet = LOOPBACK.replace("detailed_records= true", "detailed_records= false")
    assert "engine.engine.detailed_records" not in places(load_traffic(write(tmp_path, quiet), {})[1])


def test_kni_and_steering_by_address(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, KNI), {})
    assert (config.steering, config.port_mask, config.checksum) == ("ip", 0xC000, True)
    assert config.kernel_side == KernelSide("kni1", None, "nskni")
    assert config.addresses(0) == (parse_ip("192.168.222.2"),)
    assert config.connections == 128
    assert config.timeouts.established_ms == 1000
    assert (config.mbuf_cnt, config.cache_size) == (65535, 32)
    assert "engine.kernel_side" in next(warning for warning in warnings if warning.startswith("netbricks.ports[1]: "))
    assert config.targets[1].mac is None
    assert "trafficengine.targets[1].linux_if" in places(warnings)


def test_linux_if_gives_its_mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: str(path) == "/sys/class/net/nosuchif1/address")
    monkeypatch.setattr(Path, "read_text", lambda path: "02:00:00:00:00:07\n")
    config, _ = load_traffic(write(tmp_path, KNI), {})
    assert config.targets[0].mac == 0x020000000007


def test_vdev(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, VDEV), {})
    assert (config.devices, config.cores, config.connections) == (("dpdk:net_ring0",), (0,), 7)
    assert (config.rxd, config.txd) == (128, 128)
    assert warnings == []


def test_map_puts_a_device_in_place_of_a_pci_name(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, LOOPBACK), {}, ["7:00.0=net_ring0"])
    assert config.devices == ("net_ring0",)
    assert config.kernel_side is None
    assert any("no tap is made" in warning for warning in warnings)


def test_options_win(tmp_path: Path) -> None:
    config, _ = load_traffic(
        write(tmp_path, LOOPBACK), {"cps": 1000.0, "connections": 5, "steering": "auto", "devices": ["ring"]}
    )
    assert (config.cps_per_core, config.connections, config.steering, config.devices) == (500, 5, "auto", ("ring",))


def test_targets_of_cores_that_do_not_run_are_left_out(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, LOOPBACK), {"cores": "1"})
    assert [target.port for target in config.targets] == [65535]
    assert "engine.targets[1]: left out: its core does not run" in warnings


def test_unknown_keys_are_warned_of(tmp_path: Path) -> None:
    text = (
        VDEV.replace("strict ", "stritc").replace("rx_cores", "tos = 1, rx_cores") + "tset_size = 9\n[proxyengine]\nqueries = 1\n"
    )
    config, warnings = load_traffic(write(tmp_path, text), {})
    assert config.connections == 7
    assert sorted(places(warnings)) == ["engine.tset_size", "netbricks.ports[0].tos", "netbricks.stritc", "proxyengine"]
    assert all(warning.endswith("ignored") for warning in warnings)


def test_our_own_keys_work_beside_the_old_ones(tmp_path: Path) -> None:
    config, warnings = load_traffic(write(tmp_path, VDEV + "payload = 99\nresponse = 'http'\n"), {})
    assert (config.payload, config.response.kind, warnings) == (99, "http", [])


def test_macswap_reads_the_same_file(tmp_path: Path) -> None:
    config, _ = load_run(write(tmp_path, KNI.replace("port = 12345", "port = -1")), {"duration_s": 3.0})
    assert (config.devices, config.cores, config.rxd, config.duration_s) == (("7:00.0",), (0,), 512, 3.0)


def test_secondary_processes_are_warned_of(tmp_path: Path) -> None:
    _, warnings = load_traffic(write(tmp_path, VDEV.replace("secondary   = false", "secondary   = true")), {})
    assert [warning for warning in warnings if "memif" in warning] == warnings != []


def test_warnings_are_shown_one_line_each(te_apps, tmp_path: Path) -> None:
    outcome = te_apps("trafficengine", str(write(tmp_path, LOOPBACK)), "--map", "7:00.0=ring")
    assert len(outcome.started) == 1
    assert outcome.err.count("\n") == outcome.err.count("te-apps: ") == 10
    assert te_apps("trafficengine", str(write(tmp_path, LOOPBACK)), "--map", "7:00.0=ring", "--quiet").err == ""
