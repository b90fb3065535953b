"""What a proxied request costs in processor time and memory: our HAProxy as it really runs, against others.

Each proxy forwards to the same three servers over kept connections, with its access log on; ours checks its
targets besides. They take turns, round by round, so that what the machine does meanwhile hits all alike.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.results import Results
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target, TargetState
from tests.docker.project import free_port, until

ROUNDS = 7
SECONDS = 4
CONNECTIONS = 32
SERVERS = 3
MOST_OF_NGINX, MOST_OF_OTHERS, MOST_MEMORY = 1.4, 0.4, 25.0


@dataclass
class Proxy:
    """A running proxy: its port, its process, and what was measured."""

    name: str
    port: int
    pid: int
    costs: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def processes(self) -> list[int]:
        """The process and all that it has started."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Processor seconds so far."""
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MB, shared pages counted once."""
        kilobytes = 0
        for pid in self.processes():
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
        return kilobytes / 1000


def measure() -> Results:
    """CPU per request of each, as a multiple of ours."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        servers = [stack.enter_context(_server(directory, n)) for n in range(SERVERS)]
        starters: dict[str, Callable[[Path, list[int]], Iterator[Proxy]]] = {
            "Penstock": _ours,
            "nginx": _nginx,
            "Traefik": _traefik,
            "Caddy": _caddy,
        }
        proxies = []
        for name, starter in starters.items():
            folder = directory / name
            folder.mkdir()
            proxies.append(stack.enter_context(contextmanager(starter)(folder, servers)))
        for proxy in proxies:
            _load(proxy, 1)
        for number in range(ROUNDS):
            for proxy in proxies[number % len(proxies) :] + proxies[: number % len(proxies)]:
                _measure(proxy)
                print(f"round {number + 1}/{ROUNDS}: {proxy.name}: {proxy.costs[-1]:.1f} µs", file=sys.stderr)
        return _results(proxies)


def _measure(proxy: Proxy) -> None:
    before = proxy.cpu()
    requests = _load(proxy, SECONDS)
    proxy.costs.append((proxy.cpu() - before) / requests * 1e6)
    proxy.rates.append(requests / SECONDS)


