"""What the documents say can be done: commands, options, targets and links exist, and what is cheap is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from apps.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
BIN = Path(sys.executable).parent


def blocks(document: Path, language: str) -> list[str]:
    return [content for kind, content in FENCE.findall(document.read_text()) if kind == language]


def commands() -> Iterator[str]:
    """Each `te-apps ...` of the documents that stands in code, up to what the shell does next; continued lines joined."""
    for document in DOCUMENTS:
        text = document.read_text().replace("\\\n", " ")
        code = [*(content for _, content in FENCE.findall(text)), *re.findall(r"^ {4}.*$", text, re.M)]
        yield from re.findall(r"`te-apps ([a-z][^`]*)`", FENCE.sub("", text))
        for block in code:
            yield from re.findall(r"\bte-apps ([a-z][^|&;\n]*)", block)


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", document.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_commands_and_options_exist() -> None:
    group: Any = typer.main.get_command(app)
    seen = set()
    for command in commands():
        name, *words = shlex.split(command)
        assert name in group.commands, command
        options = {option for parameter in group.commands[name].params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, command
        seen.add(name)
    assert seen >= {"trafficengine", "macswap", "run", "show", "operators", "doctor"}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for document in DOCUMENTS for name in re.findall(r"(?:`| {4})make (\w+)", document.read_text())}
    assert {"run", "test", "bench"} <= named <= targets


def test_the_pipeline_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    from scapy.all import IP, TCP, Ether, rdpcap, wrpcap

    [source] = blocks(ROOT / "README.md", "python")
    (tmp_path / "guard.py").write_text(source)
    wrpcap(str(tmp_path / "in.pcap"), [Ether() / IP() / TCP(sport=1000 + k, flags="S") for k in range(150)])
    command = [BIN / "te-apps", "run", "guard.py:guard", "--device", "pcap:in.pcap,out.pcap"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("guard on pcap:in.pcap,out.pcap, core 0: done after ")
    assert done.stdout.splitlines()[1] == "150 packets received, 100 sent"
    assert len(rdpcap(str(tmp_path / "out.pcap"))) == 100


def _shell(script: str) -> subprocess.CompletedProcess[str]:
    script = f"set -eu\nPATH={BIN}:$PATH\ncd {ROOT}\n{script}"
    return subprocess.run(
        ["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_predecessors_configuration_and_the_json_example_run() -> None:
    scripts = [block for block in blocks(ROOT / "README.md", "sh") if "examples/" in block or "jq" in block]
    assert len(scripts) == 2
    for script in scripts:
        script = re.sub(r"\| jq .*", "", script).replace("--json", "--connections 1000 --json")
        done = _shell(script)
        assert done.returncode == 0, done.stderr
    assert '"completed": 1000' in done.stdout


@pytest.mark.root
def test_nginx_and_curl_as_the_readme_has_them(tmp_path: Path) -> None:
    """But for the names of namespaces and files, which others may be using, and the server's ten seconds."""
    client, server = (block for block in blocks(ROOT / "README.md", "sh") if "ip netns" in block)
    script = client + server.replace("--duration 10", "--duration 4")
    for name in ("te-client", "te-server", "/tmp/te-nginx"):
        assert name in script
    ours = [f"te{os.getpid()}-client", f"te{os.getpid()}-server"]
    for name, own in (("te-client", ours[0]), ("te-server", ours[1]), ("/tmp/te-nginx", f"{tmp_path}/te-nginx")):
        script = script.replace(name, own)
    undo = "ip netns pids $name | xargs -r kill; ip netns delete $name"
    done = _shell(f"trap 'set +e; for name in {' '.join(ours)}; do {undo}; done 2>/dev/null' EXIT\n{script}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not set(ours) & set(subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split())
    assert "5,000 of 5,000 connections completed, 0 failed" in done.stdout
    assert "HTTP/1.1 200 OK" in done.stdout
    assert "1 of 1 connections completed, 0 failed" in done.stdout
