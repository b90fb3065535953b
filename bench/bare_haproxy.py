"""HAProxy with the least configuration, as a compared proxy: the floor of a balancer that is built on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.programs import await_answer, running
from bench.proxy import Proxy
from pipeline.balancer.haproxy.process import binary
from pipeline.base.sockets import free_port

_CONFIGURATION = """\
global
  log stdout format raw local0
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend edge
  bind 127.0.0.1:{port}
  log global
  option httplog
  option forwardfor
  default_backend web
backend web
  balance roundrobin
  http-reuse always
{servers}
"""


@contextmanager
def bare_haproxy(folder: Path, servers: Sequence[int], _certificate: Path | None = None) -> Iterator[Proxy]:
    """Run a HAProxy that does what nginx is set up to do here: forward, add X-Forwarded-For and write a log."""
    folder.mkdir()
    port = free_port()
    lines = "\n".join(f"  server server{n} 127.0.0.1:{server} check inter 1s" for n, server in enumerate(servers))
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_CONFIGURATION.format(port=port, servers=lines))
    with running(folder, binary(), "-db", "-f", str(configuration)) as pid:
        await_answer(port, "HAProxy")
        lacks = "everything but forwarding, X-Forwarded-For, a log and active health checks"
        yield Proxy("HAProxy alone", port, pid, lacks=lacks)
