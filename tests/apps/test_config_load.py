"""What a configuration becomes: defaults, precedence, and every value within its range kept as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.addresses import Interface, endpoint_text, ip_text, link_local, mac_text, parse_ip, parse_mac
from apps.config import DEFAULT_INTERFACE, Response
from apps.errors import ConfigError
from apps.load import load_run, load_traffic
from apps.schema import BY_FIELD, KEYS
from apps.values import message

OURS = """
[run]
devices = "ring"
cores = [0]
duration = 2
idle = "spin"
[engine]
ip = ["10.0.0.1/24", "10.0.1.1/24"]
gateway = "10.0.0.254"
targets = ["10.0.0.2:80", { id = "b", ip = "192.0.2.1", port = 81, mac = "02:00:00:00:00:01" }]
cps_limit = 100
max_open = 7
request = "GET / HTTP/1.0\\r\\n\\r\\n"
response = "text:ok"
port_mask = "C000"
kernel_side = { name = "te0", address = "10.0.0.9/24", namespace = "n" }
[engine.timeouts]
user = 0
retries = 3
"""


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "ours.toml"
    path.write_text(OURS.replace('kernel_side = { name = "te0", address = "10.0.0.9/24", namespace = "n" }\n', ""))
    return path


def test_nothing_given() -> None:
    config, warnings = load_traffic(None, {})
    assert warnings == []
    assert (config.devices, config.role, config.interfaces) == (("loopback",), "both", (DEFAULT_INTERFACE,))
    assert config.cores == (min(os.sched_getaffinity(0)),)
    assert (config.connections, config.max_open, config.cps_per_core) == (250_000, 512, None)
    (target,) = config.targets_of(0)
    assert (ip_text(target.ip), target.port) == ("198.18.0.1", 65535)


def test_every_table(ours: Path) -> None:
    config, _ = load_traffic(ours, {})
    assert (config.devices, config.duration_s, config.idle) == (("ring",), 2.0, "spin")
    assert [str(interface) for interface in config.interfaces] == ["10.0.0.1/24", "10.0.1.1/24"]
    assert [(t.id, ip_text(t.ip), t.port, t.mac) for t in config.targets] == [
        ("10.0.0.2:80", "10.0.0.2", 80, None),
        ("b", "192.0.2.1", 81, 0x020000000001),
    ]
    assert config.role == "client"
    assert (config.cps_per_core, config.max_open, config.connections) == (100, 7, None)
    assert config.request == b"GET / HTTP/1.0\r\n\r\n"
    assert config.response == Response("text", b"ok")
    assert (config.timeouts.user_ms, config.timeouts.retries, config.timeouts.syn_retries) == (0, 3, 7)
    assert config.next_hop(parse_ip("192.0.2.1")) == parse_ip("10.0.0.254")
    assert config.next_hop(parse_ip("10.0.1.77")) == parse_ip("10.0.1.77")


def test_options_win_over_the_file(ours: Path) -> None:
    config, _ = load_traffic(ours, {"devices": ["null"], "cps": 50.0, "targets": ["10.0.0.3:1"], "duration_s": 9.0, "cores": "0"})
    assert (config.devices, config.cps_per_core, config.duration_s) == (("null",), 50, 9.0)
    assert [target.port for target in config.targets] == [1]
    assert config.max_open == 7


def test_kernel_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.load.stay_inside", lambda config, places: False)
    path = tmp_path / "ours.toml"
    path.write_text(OURS)
    side = load_traffic(path, {})[0].kernel_side
    assert side is not None
    assert (side.name, str(side.address), side.namespace) == ("te0", "10.0.0.9/24", "n")
    side = load_traffic(None, {"interfaces": ["10.0.0.1/24"], "kernel_side": "te1,10.0.0.8/24"})[0].kernel_side
    assert side is not None
    assert (side.name, str(side.address), side.namespace) == ("te1", "10.0.0.8/24", None)


def test_the_rate_of_the_option_is_over_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    config, _ = load_traffic(None, {"cores": "0-2", "cps": 900.0})
    assert config.cps_per_core == 300
    assert config.port_mask == 0xC000
    assert config.max_open == len(config.client_ports(0)) == 16383 == len(config.client_ports(2))
    assert [config.listen_ports(i) for i in range(3)] == [(65535,), (49151,), (32767,)]


def test_a_server_ends_by_duration_or_signal_unless_told() -> None:
    assert load_traffic(None, {"role": "server"})[0].connections is None
    assert load_traffic(None, {"role": "server", "connections": 5})[0].connections == 5
    assert load_traffic(None, {"duration_s": 1.0})[0].connections is None


def test_a_server_needs_no_targets(ours: Path) -> None:
    config, _ = load_traffic(ours, {"role": "server", "listen": [80, 8080]})
    assert (config.targets, config.targets_of(0), config.listen_ports(0)) == ((), (), (80, 8080))


def test_detailed_records_need_a_file_to_go_to(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text("[engine]\ndetailed_records = true\n")
    with pytest.raises(ConfigError, match=r"^engine.detailed_records: no records are kept; give engine.records \(--records\)"):
        load_traffic(path, {})
    assert load_traffic(path, {"records": str(tmp_path / "r.csv")})[0].detailed_records
    load_run(path, {})
    path.write_text("[engine]\ndetailed_records = false\n")
    assert load_traffic(path, {})[0].records is None


def test_steering_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    config, _ = load_traffic(None, {"cores": "0,1", "steering": "ip", "interfaces": ["10.0.0.1/24"], "port_mask": "C000"})
    assert [ip_text(config.addresses(i)[0]) for i in (0, 1)] == ["10.0.0.2", "10.0.0.3"]
    assert [config.listen_ports(i) for i in (0, 1)] == [(65535,), (65535,)]
    assert config.client_ports(0) == config.client_ports(1) == range(0xC000, 65535)
    assert [(ip_text(t.ip), t.port) for i in (0, 1) for t in config.targets_of(i)] == [("10.0.0.2", 65535), ("10.0.0.3", 65535)]


def test_a_range_is_shared_out_when_steering_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    given = {"cores": "0-2", "steering": "ip", "interfaces": ["10.0.0.0/27"], "ports": "2000-2099", "max_open": 1000}
    config, _ = load_traffic(None, given)
    assert [config.ranges(k) for k in range(3)] == [(range(TEN + 1 + 10 * k, TEN + 11 + 10 * k),) for k in range(3)]
    assert config.ip_block(config.primaries[0]) == (TEN + 1, 10)
    assert [list(config.client_ports(k)) for k in range(3)] == [list(range(2000, 2100))] * 3
    with pytest.raises(ConfigError, match="1001 is more than the 1000"):
        load_traffic(None, {**given, "max_open": 1001})
    with pytest.raises(ConfigError, match="longer range"):
        load_traffic(None, {**given, "interfaces": ["10.0.0.1-10.0.0.2/24"]})


TEN = 0x0A000000
RANGES_OF_ADDRESSES = {
    "10.0.0.7/24": (TEN + 7, 1),
    "10.0.0.0/24": (TEN + 1, 254),
    "198.18.4.0/22": (0xC6120401, 1022),
    "10.0.0.0/30": (TEN + 1, 2),
    "10.0.0.0/31": (TEN, 1),
    "10.0.0.1/31": (TEN + 1, 1),
    "10.0.0.4/32": (TEN + 4, 1),
    "10.0.0.4/30": (TEN + 5, 2),
    "10.0.0.1-10.0.0.1/24": (TEN + 1, 1),
    "10.0.0.10-10.0.1.3/16": (TEN + 10, 250),
    "10.0.0.255-10.0.1.0/16": (TEN + 255, 2),
}


@pytest.mark.parametrize(("text", "found"), RANGES_OF_ADDRESSES.items())
def test_ranges_of_addresses(text: str, found: tuple[int, int]) -> None:
    config, _ = load_traffic(None, {"interfaces": [text]})
    (interface,) = config.interfaces
    assert (interface.address, interface.count) == found
    assert config.addresses(0) == tuple(range(found[0], found[0] + found[1]))
    for ip in (found[0] - 1, found[0], found[0] + found[1] - 1, found[0] + found[1]):
        assert config.is_local(ip) == (ip in config.addresses(0))
    assert load_traffic(None, {"interfaces": [str(interface)]})[0].interfaces == config.interfaces


def test_a_range_of_targets() -> None:
    given = ["10.0.0.254-10.0.1.1:80@02:00:00:00:00:01", {"id": "b", "ip": "10.0.2.1-10.0.2.2", "port": 81}]
    config, _ = load_traffic(None, {"interfaces": ["10.0.9.9/16"], "targets": given})
    assert [(target.id, ip_text(target.ip), target.port, target.mac) for target in config.targets] == [
        *((f"{ip}:80", ip, 80, 0x020000000001) for ip in ("10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1")),
        ("b-10.0.2.1", "10.0.2.1", 81, None),
        ("b-10.0.2.2", "10.0.2.2", 81, None),
    ]


@pytest.mark.parametrize(
    ("steering", "cores", "expected"),
    [
        ("auto", 1, [(1024, 65534)]),
        ("port", 2, [(49152, 65534), (32768, 49150)]),
        ("ip", 2, [(1024, 65534), (1024, 65534)]),
        ("rss", 2, [(1024, 65534), (1024, 65534)]),
    ],
)
def test_client_ports(monkeypatch: pytest.MonkeyPatch, steering: str, cores: int, expected: list[tuple[int, int]]) -> None:
    """All that were given, but for those that listen, and with steering by port those of other cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    config, _ = load_traffic(None, {"cores": "0,1"[: 2 * cores - 1], "steering": steering, "ports": "1024-65535"})
    found = [config.client_ports(k) for k in range(cores)]
    assert [(ports[0], ports[-1]) for ports in found] == expected
    listening = {port for k in range(cores) for port in config.listen_ports(k)}
    for ports, (first, last) in zip(found, expected, strict=True):
        assert list(ports) == [port for port in range(first, last + 1) if port not in listening]


