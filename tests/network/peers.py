"""Programs of other people that we talk to: nginx, wrk, curl, and the kernel's sockets."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.network.lab import Namespace, Process, wait_until

SCRIPTS = Path(__file__).parent

_NGINX = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log warn;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off; default_type text/plain; keepalive_timeout 30;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    server {{ listen 80 backlog=8192; listen [::]:80 backlog=8192; root {home}/www; }}
}}
"""


def nginx(namespace: Namespace, home: Path, body: bytes = b"hello from nginx\n") -> Process:
    """nginx on port 80 in one process, serving *body* at /."""
    www = home / "www"
    www.mkdir(parents=True)
    (www / "index.html").write_bytes(body)
    configuration = home / "nginx.conf"
    configuration.write_text(_NGINX.format(home=home))
    process = namespace.start("nginx", "-e", str(home / "error.log"), "-c", str(configuration))
    wait_for_listener(namespace, 80)
    return process


def wait_for_listener(namespace: Namespace, port: int) -> None:
    wait_until(lambda: namespace.run("ss", "-Hltn", f"sport = :{port}").stdout, what=f"a listener on port {port}")


def connect_many(namespace: Namespace, target: str, port: int, count: int, payload: bytes = b"") -> dict[str, int]:
    """*count* plain socket connects, eight at a time: send *payload*, half-close, read to the end. What came of them, by name."""
    script = str(SCRIPTS / "connects.py")
    done = namespace.run(sys.executable, script, target, str(port), str(count), payload.hex(), seconds=120)
    return json.loads(done.stdout)


def curl(namespace: Namespace, url: str, *options: str) -> str:
    return namespace.run("curl", "-sS", "--max-time", "10", *options, url).stdout


def wrk(namespace: Namespace, url: str, seconds: int, *options: str) -> dict[str, int]:
    """Requests done by wrk in *seconds*, and the errors it counts."""
    text = namespace.run("wrk", "-t1", "-c32", f"-d{seconds}s", "-H", "Connection: close", *options, url).stdout
    done = re.search(r"(\d+) requests in", text)
    assert done, text
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    result = dict(
        zip(("connect", "read", "write", "timeout"), map(int, errors.groups() if errors else (0, 0, 0, 0)), strict=True)
    )
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {"requests": int(done[1]), "status": int(statuses[1]) if statuses else 0, **result}
