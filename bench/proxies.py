"""The compared proxies. Each forwards to the same servers, under a load by wrk."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.planes import open_balancer
from pipeline.base.sockets import free_port
from tests.support.waiting import until

CONNECTIONS = 32
Declared = Mapping[str, Any] | None


@dataclass
class Proxy:
    """A running proxy with its measurements. `script` generates wrk's requests if they differ."""

    name: str
    port: int
    pid: int
    scheme: str = "http"
    script: Path | None = None
    costs: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def processes(self) -> list[int]:
        """Return the process and all its descendants."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Return the CPU time so far, in seconds."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the memory in MB, with shared pages counted once."""
        kilobytes = 0
        for pid in self.processes():
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
        return kilobytes / 1000

    def load(self, seconds: int, *headers: str) -> int:
        """Send requests for `seconds` and return the number of responses. None may fail."""
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"{self.scheme}://127.0.0.1:{self.port}/"]
        command += ["-s", str(self.script)] if self.script else []
        command += [word for header in headers for word in ("-H", header)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in out, f"{self.name}: {out}"
        assert "Socket errors" not in out, f"{self.name}: {out}"
        found = re.search(r"(\d+) requests in", out)
        assert found is not None, out
        return int(found[1])

    def measure(self, seconds: int, *headers: str) -> None:
        """Record the CPU time per request in µs, and the responses per second."""
        before = self.cpu()
        requests = self.load(seconds, *headers)
        self.costs.append((self.cpu() - before) / requests * 1e6)
        self.rates.append(requests / seconds)

    @property
    def cost(self) -> float:
        """The median CPU time per request, in µs."""
        return statistics.median(self.costs)

    @property
    def rate(self) -> float:
        """The median of the responses per second."""
        return statistics.median(self.rates)


def take_turns(proxies: list[Proxy], rounds: int, seconds: int, *headers: str) -> None:
    """Measure all proxies, round by round, so that other work on the machine affects all of them."""
    for proxy in proxies:
        proxy.load(1, *headers)
    for number in range(rounds):
        for proxy in proxies[number % len(proxies) :] + proxies[: number % len(proxies)]:
            proxy.measure(seconds, *headers)
            print(f"round {number + 1}/{rounds}: {proxy.name}: {proxy.costs[-1]:.1f} µs", file=sys.stderr)


@contextmanager
def running(folder: Path, *command: str, **environment: str) -> Iterator[int]:
    """Run a program until the block ends, and yield its process id."""
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder), **environment}
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def await_answer(port: int, what: str, scheme: str = "http") -> None:
    """Wait until a program responds."""
    command = ["wrk", "-t1", "-c1", "-d1s", f"{scheme}://127.0.0.1:{port}/"]

    def answers() -> bool:
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return re.search(r" [1-9]\d* requests in", out) is not None and "Non-2xx" not in out

    until(answers, f"a response of {what}", deadline=60)


# Unpacked by setup/bench.sh.
_NGINX_BINARY = str(Path(".setup/nginx/usr/sbin/nginx").absolute())
_NGINX = """\
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  {body}
}}
"""


@contextmanager
def server(directory: Path, number: int) -> Iterator[int]:
    """Run a server behind the proxies, an nginx with a small response, and yield its port."""
    folder, port = directory / f"server{number}", free_port()
    folder.mkdir()
    body = f'access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello, world"; }} }}'
    (folder / "nginx.conf").write_text(_NGINX.format(workers=1, folder=folder, body=body))
    with running(folder, _NGINX_BINARY, "-c", str(folder / "nginx.conf")):
        await_answer(port, "a server")
        yield port


