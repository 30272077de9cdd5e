"""Clients and servers, hundreds of connections: what passes is what must pass, and both ends count exactly that."""

from __future__ import annotations

from typing import Any

import pytest

from apps.errors import ConfigError
from apps.load import load_traffic
from dpdk_io.jit import JIT
from operators.tcp_engine import http_response
from tests.engine.equalities import assert_once_each
from tests.engine.host import CLIENT_IP, LISTEN, SERVER_IP, SERVER_MAC, Host, client, mac_word, server
from tests.engine.wire import PACKET_COUNTERS, Wire, Witness

MANY = 300 if JIT else 40


def packets(host: Host, role: str) -> dict[str, int]:
    return {name: count for name, count in host.counters(role).items() if name in PACKET_COUNTERS}


def exchange(witness: Witness, both: dict[str, Any], **ours: Any) -> tuple[Host, Host]:
    """A client with the settings *ours* and a server, both with those of *both*, run to the end; counters are as witnessed."""
    wanted = ours.setdefault("wanted", MANY)
    near, far = client(**both, **ours), server(**both)
    Wire(near, far, witness=witness).run()
    assert near.engine.done
    assert not witness.open
    assert near.drops() == far.drops() == {}
    assert packets(near, "client") == witness.expected("client")
    assert packets(far, "server") == witness.expected("server")
    assert_once_each(near.counters("client"), far.counters("server"), wanted)
    for host in (near, far):
        assert host.engine.open == 0
        host.assert_all_mbufs_free()
    return near, far


def test_seven_packets_a_connection() -> None:
    witness = Witness(LISTEN)
    near, far = exchange(witness, {}, max_open=100, expect_echo=True)
    assert witness.packets == 7 * MANY
    counters = near.counters("client")
    assert counters["max_open"] == witness.most_open <= 100
    assert counters["expected"] == counters["PassiveClose"] == far.counters("server")["ActiveClose"] == MANY
    assert (counters["BytesSent"], counters["SentPayload"]) == (16 * MANY, MANY)


@pytest.mark.parametrize(
    ("by_client", "by_server", "expected"),
    [(1, 1, 7), (1, 1000, 8), (1000, 1, 7), (3, 2, 9), (2, 3, 10), (2, 2, 9), (7, 1000, 20), (1000, 7, 19)],
)
def test_whoever_closes_counters_are_exact(by_client: int, by_server: int, expected: int) -> None:
    witness = Witness(LISTEN)
    near, _ = exchange(witness, {"fin_by_client": by_client, "fin_by_server": by_server, "payload": 24}, max_open=50)
    assert witness.packets == expected * MANY
    closer = "PassiveClose" if by_server <= by_client else "ActiveClose"
    assert near.counters("client")[closer] == MANY
    assert near.counters("client")["SentPayload"] == min(by_client, by_server) * MANY


SIZES = [1, 2, 3, 7, 15, 16, 17, 1459, 1460, 1461, 2920, 5000]


@pytest.mark.parametrize("size", SIZES if JIT else SIZES[::4] + SIZES[-1:])
@pytest.mark.parametrize("rounds", [1, 3])
def test_messages_of_any_size_come_back_whole(size: int, rounds: int) -> None:
    both = {"payload": size, "fin_by_server": rounds}
    near, far = exchange(Witness(LISTEN), both, wanted=20, max_open=8, expect_echo=True)
    counters = near.counters("client")
    assert counters["BytesSent"] == counters["BytesReceived"] == 20 * size * rounds
    assert counters["expected"] == 20


@pytest.mark.parametrize(
    ("expect", "good"),
    [(None, True), (b"H", True), (b"HTTP/1.1 200 OK\r\n", True), (b"HTTP/1.1 404", False), (b"HTTP/1.1 200 OK\r\n" * 100, False)],
)
def test_responses_are_compared_with_what_is_expected(expect: bytes | None, good: bool) -> None:
    near, _ = exchange(Witness(LISTEN), {}, request=b"GET / HTTP/1.0\r\n\r\n", expect=expect, wanted=30)
    counters = near.counters("client")
    assert counters["expected" if good else "unexpected"] == counters["completed"] == 30
    assert ("unexpected" if good else "expected") not in counters


@pytest.mark.parametrize("size", [10, 5000, 60_000])
def test_long_requests_and_fixed_responses(size: int) -> None:
    """The server has read a message of its own idea of length, and closes, while the client still sends: both close first."""
    near = client(request=b"r" * size, expect=b"yes! yes", wanted=8, max_open=1, fin_by_client=1)
    far = server(response_kind="text", response=b"yes! " * 300)
    Wire(near, far).run()
    assert near.counters("client")["expected"] == 8
    assert far.counters("server")["BytesReceived"] == 8 * size
    assert_once_each(near.counters("client"), far.counters("server"), 8, lossless=False)
    for host in (near, far):
        host.assert_all_mbufs_free()


