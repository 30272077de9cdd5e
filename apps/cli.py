"""`te-apps`: the command line. Results go to stdout, all else to stderr; heavy modules are imported when a command runs."""

from __future__ import annotations

import gc
import json as json_module
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from apps import options as o
from apps.plugins import PluginGroup

if TYPE_CHECKING:
    from apps.result import Result

_APART = ("config", "maps", "pipeline")

app = typer.Typer(
    name="te-apps", cls=PluginGroup, rich_markup_mode=None, pretty_exceptions_enable=False, invoke_without_command=True
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            _print(f"te-apps {version('te-apps')}")
        except PackageNotFoundError:
            _print("te-apps, run from its sources without having been installed")
        raise typer.Exit


@app.callback()
def te_apps(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Packet pipelines compiled per core, and a stateful TCP traffic generator built with them.

    \b
    te-apps trafficengine                      both roles on the embedded loopback
    te-apps trafficengine --help               what else it can do
    te-apps doctor                             what works on this machine
    """
    if context.invoked_subcommand is None:
        _print(context.get_help())


@app.command()
def trafficengine(
    context: typer.Context, config: o.ConfigFile = None, devices: o.Devices = None, maps: o.Maps = None, cores: o.Cores = None,
    role: o.RoleName = None, targets: o.Targets = None, interfaces: o.Ips = None, gateways: o.Gateways = None, mac: o.Mac = None,
    ports: o.ClientPorts = None, listen: o.Listen = None, connections: o.ConnectionCount = None, cps: o.Cps = None,
    max_open: o.MaxOpen = None, hold_s: o.Hold = None, ttl: o.Ttl = None, dscp: o.Dscp = None,
    duration_s: o.Duration = None, payload: o.Payload = None, request: o.Request = None, expect: o.Expect = None,
    response: o.ResponseText = None, fin_by_client: o.FinByClient = None, fin_by_server: o.FinByServer = None,
    send: o.Send = None, receive: o.Receive = None, rounds: o.Rounds = None, think_ms: o.Think = None,
    half_close: o.HalfClose = None, peer: o.Peer = None, send_file: o.SendFile = None, payload_hook: o.PayloadHook = None,
    check_hook: o.CheckHook = None, read_rate: o.ReadRate = None, window: o.Window = None,
    steering: o.Steering = None, port_mask: o.PortMask = None, kernel_side: o.KernelSideName = None, seed: o.Seed = None,
    idle: o.Idle = None, name: o.Name = None, mbuf_cnt: o.MbufCnt = None, cache_size: o.CacheSize = None,
    pool_size: o.PoolSize = None, rxd: o.Rxd = None, txd: o.Txd = None, impair: o.Impair = None, records: o.Records = None,
    json: o.Json = False, quiet: o.Quiet = False,
) -> int:  # fmt: skip
    """Open, use and close TCP connections, as client, server or both, and count everything.

    Ends when its connections are done, after --duration, or by Ctrl-C. Exit code 0: all completed; 1: some failed; 2: a mistake
    in the configuration, nothing was started; 130 or 143: stopped by a signal.

    \b
    te-apps trafficengine --connections 1000000 --cores 0,1
    te-apps trafficengine --device tap:te0 --ip 10.0.0.1/24 --target 10.0.0.2:80 \\
        --request 'GET / HTTP/1.0\\r\\n\\r\\n' --expect 'HTTP/1.1 200' --connections 20000 --cps 5000
    te-apps trafficengine --device af_packet:eth1 --ip 10.0.0.1/24 --role server --listen 80 --response http
    te-apps trafficengine --ip 198.18.0.0/26 --max-open 1000000 --connections 1000000 --hold 10
    te-apps trafficengine --send 1M --receive 10M --rounds 5 --think 10ms --connections 20
    te-apps trafficengine old_loopback_run.toml --map 7:00.0=net_ring0 --json
    """
    from apps.load import load_traffic

    settings = load_traffic(config, _given(context), maps or ())
    from apps.trafficengine import run

    return _finish(run, *settings)


@app.command()
def macswap(
    context: typer.Context, config: o.ConfigFile = None, devices: o.Devices = None, maps: o.Maps = None, cores: o.Cores = None,
    duration_s: o.Duration = None, idle: o.Idle = None, name: o.Name = None, mbuf_cnt: o.MbufCnt = None,
    cache_size: o.CacheSize = None, pool_size: o.PoolSize = None, rxd: o.Rxd = None, txd: o.Txd = None, impair: o.Impair = None,
    json: o.Json = False, quiet: o.Quiet = False,
) -> int:  # fmt: skip
    """Send every packet back with its MAC addresses swapped: the far end of the cable.

    \b
    te-apps macswap --device af_packet:eth1
    te-apps macswap --device pcap:in.pcap,out.pcap
    """
    from apps.load import load_run

    settings = load_run(config, _given(context), maps or ())
    from apps.macswap import run

    return _finish(run, *settings)


@app.command()
def endpoint(
    context: typer.Context, devices: o.Devices = None, interfaces: o.Ips = None, control: o.Control = None,
    gateways: o.Gateways = None, mac: o.Mac = None,
    neighbours: o.Neighbours = None, clock: o.Clock = None, timestamps: o.Timestamps = None, sack: o.Sack = None,
    window_scale: o.WindowScale = None, ecn: o.Ecn = None, congestion: o.Congestion = None, seed: o.Seed = None,
    cores: o.Cores = None, name: o.Name = None, mbuf_cnt: o.MbufCnt = None, cache_size: o.CacheSize = None,
    pool_size: o.PoolSize = None, rxd: o.Rxd = None, txd: o.Txd = None, json: o.Json = False, quiet: o.Quiet = False,
) -> int:  # fmt: skip
    """Be one host whose TCP sockets are driven from outside, by requests to a unix socket.

    \b
    te-apps endpoint --device tap:te0 --ip 10.0.0.1/24 --control /tmp/te.sock
    python examples/ask.py /tmp/te.sock SOCKET 2 1 6
    """
    # What an endpoint does is a matter of microseconds at most a few thousand times a second: interpreted it starts at once.
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    from apps.endpoint.options import load_endpoint

    settings = load_endpoint(_given(context))
    from apps.endpoint.app import run

    return _finish(run, *settings)


@app.command()
def run(
    context: typer.Context, pipeline: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE:NAME", help="The pipeline to run.")],
    config: Annotated[o.Path | None, typer.Option("--config", metavar="CONFIG.toml", help="Its table [run] is read.")] = None,
    devices: o.Devices = None, maps: o.Maps = None, cores: o.Cores = None, duration_s: o.Duration = None, idle: o.Idle = None,
    name: o.Name = None, mbuf_cnt: o.MbufCnt = None, cache_size: o.CacheSize = None, pool_size: o.PoolSize = None,
    rxd: o.Rxd = None, txd: o.Txd = None, impair: o.Impair = None, json: o.Json = False, quiet: o.Quiet = False,
) -> int:  # fmt: skip
    """Run a pipeline of your own.

    \b
    te-apps run guard.py:guard --device af_packet:eth1
    """
    from apps.load import load_run

    settings = load_run(config, _given(context), maps or ())
    from pipeline import load

    loaded = load(pipeline)
    from apps.engine import run_pipeline

    return _finish(lambda settings: run_pipeline(loaded, settings, loaded.name), *settings)


@app.command()
def operators(json: o.Json = False) -> None:
    """List the operators there are, built in and from plugins."""
    from pipeline import discover

    found = {name: operator.help for name, operator in discover().items()}
    if json:
        _print(json_module.dumps(found))
        return
    width = max(map(len, found), default=0)
    for name, line in found.items():
        _print(f"{name:{width}}  {line}")


@app.command()
def show(
    pipeline: Annotated[str, typer.Argument(metavar="FILE_OR_MODULE:NAME", help="The pipeline to show.")],
    source: Annotated[bool, typer.Option("--source", help="Only the generated source.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Only the graph.")] = False,
) -> None:
    """Print a pipeline as a graph, and as the source that is compiled for it."""
    from pipeline import load

    loaded = load(pipeline)
    if graph or not source:
        _print(loaded.graph())
    if source or not graph:
        _print(loaded.source())


@app.command()
def doctor(json: o.Json = False) -> None:
    """Say what works on this machine, and how to mend what does not."""
    from apps.report import doctor_text
    from dpdk_io.probe import checks

    found = checks()
    if json:
        _print(json_module.dumps([{k: getattr(c, k) for k in ("name", "ok", "detail", "remedy")} for c in found]))
    else:
        _print(doctor_text(found))


def _given(context: typer.Context) -> dict[str, Any]:
    """The options by field of the configuration, with how to report."""
    given = {name: value for name, value in context.params.items() if name not in _APART}
    return {**given, "progress": not given["quiet"] and sys.stderr.isatty()}


def _finish(start: Callable[[Any], Result], settings: Any, warnings: Sequence[str]) -> int:
    """Run, and report: JSON or tables on stdout; the exit code."""
    from apps.report import result_text

    if not settings.quiet:
        for warning in warnings:
            typer.echo(f"te-apps: {warning}", err=True)
    gc.freeze()
    gc.enable()
    result = start(settings)
    if settings.json:
        _print(json_module.dumps(result.to_json()))
    elif not settings.quiet:
        _print(result_text(result))
    return result.exit_code


def _print(text: str) -> None:
    """*text* on stdout. A reader that has gone is no mistake; a full disk is a failed run."""
    try:
        typer.echo(text)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            from dpdk_io.errors import TeError

            raise TeError(f"stdout cannot be written: {error.strerror}") from error


def _one_line(message: object) -> None:
    typer.echo(f"te-apps: {' '.join(str(message).split())}", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments* (the process's own by default) and return the exit code; errors are one line on stderr."""
    _start_quickly()
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments and list(arguments), prog_name="te-apps", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _one_line("interrupted")
        return 130
    except Exception as error:
        return _failure(error)
    finally:
        gc.enable()
    return code or 0


def _start_quickly() -> None:
    """What start-up makes lives until the end, so that collecting it is time lost until `_finish`. numpy's OpenBLAS starts a
    thread on every core and lets it spin, for algebra that nobody does here; the user's own setting wins."""
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _failure(error: Exception) -> int:
    """Tell the user's mistakes and failed runs in one line; anything else is a mistake of ours and keeps its traceback."""
    from dpdk_io.errors import TeError

    if isinstance(error, TeError):
        _one_line(error)
        return error.exit_code
    if hasattr(error, "format_message"):
        _one_line(error.format_message())
        return 2
    raise error


if __name__ == "__main__":
    sys.exit(main())