def test_own_targets_keep_both_roles() -> None:
    config, _ = load_traffic(None, {"interfaces": ["10.0.0.1/24"], "targets": ["10.0.0.1:65535@02:00:00:00:00:09"]})
    assert config.role == "both"
    assert config.targets_of(0)[0].mac == 0x020000000009


def test_macswap_ignores_the_engine(ours: Path) -> None:
    config, _ = load_run(ours, {"idle": "sleep"})
    assert (config.devices, config.idle, config.duration_s) == (("ring",), "sleep", 2.0)


def test_messages() -> None:
    assert message(r"a\r\n\t\0\\\x41" + "é", "--request") == b"a\r\n\t\0\\A" + "é".encode()


def test_message_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "template"
    path.write_bytes(b"\\r\x00\xff")
    assert message(f"@{path}", "--request") == b"\\r\x00\xff"


RANGES = {
    "connections": (1, 1 << 40),
    "payload": (1, 1 << 20),
    "fin_by_client": (1, (1 << 32) - 1),
    "fin_by_server": (1, (1 << 32) - 1),
    "max_open": (1, 32767),
    "seed": (0, (1 << 63) - 1),
    "pool_size": (1, 1 << 24),
    "idle_after": (1, 1 << 30),
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(RANGES)), st.data())
def test_integers_are_taken_within_their_range_only(field: str, data: st.DataObject) -> None:
    low, high = RANGES[field]
    value = data.draw(st.integers(low - 3, low + 3) | st.integers(high - 3, high + 3) | st.integers(low, high))
    if low <= value <= high:
        assert getattr(load_traffic(None, {field: value})[0], field) == value
    else:
        with pytest.raises(ConfigError):
            load_traffic(None, {field: value})