@contextmanager
def penstock(
    folder: Path, servers: list[int], name: str = "Penstock", group: Declared = None, **listener: Any
) -> Iterator[Proxy]:
    """Run Penstock's balancer. `listener` holds further keys of the listener."""
    folder.mkdir()
    balancer, port = open_balancer(folder / "balancer"), free_port()
    web = {"port": 80, "health_check": {"path": "/", "interval": "1s"}, **(group or {})}
    entry = {"port": port, "default_action": {"forward": "web"}, **listener}
    edge = {"scheme": "internal", "listeners": [entry]}
    declaration = {"target_groups": {"web": web}, "load_balancers": {"edge": edge}}
    balancer.apply("bench", Declaration.model_validate(declaration))
    targets = [Target(id=f"server{n}", address="127.0.0.1", port=server) for n, server in enumerate(servers)]
    balancer.register("bench", "web", *targets)
    balancer.wait_healthy("bench", "web", timedelta(seconds=30))
    scheme = "https" if listener.get("protocol") == "HTTPS" else "http"
    try:
        yield Proxy(name, port, int((folder / "balancer" / "haproxy.pid").read_text()), scheme)
    finally:
        balancer.withdraw("bench")


@contextmanager
def nginx(folder: Path, servers: list[int], certificate: Path | None = None) -> Iterator[Proxy]:
    """Run nginx as a plain reverse proxy, over TLS if given a file with a certificate and its key."""
    folder.mkdir()
    port, scheme = free_port(), "https" if certificate else "http"
    upstream = " ".join(f"server 127.0.0.1:{server};" for server in servers)
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};" if certificate else ""
    body = (
        f"access_log {folder}/access.log combined;\n"
        f"  upstream web {{ {upstream} keepalive 64; keepalive_requests 1000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port}{' ssl' if certificate else ''}; {tls} location / {{ "
        'proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; '
        "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }"
    )
    (folder / "nginx.conf").write_text(_NGINX.format(workers="auto", folder=folder, body=body))
    with running(folder, _NGINX_BINARY, "-c", str(folder / "nginx.conf")) as pid:
        await_answer(port, "nginx", scheme)
        yield Proxy("nginx", port, pid, scheme)


_EVERYTHING = "{all: {rule: 'PathPrefix(`/`)', service: web}}"
_TRAEFIK = """\
entryPoints: {{web: {{address: "127.0.0.1:{port}"}}}}
accessLog: {{filePath: "{folder}/access.log"}}
log: {{level: ERROR}}
providers: {{file: {{filename: "{folder}/routes.yaml"}}}}
"""


@contextmanager
def traefik(folder: Path, servers: list[int], routers: str = _EVERYTHING, sticky: str = "") -> Iterator[Proxy]:
    """Run Traefik. `routers` is inline YAML."""
    folder.mkdir()
    port = free_port()
    (folder / "traefik.yaml").write_text(_TRAEFIK.format(port=port, folder=folder))
    urls = ", ".join(f'{{url: "http://127.0.0.1:{server}"}}' for server in servers)
    (folder / "routes.yaml").write_text(
        f"http:\n  routers: {routers}\n  services: {{web: {{loadBalancer: {{servers: [{urls}]{sticky}}}}}}}\n"
    )
    with running(folder, _wheel("traefik"), f"--configFile={folder}/traefik.yaml") as pid:
        await_answer(port, "Traefik")
        yield Proxy("Traefik", port, pid)


_CADDY = """\
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  log {{
    output file {folder}/access.log
  }}
  reverse_proxy {servers}
}}
"""


@contextmanager
def caddy(folder: Path, servers: list[int]) -> Iterator[Proxy]:
    """Run Caddy as a reverse proxy."""
    folder.mkdir()
    port = free_port()
    upstreams = " ".join(f"127.0.0.1:{server}" for server in servers)
    (folder / "Caddyfile").write_text(_CADDY.format(port=port, folder=folder, servers=upstreams))
    with running(folder, _wheel("caddy"), "run", "--config", str(folder / "Caddyfile")) as pid:
        await_answer(port, "Caddy")
        yield Proxy("Caddy", port, pid)


def _wheel(name: str) -> str:
    """Return the path of a program that a wheel installed beside Python."""
    return str(Path(sys.executable).with_name(name))
