"""Traefik and Caddy as compared proxies, with the settings that their documentation recommends for production.

They check the servers' health every second and keep connections to them, as Penstock does. They set the headers and
write the log that Penstock does, as far as they can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.programs import await_answer, program, running
from bench.proxy import Proxy
from pipeline.base.sockets import free_port

_EVERYTHING = "{all: {rule: 'PathPrefix(`/`)', service: web}}"
# Traefik sets all X-Forwarded headers by default. The buffer keeps the log out of the request.
_TRAEFIK = """\
entryPoints: {{web: {{address: "127.0.0.1:{port}"{tls}}}}}
accessLog: {{filePath: "{folder}/access.log", bufferingSize: 100}}
log: {{level: ERROR}}
providers: {{file: {{filename: "{folder}/routes.yaml"}}}}
"""
_ROUTES = """\
http:
  routers: {routers}
  services:
    web: {{loadBalancer: {{servers: [{urls}], healthCheck: {{path: /, interval: 1s}}{sticky}}}}}
"""
_CERTIFICATES = "tls: {{certificates: [{{certFile: {file}, keyFile: {file}}}]}}\n"


@contextmanager
def traefik(
    folder: Path,
    servers: Sequence[int],
    certificate: Path | None = None,
    routers: str = _EVERYTHING,
    sticky: str = "",
) -> Iterator[Proxy]:
    """Run Traefik, over TLS if given a file with a certificate and its key. `routers` is inline YAML."""
    executable, port = program("traefik"), free_port()
    folder.mkdir()
    tls = ", http: {tls: {}}" if certificate else ""
    (folder / "traefik.yaml").write_text(_TRAEFIK.format(port=port, folder=folder, tls=tls))
    urls = ", ".join(f'{{url: "http://127.0.0.1:{server}"}}' for server in servers)
    routes = _ROUTES.format(routers=routers, urls=urls, sticky=sticky)
    (folder / "routes.yaml").write_text(routes + (_CERTIFICATES.format(file=certificate) if certificate else ""))
    scheme = "https" if certificate else "http"
    with running(folder, executable, f"--configFile={folder}/traefik.yaml") as pid:
        await_answer(port, "Traefik", scheme)
        yield Proxy("Traefik", port, pid, scheme, "trace id, desync checks")


_CADDY = """\
{{
  admin off
  auto_https off
}}
{scheme}://127.0.0.1:{port} {{
  {tls}
  log {{
    output file {folder}/access.log
  }}
  reverse_proxy {servers} {{
    header_up X-Forwarded-Port {port}
    header_up X-Amzn-Trace-Id Root=1-{{http.request.uuid}}
    health_uri /
    health_interval 1s
  }}
}}
"""


@contextmanager
def caddy(folder: Path, servers: Sequence[int], certificate: Path | None = None) -> Iterator[Proxy]:
    """Run Caddy as a reverse proxy, over TLS if given a file with a certificate and its key."""
    executable, port, scheme = program("caddy"), free_port(), "https" if certificate else "http"
    folder.mkdir()
    tls = f"tls {certificate} {certificate}" if certificate else ""
    upstreams = " ".join(f"127.0.0.1:{server}" for server in servers)
    text = _CADDY.format(scheme=scheme, port=port, tls=tls, folder=folder, servers=upstreams)
    (folder / "Caddyfile").write_text(text)
    with running(folder, executable, "run", "--config", str(folder / "Caddyfile")) as pid:
        await_answer(port, "Caddy", scheme)
        yield Proxy("Caddy", port, pid, scheme, "desync checks")