@settings(deadline=None)
@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 32))
def test_interfaces(address: int, prefix: int) -> None:
    """Against the standard library's idea of a network."""
    import ipaddress

    interface = Interface(address, prefix)
    network = ipaddress.ip_interface(f"{ip_text(address)}/{prefix}").network
    assert str(interface) == f"{ip_text(address)}/{prefix}"
    assert interface.holds(int(network.broadcast_address))
    assert interface.holds(address ^ (1 << 32 - prefix)) is False
    edges = (int(network.network_address), int(network.broadcast_address))
    assert interface.is_host(address) == (prefix >= 31 or address not in edges)


@given(st.integers(0, (1 << 48) - 1), st.sampled_from(":-"))
def test_macs(mac: int, separator: str) -> None:
    assert parse_mac(mac_text(mac).replace(":", separator)) == mac


@settings(deadline=None)
@given(
    st.sampled_from(KEYS),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.lists(st.text(max_size=5)),
)
def test_no_value_breaks_a_converter(key, value) -> None:
    """Whatever is given: a value, or a ConfigError in one line that names the place."""
    message = ""
    try:
        BY_FIELD[key.field].convert(value, "the.place")
    except ConfigError as error:
        message = str(error)
    assert not message or message.startswith("the.place")
    assert len(message.splitlines()) <= 1