def _load(proxy: Proxy, seconds: int) -> int:
    """How many requests were answered; none may fail."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{proxy.port}/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out, f"{proxy.name}: {out}"
    assert "Socket errors" not in out, f"{proxy.name}: {out}"
    found = re.search(r"(\d+) requests in", out)
    assert found is not None, out
    return int(found[1])


def _results(proxies: list[Proxy]) -> Results:
    cost = {proxy.name: statistics.median(proxy.costs) for proxy in proxies}
    ours = proxies[0]
    rows = tuple(
        (
            proxy.name,
            f"{cost[proxy.name]:.1f} µs",
            f"{cost[ours.name] / cost[proxy.name]:.2f}",
            f"{proxy.memory():.1f} MB",
            f"{statistics.median(proxy.rates):.0f}/s",
        )
        for proxy in proxies
    )
    to_nginx = cost[ours.name] / cost["nginx"]
    to_others = max(cost[ours.name] / cost[name] for name in ("Traefik", "Caddy"))
    memory = ours.memory()
    met = to_nginx <= MOST_OF_NGINX and to_others <= MOST_OF_OTHERS and memory <= MOST_MEMORY
    return Results(
        "What a proxied request costs",
        f"Median of {ROUNDS} rounds of {SECONDS} s, taking turns, {CONNECTIONS} kept connections (wrk), a 200 with a "
        f"small body from one of {SERVERS} servers (nginx), over loopback. The access log is on in each; Penstock's "
        "configuration is the one that the balancer writes, with health checks every second.",
        ("proxy", "CPU per request", "Penstock's share of it", "memory", "answered at most"),
        rows,
        f"{to_nginx:.2f} times nginx (at most {MOST_OF_NGINX}), {to_others:.2f} times the cheaper of Traefik and "
        f"Caddy (at most {MOST_OF_OTHERS}), {memory:.0f} MB (at most {MOST_MEMORY:.0f})",
        met,
    )


@contextmanager
def _running(folder: Path, *command: str, **environment: str) -> Iterator[int]:
    """A program in the foreground, for as long as this lasts; its process id."""
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder), **environment}
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _await(port: int, what: str) -> None:
    command = ["wrk", "-t1", "-c1", "-d1s", f"http://127.0.0.1:{port}/"]

    def answers() -> bool:
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return re.search(r" [1-9]\d* requests in", out) is not None and "Non-2xx" not in out

    until(answers, f"{what} answers")


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
def _server(directory: Path, number: int) -> Iterator[int]:
    folder, port = directory / f"server{number}", free_port()
    folder.mkdir()
    body = f'access_log off; server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello, world"; }} }}'
    (folder / "nginx.conf").write_text(_NGINX.format(workers=1, folder=folder, body=body))
    with _running(folder, _NGINX_BINARY, "-c", str(folder / "nginx.conf")):
        _await(port, "a server")
        yield port


def _ours(folder: Path, servers: list[int]) -> Iterator[Proxy]:
    balancer, port = Balancer(folder / "balancer"), free_port()
    declaration = {
        "target_groups": {"web": {"port": 80, "health_check": {"path": "/", "interval": "1s"}}},
        "load_balancers": {
            "edge": {"scheme": "internal", "listeners": [{"port": port, "default_action": {"forward": "web"}}]}
        },
    }
    balancer.apply("bench", Declaration.model_validate(declaration))
    for number, server in enumerate(servers):
        balancer.register("bench", "web", Target(id=f"server{number}", address="127.0.0.1", port=server))
    until(lambda: {h.state for h in balancer.target_health("bench", "web")} == {TargetState.HEALTHY}, "healthy")
    try:
        yield Proxy("Penstock", port, int((folder / "balancer" / "haproxy.pid").read_text()))
    finally:
        balancer.withdraw("bench")


def _nginx(folder: Path, servers: list[int]) -> Iterator[Proxy]:
    port = free_port()
    upstream = " ".join(f"server 127.0.0.1:{server};" for server in servers)
    body = (
        f"access_log {folder}/access.log combined;\n"
        f"  upstream web {{ {upstream} keepalive 64; keepalive_requests 1000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://web; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; proxy_set_header Host $host; '
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }"
    )
    (folder / "nginx.conf").write_text(_NGINX.format(workers="auto", folder=folder, body=body))
    with _running(folder, _NGINX_BINARY, "-c", str(folder / "nginx.conf")) as pid:
        _await(port, "nginx")
        yield Proxy("nginx", port, pid)


_TRAEFIK = """\
entryPoints: {{web: {{address: "127.0.0.1:{port}"}}}}
accessLog: {{filePath: "{folder}/access.log"}}
log: {{level: ERROR}}
providers: {{file: {{filename: "{folder}/routes.yaml"}}}}
"""


def _traefik(folder: Path, servers: list[int]) -> Iterator[Proxy]:
    port = free_port()
    (folder / "traefik.yaml").write_text(_TRAEFIK.format(port=port, folder=folder))
    urls = ", ".join(f'{{url: "http://127.0.0.1:{server}"}}' for server in servers)
    (folder / "routes.yaml").write_text(
        "http:\n  routers: {all: {rule: 'PathPrefix(`/`)', service: web}}\n"
        f"  services: {{web: {{loadBalancer: {{servers: [{urls}]}}}}}}\n"
    )
    with _running(folder, _wheel("traefik"), f"--configFile={folder}/traefik.yaml") as pid:
        _await(port, "Traefik")
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


def _caddy(folder: Path, servers: list[int]) -> Iterator[Proxy]:
    port = free_port()
    upstreams = " ".join(f"127.0.0.1:{server}" for server in servers)
    (folder / "Caddyfile").write_text(_CADDY.format(port=port, folder=folder, servers=upstreams))
    with _running(folder, _wheel("caddy"), "run", "--config", str(folder / "Caddyfile")) as pid:
        _await(port, "Caddy")
        yield Proxy("Caddy", port, pid)


def _wheel(name: str) -> str:
    """A program that a wheel has put beside Python."""
    return str(Path(sys.executable).with_name(name))
