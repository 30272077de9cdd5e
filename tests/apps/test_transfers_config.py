"""The keys of transfers: sizes and times with units, what they mean together, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.config import Sizes
from apps.errors import ConfigError
from apps.hooks import contents_of
from apps.load import load_traffic
from apps.values import RATE_LIMIT, WINDOW_LIMIT, milliseconds, size
from operators.reader import MOST_RATE
from operators.transfer_header import MOST_BYTES
from tcp.limits import new_limits

HOOK = """
def fill(address, offset, length, connection):
    pass

def odd(address):
    pass
"""


def loaded(**options: Any):
    return load_traffic(None, options)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (7, 7), ("0", 0), ("1500", 1500), ("10k", 10_000), ("10K", 10_000), ("64Ki", 65_536), ("64KiB", 65_536),
        ("2M", 2_000_000), ("2 MB", 2_000_000), ("1Mi", 1 << 20), ("3G", 3_000_000_000), ("1gi", 1 << 30), ("1T", 10**12),
    ],
)  # fmt: skip
def test_sizes_have_suffixes_decimal_and_binary(text: Any, value: int) -> None:
    assert size(0, 1 << 40)(text, "--send") == value


@pytest.mark.parametrize("text", ["", "K", "1Q", "-1", "1.5M", "1MM", "1 M i", True, 1.0, None, [1], "1" * 16])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="^--send: .* is no number of bytes; give one like"):
        size(0, 1 << 40)(text, "--send")


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="^--send: 2000000000000 is out of range; give 0 to 1099511627776 bytes"):
        loaded(send="2T")


@pytest.mark.parametrize(("text", "ms"), [("10ms", 10), ("1.5s", 1500), ("2 s", 2000), ("1min", 60_000), ("0.9999ms", 1)])
def test_times_have_units(text: str, ms: int) -> None:
    assert milliseconds(text, "--think") == ms


@pytest.mark.parametrize("text", ["", "10", 10, "0ms", "-1s", "1h", "100us", "999999999min"])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"^--think: .*(with its unit, like 10ms|at least 1ms)"):
        milliseconds(text, "--think")


def test_limits_are_those_of_what_is_below() -> None:
    new_limits(rcv_wnd=WINDOW_LIMIT)
    assert size(0, 1 << 40)("1Ti", "") == MOST_BYTES
    assert RATE_LIMIT == MOST_RATE


def test_sizes_of_a_round(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert not loaded().transfers
    assert loaded(send="1K").sizes == Sizes(1000, 0)
    assert loaded(receive="1K").sizes == Sizes(0, 1000)
    assert loaded(send_file=str(file)).sizes == Sizes(5, 0)
    assert loaded(send_file=str(file), send="12").sizes == Sizes(12, 0)
    assert loaded(request="GET", receive="12").sizes == Sizes(3, 12)
    assert loaded(request="GET", receive="12").peer == "any"
    assert contents_of(loaded(send_file=str(file))).template.tobytes() == b"12345"
    assert contents_of(loaded(request="GET", receive="12")).template.tobytes() == b"GET"


def test_how_many_connections_there_are_by_default() -> None:
    assert loaded(send="1G").connections == 1
    assert loaded(send="1G", duration_s=3.0).connections is None
    assert loaded(send="1G", connections=7).connections == 7
    assert loaded().connections == 250_000


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"send": "0"}, "--send: nothing is sent and nothing received"),
        ({"receive": "0"}, "--send: nothing is sent and nothing received"),
        ({"receive": "1K", "rounds": 2}, "--rounds: a round begins with a request, and it has no bytes"),
        ({"send": "1K", "think_ms": "1s"}, "--think: there is nothing after a single round"),
        ({"send": "1K", "request": "GET"}, "--send: --request says already what is sent"),
        ({"send_file": __file__, "request": "GET"}, "--send-file: --request says already what is sent"),
        ({"receive": "1K", "request": "GET", "peer": "engine"}, "--peer: a request is for servers that are no TrafficEngine"),
        ({"role": "server", "send": "1K"}, "--send: its clients tell a server the sizes"),
        ({"role": "server", "receive": "1K"}, "--receive: its clients tell a server the sizes"),
        ({"rounds": 3}, "--rounds: there is no transfer"),
        ({"think_ms": "3s"}, "--think: there is no transfer"),
        ({"half_close": True}, "--half-close: there is no transfer"),
        ({"peer": "any"}, "--peer: there is no transfer"),
        ({"read_rate": "1M", "response": "text:hi"}, "--read-rate: there is no transfer to be read"),
        ({"send_file": "/nowhere"}, "--send-file: '/nowhere' cannot be read"),
        ({"send_file": "/dev/null"}, "--send-file: '/dev/null' is empty"),
        ({"window": 535}, "--window: 535 is out of range"),
        ({"read_rate": "0"}, "--read-rate: 0 is out of range; give 1 to 2000000000 bytes a second"),
        ({"send": "1K", "peer": "anyone"}, "--peer: 'anyone' is none of engine, any"),
        ({"max_transfers": 5}, "engine.max_transfers: for a server alone that is told no sizes"),
        ({"role": "server", "send": "1K", "peer": "any", "max_transfers": 5}, "engine.max_transfers: for a server alone"),
        ({"role": "server", "max_transfers": 0}, "engine.max_transfers: 0 is out of range"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(**options)
    assert str(refused.value).startswith(complaint)


def test_a_server_may_have_what_its_clients_ask_for() -> None:
    config = loaded(role="server", payload_hook="x.py:fill", read_rate="1K", window="10K")
    assert (config.read_rate, config.window, config.transfers) == (1000, 10_000, False)


def test_hooks_are_looked_for_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "hooks.py"
    file.write_text(HOOK)
    assert contents_of(loaded(send="1K", payload_hook=f"{file}:fill")).fill is not None
    with pytest.raises(ConfigError, match="--payload-hook: .* has no 'fil'; did you mean 'fill'"):
        contents_of(loaded(send="1K", payload_hook=f"{file}:fil"))
    with pytest.raises(ConfigError, match="--payload-hook: 'fill': name a hook as FILE.py:NAME"):
        contents_of(loaded(send="1K", payload_hook="fill"))


def test_what_is_no_hook_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "hooks.py"
    file.write_text(HOOK)
    with pytest.raises(ConfigError, match=r"^--check-hook: .*:odd is no kernel of \(address, offset, length, connection\): .*"):
        contents_of(loaded(send="1K", check_hook=f"{file}:odd"))


@pytest.mark.parametrize("target", ["json:loads", "os.path:join", "math:sin", "builtins:print"])
def test_a_function_that_is_no_hook_at_all(target: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--check-hook: {target} is no kernel of \(address, .*; decorate it with @kernel$"):
        contents_of(loaded(send="1K", check_hook=target))