IP6 = {"interfaces": ["10.0.0.1/24", "2001:db8::1/64", "2001:db8:1::1/64"]}


def test_both_families() -> None:
    targets = ["[2001:db8::2]:80", "10.0.0.2:80@02:00:00:00:00:01", "[fe80::2]:81@02:00:00:00:00:02", "[2001:db8:9::9]:80"]
    config, _ = load_traffic(None, {**IP6, "targets": targets, "gateways": ["fe80::9", "10.0.0.254"], "cores": "0"})
    assert [str(interface) for interface in config.interfaces] == IP6["interfaces"]
    assert [endpoint_text(t.ip, t.port) for t in config.targets] == [target.split("@")[0] for target in targets]
    assert [t.mac for t in config.targets] == [None, 0x020000000001, 0x020000000002, None]
    assert config.role == "client"
    hops = {ip: ip_text(config.next_hop(parse_ip(ip)) or 0) for ip in ("2001:db8::5", "2001:db8:9::9", "fe80::7", "192.0.2.1")}
    assert hops == {"2001:db8::5": "2001:db8::5", "2001:db8:9::9": "fe80::9", "fe80::7": "fe80::7", "192.0.2.1": "10.0.0.254"}
    assert config.next_hop(parse_ip("::a00:5") | 1 << 96) == parse_ip("fe80::9")


def test_each_core_connects_to_itself_over_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    config, _ = load_traffic(None, {**IP6, "cores": "0,1"})
    assert [endpoint_text(t.ip, t.port) for t in config.targets_of(1)] == ["10.0.0.1:49151", "[2001:db8::1]:49151"]
    config, _ = load_traffic(None, {**IP6, "cores": "0,1", "steering": "ip"})
    assert [endpoint_text(t.ip, t.port) for t in config.targets_of(1)] == ["10.0.0.3:65535", "[2001:db8::3]:65535"]
    assert [ip_text(primary.address) for primary in config.primaries] == ["10.0.0.1", "2001:db8::1"]


def test_listeners() -> None:
    config, _ = load_traffic(None, {**IP6, "listen": ["80", "[2001:db8::1]:81", "10.0.0.1:82"]})
    assert config.listen == (80, (parse_ip("2001:db8::1"), 81), (parse_ip("10.0.0.1"), 82))
    assert config.listen_ports(0) == (80, 81, 82)
    assert config.listen_ports(0, parse_ip("10.0.0.1")) == (80, 82)
    assert [endpoint_text(t.ip, t.port) for t in config.targets_of(0)] == ["10.0.0.1:80", "[2001:db8::1]:80"]
    config, _ = load_traffic(None, {**IP6, "listen": ["[2001:db8::1]:81"]})
    assert [endpoint_text(t.ip, t.port) for t in config.targets_of(0)] == ["[2001:db8::1]:81"]


def test_the_address_that_a_mac_gives() -> None:
    """RFC 2464 section 4."""
    assert ip_text(link_local(bytes.fromhex("3456789abcde"))) == "fe80::3656:78ff:fe9a:bcde"
