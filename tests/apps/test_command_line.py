"""The command line itself: help, version, what goes where, how fast it starts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps import cli, plugins
from apps.result import CoreResult, Result

ROOT = Path(__file__).parent.parent.parent
COMMANDS = ("trafficengine", "macswap", "endpoint", "run", "operators", "show", "doctor")


def test_help_names_every_command(te_apps) -> None:
    outcome = te_apps("--help")
    assert outcome.code == 0
    assert all(f"\n  {command} " in outcome.out for command in COMMANDS)
    assert te_apps().out == outcome.out


def test_version(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2.3 of {name}")
    outcome = te_apps("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, "te-apps 1.2.3 of te-apps\n", "")


@pytest.mark.parametrize(("command", "code", "lines"), [("> /dev/full", 1, 1), ("| true", 0, 0)])
def test_stdout_that_takes_nothing(command: str, code: int, lines: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m apps.cli doctor --json {command}"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (code, lines), done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_the_terminal(te_apps, command: str) -> None:
    outcome = te_apps(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    prose = [line for line in outcome.out.splitlines() if not line.startswith(("  te-apps", "      --"))]
    assert max(map(len, prose)) <= 80


def test_help_starts_fast_and_without_numba() -> None:
    start = time.perf_counter()
    code = "import sys; from apps.cli import main; main(['--help']); print('numba' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False False"
    assert time.perf_counter() - start < 2


def test_json_is_one_object_on_stdout(te_apps) -> None:
    outcome = te_apps("trafficengine", "--json", "--device", "ring")
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    assert json.loads(outcome.out)["device"] == "ring"
    assert outcome.err == ""


def test_tables_go_to_stdout(te_apps) -> None:
    assert te_apps("trafficengine").out.startswith("fake on loopback, core")


def test_quiet(te_apps) -> None:
    outcome = te_apps("macswap", "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    (config,) = outcome.started
    assert (config.quiet, config.progress) == (True, False)


def test_options_reach_the_configuration(te_apps) -> None:
    options = (
        r"--role both --ip 10.0.0.1/24 --target 10.0.0.2:80 --target 10.0.0.3:81 --listen 80 --listen 81 --request GET\r\n --json"
    )
    outcome = te_apps("trafficengine", *options.split())
    (config,) = outcome.started
    assert [target.port for target in config.targets] == [80, 81]
    assert (config.listen, config.request, config.json) == ((80, 81), b"GET\r\n", True)


def test_the_exit_code_is_the_results(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["apps.trafficengine"], "run", lambda config: Result("x", (), [CoreResult()], 1.0, wanted=1))
    assert te_apps("trafficengine", "--quiet").code == 1


def test_an_interrupt_gives_no_traceback(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(config: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["apps.trafficengine"], "run", interrupted)
    outcome = te_apps("trafficengine")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.strip() in ("", "te-apps: interrupted")


def test_a_failed_run_is_one_line(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpdk_io.errors import TeError

    def failed(config: object) -> None:
        raise TeError("the port is gone:\n  look at the cable")

    monkeypatch.setattr(sys.modules["apps.trafficengine"], "run", failed)
    outcome = te_apps("trafficengine")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", "te-apps: the port is gone: look at the cable\n")


def test_our_own_mistakes_keep_their_traceback(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys.modules["apps.trafficengine"], "run", broken)
    with pytest.raises(ZeroDivisionError):
        te_apps("trafficengine")


class _Point:
    def __init__(self, name: str, load) -> None:
        self.name, self.value, self.load = name, f"package:{name}", load


def hello(times: int = 1) -> None:
    """Say hello."""
    cli.typer.echo("hello " * times)


def test_apps_of_other_packages_are_commands(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entry_points", lambda: {"hello": _Point("hello", lambda: hello)})
    assert te_apps("hello", "--times", "2").out == "hello hello \n"
    assert "hello" in te_apps("--help").out


def test_an_app_that_does_not_load_is_one_line(te_apps, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError("no module named x")

    monkeypatch.setattr(plugins, "_entry_points", lambda: {"hello": _Point("hello", broken)})
    outcome = te_apps("hello")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "hello" in outcome.err


PIPELINE = """
from pipeline import DROP, Pipeline, operator

@operator()
def nothing():
    \"\"\"Drop everything.\"\"\"
    return DROP

small = Pipeline("small", [nothing])
"""


def test_show(te_apps, tmp_path: Path) -> None:
    path = tmp_path / "small.py"
    path.write_text(PIPELINE)
    both = te_apps("show", f"{path}:small")
    graph = te_apps("show", f"{path}:small", "--graph")
    source = te_apps("show", f"{path}:small", "--source")
    assert both.code == graph.code == source.code == 0
    assert "Drop everything." in graph.out
    assert "def " in source.out
    assert both.out == graph.out + source.out


def test_operators(te_apps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline import load

    path = tmp_path / "small.py"
    path.write_text(PIPELINE)
    (nothing,) = load(f"{path}:small").operators
    monkeypatch.setattr("pipeline.discover", lambda: {"nothing": nothing})
    assert te_apps("operators").out == "nothing  Drop everything.\n"
    assert json.loads(te_apps("operators", "--json").out) == {"nothing": "Drop everything."}


def test_doctor(te_apps) -> None:
    found = json.loads(te_apps("doctor", "--json").out)
    assert {"name", "ok", "detail", "remedy"} == set(found[0])
    lines = te_apps("doctor").out.splitlines()
    assert [line.split(":")[0][5:] for line in lines if not line.startswith("     ->")] == [check["name"] for check in found]