def test_both_roles_in_one_engine() -> None:
    witness = Witness(LISTEN)
    host = Host(
        SERVER_IP, SERVER_MAC, listen=[LISTEN], targets=[(SERVER_IP, LISTEN, mac_word(SERVER_MAC))], wanted=MANY, max_open=64,
        client_ports=range(50000, 51000), expect_echo=True,
    )  # fmt: skip
    Wire(host, witness=witness).run()
    assert witness.packets == 7 * MANY
    assert_once_each(host.counters("client"), host.counters("server"), MANY)
    host.assert_all_mbufs_free()


@pytest.mark.parametrize("most", [1, 7, 33])
def test_never_more_open_than_allowed(most: int) -> None:
    witness = Witness(LISTEN)
    near, _ = exchange(witness, {}, max_open=most, wanted=100)
    assert witness.most_open == near.counters("client")["max_open"] == most


def test_ports_are_shuffled_by_seed_and_reused_in_turn() -> None:
    def order(seed: int) -> list[int]:
        witness = Witness(LISTEN)
        near, far = client(seed=seed, wanted=40, max_open=1, client_ports=range(40000, 40010)), server()
        wire = Wire(near, far, witness=witness)
        while not near.engine.done:
            wire.turn()
            wire.advance(1)
        return [port for _, port, _ in witness.opened]

    ports = order(5)
    assert sorted(ports[:10]) == list(range(40000, 40010))
    assert ports == ports[:10] * 4
    assert order(5) == ports
    assert order(6) != ports


def test_ports_that_run_out_are_waited_for() -> None:
    witness = Witness(LISTEN)
    near, far = client(wanted=30, max_open=20, client_ports=range(40000, 40004)), server()
    wire = Wire(near, far, witness=witness)
    while not near.engine.done:
        wire.turn()
        wire.advance(1)
    wire.run()
    assert near.state("tcp_client").no_port > 0
    assert near.counters("client")["max_open"] == witness.most_open == 4
    assert_once_each(near.counters("client"), far.counters("server"), 30)


def test_slots_that_run_out_are_waited_for() -> None:
    near, far = client(wanted=30, max_open=20, connections=8), server()
    Wire(near, far).run()
    assert near.state("tcp_client").no_slot > 0
    assert near.counters("client")["max_open"] == 8
    assert_once_each(near.counters("client"), far.counters("server"), 30)


def test_a_port_in_our_time_wait_may_be_used_again() -> None:
    """The client closes first: its ports come back to the queue while their connections wait, and their SYN begins anew."""
    near, far = client(wanted=12, max_open=1, fin_by_client=1, client_ports=range(40000, 40004)), server(fin_by_server=9)
    wire = Wire(near, far)
    while not near.engine.done:
        wire.run()
        wire.advance(1)
    assert near.counters("client")["time_wait_evicted"] == 8
    assert_once_each(near.counters("client"), far.counters("server"), 12)


def test_addresses_and_targets_are_taken_in_turns() -> None:
    """Each local address connects to every target, then the next one does; with ports of its own."""
    locals_, servers = [CLIENT_IP, CLIENT_IP + 16, CLIENT_IP + 32], [SERVER_IP, SERVER_IP + 1]
    witness = Witness(LISTEN)
    near = client(
        local_ips=locals_, targets=[(ip, LISTEN, mac_word(SERVER_MAC)) for ip in servers], wanted=60, max_open=5,
        client_ports=range(40000, 40020),
    )  # fmt: skip
    far = server(local_ips=servers)
    Wire(near, far, witness=witness).run()
    turns = [(source, destination) for source in locals_ for destination in servers]
    assert [(source, destination) for source, _, destination in witness.opened] == turns * 10
    ports = [[port for source, port, _ in witness.opened if source == ip] for ip in locals_]
    assert sorted(ports[0]) == sorted(ports[1]) == sorted(ports[2]) == list(range(40000, 40020))
    assert ports[0] != ports[1] != ports[2]
    assert_once_each(near.counters("client"), far.counters("server"), 60)


def test_a_target_whose_mac_is_not_known_is_waited_for() -> None:
    word = mac_word(bytes(6))
    near, far = client(targets=[(SERVER_IP, LISTEN, word)], wanted=3), server()
    wire = Wire(near, far)
    wire.run()
    assert near.counters("client") == {}
    word[0] = mac_word(SERVER_MAC)[0]
    wire.run()
    assert near.counters("client")["completed"] == 3


def test_connections_start_when_the_schedule_says() -> None:
    near, far = client(wanted=None, cps=1000, max_open=200), server()
    wire = Wire(near, far)
    for ms in range(1, 101):
        wire.advance(1)
        wire.run()
        assert near.counters("client").get("attempted", 0) in (ms, ms - 1)
    assert near.engine.shortfall(0.1) == 0


def test_a_schedule_that_was_missed_is_made_up_for_and_told() -> None:
    near, far = client(wanted=None, cps=10_000, max_open=500, client_ports=range(32768, 36768)), server(connections=2048)
    wire = Wire(near, far)
    wire.advance(100)
    assert near.engine.shortfall(0.1) == 1000 - 32
    wire.run()
    assert near.counters("client")["completed"] in (999, 1000)
    assert near.engine.shortfall(0.1) == 0


def test_nothing_begins_while_paused() -> None:
    near, far = client(wanted=5), server()
    near.engine.record.paused = 1
    wire = Wire(near, far)
    wire.run()
    assert near.counters("client") == {}
    near.engine.record.paused = 0
    wire.run()
    assert near.counters("client")["completed"] == 5


def test_clients_refused_count_as_failed() -> None:
    """A closed port answers RST: attempted, never established, released by the peer's reset; the port is used again."""
    near, far = client(wanted=9, max_open=3, client_ports=range(40000, 40004)), server(listen=[LISTEN + 1])
    Wire(near, far).run()
    assert near.counters("client") == {
        "SentSyn": 9, "RecvRst": 9, "attempted": 9, "failed": 9, "PassiveRst": 9, "max_open": 3,
        "SegmentsSent": 9, "SegmentsReceived": 9,
    }  # fmt: skip
    assert far.counters("server") == {"SentRst": 9, "Unexpected": 9, "SegmentsReceived": 9, "SegmentsSent": 9}
    near.assert_all_mbufs_free()


def test_a_peer_that_never_answers_times_out() -> None:
    near = client(wanted=4, limits={"syn_retries": 3, "rto_initial": 1000})
    wire = Wire(near, server(), fate=lambda number: False)
    wire.run()
    for _ in range(3 + 1):
        assert near.counters("client")["open"] == 4
        wire.advance(8100)
        wire.run()
    counters = near.counters("client")
    assert counters["Timeout"] == counters["failed"] == 4
    assert (counters["SentSyn"], counters["Retransmissions"]) == (4, 12)
    assert "open" not in counters
    near.assert_all_mbufs_free()


def test_records_tell_each_connection_twice() -> None:
    near, far = client(wanted=100, records=256), server(records=256)
    Wire(near, far).run()
    ours, theirs = near.engine.take_records(), far.engine.take_records()
    assert len(ours) == len(theirs) == 100
    assert len(near.engine.take_records()) == 0
    by_uid = {int(record["uid"]): record for record in theirs}
    assert sorted(by_uid) == sorted(ours["uid"].tolist()) == list(range(1, 101))
    for record in ours:
        other = by_uid[int(record["uid"])]
        for name in ("client_ip", "client_port", "server_ip", "server_port", "core"):
            assert record[name] == other[name]
        assert (record["role"], other["role"]) == (0, 1)
        assert (record["sent_payloads"], record["received_payloads"]) == (1, 1)
    assert set(map(tuple, ours["states"][:, :5].tolist())) == {(2, 4, 9, 0, 0)}
    assert set(map(tuple, theirs["states"][:, :5].tolist())) == {(3, 4, 5, 10, 0)}


def test_records_beyond_the_room_for_them_are_counted() -> None:
    near, far = client(wanted=40, records=16), server()
    Wire(near, far).run()
    assert len(near.engine.take_records()) == 16
    assert near.counters("client")["records_lost"] == 24


def test_as_much_as_may_be_expected_is_compared_to_the_last_byte() -> None:
    body = bytes(k % 251 for k in range(65_535 - http_response(b"x" * 65_000)[1]))
    whole = http_response(body)[0]
    assert len(whole) == 65_535
    for expect, verdict in ((whole, "expected"), (whole[:-1] + b"?", "unexpected")):
        near = client(request=b"GET / HTTP/1.0\r\n\r\n", expect=expect)
        Wire(near, server(response_kind="http", response=body)).run()
        assert near.counters("client")[verdict] == near.counters("client")["completed"] == 1


def test_more_than_can_be_compared_is_refused() -> None:
    load_traffic(None, {"request": "GET", "expect": "x" * 65_535})
    with pytest.raises(ConfigError, match="--expect: 65536 bytes are too many"):
        load_traffic(None, {"request": "GET", "expect": "x" * 65_536})
