"""The registry as an HAProxy configuration and the files that it names.

Paths in it are relative to the balancer's directory, which is HAProxy's working directory: so no path needs
quoting, and none can be too long for a socket.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.haproxy.actions import THRESHOLDS, UNROUTED
from pipeline.balancer.haproxy.answers import page_lines, pages
from pipeline.balancer.haproxy.backend import backend_lines, open_backend_lines
from pipeline.balancer.haproxy.frontend import Frontend
from pipeline.balancer.haproxy.server import Place, places
from pipeline.balancer.haproxy.tls import PemFile
from pipeline.balancer.haproxy.words import LOG_DESCRIPTOR, WORKER_SOCKET, backend_name
from pipeline.balancer.model import Declaration
from pipeline.balancer.registry import Owned, Phase, Registry

STATE_FILE = "servers.state"

# One thread saturates a core at about 85,000 small requests a second, and a second thread makes each request
# dearer by about a tenth; more than four only helps machines that this project is not made for.
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


_HEAD = f"""\
global
  description {{fingerprint}}
  log fd@{LOG_DESCRIPTOR} len 8192 format raw local0
  stats socket unix@{WORKER_SOCKET} mode 600 level admin expose-fd listeners
  server-state-file {STATE_FILE}
  nbthread {_THREADS}
  maxconn 20000
  no strict-limits
  noreuseport
  hard-stop-after 24h
  localpeer worker

defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout queue 10s
  load-server-state-from-file global
  option idle-close-on-response
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
  default-server pool-purge-delay 1s
{_indented(page_lines())}

# A worker hands what clients are stuck to over to its successor.
peers workers
  bind unix@peers.sock mode 600
  server worker

backend {UNROUTED}
  http-request return status 503 content-type text/plain string "No rule takes this request.\\n"
"""


@dataclass(frozen=True)
class Rendered:
    """What HAProxy is started with. The maps in `live` and the files in `pem` may change while it runs."""

    configuration: str
    files: Mapping[str, str]
    live: Mapping[str, Mapping[str, str]]
    pem: tuple[PemFile, ...]

    def live_files(self) -> dict[str, str]:
        """The maps as files: name → content."""
        return {
            name: "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))
            for name, entries in self.live.items()
        }


def fingerprint(registry: Registry) -> str:
    """Identifies what is declared, targets and weights aside: a running HAProxy shows it, so drift can be seen."""
    rendered = _render(registry.without_targets(), "")
    parts = [rendered.configuration, *(part for file in sorted(rendered.files.items()) for part in file)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def render(registry: Registry) -> Rendered:
    """The whole configuration, with the targets that are in service."""
    return _render(registry, fingerprint(registry))


def _render(registry: Registry, description: str) -> Rendered:
    frontends = [Frontend(shared, registry) for shared in registry.listeners()]
    lines = [_HEAD.format(fingerprint=description)]
    for frontend in frontends:
        lines.extend(frontend.lines())
    for owner, owned in sorted(registry.owners.items()):
        lines.extend(_groups(owner, owned))
    return Rendered(
        configuration="\n".join(lines),
        files={**pages(), **{name: text for frontend in frontends for name, text in frontend.files().items()}},
        live={
            THRESHOLDS: _thresholds(registry),
            **{name: entries for frontend in frontends for name, entries in frontend.weights().items()},
        },
        pem=tuple(dict.fromkeys(file for frontend in frontends for file in frontend.pem_files())),
    )


def _groups(owner: str, owned: Owned) -> Iterator[str]:
    for name, group in sorted(owned.declaration.target_groups.items()):
        yield from backend_lines(owner, name, group, _idle_timeout(owned.declaration))
        servers = [
            place
            for registration in owned.targets.get(name, ())
            if registration.phase is Phase.IN_SERVICE
            for place in places(owner, name, group, registration)
        ]
        backend = backend_name(owner, name)
        yield from (_server(place) for place in servers if place.backend == backend)
        yield ""
        if not group.attributes.needs_few:
            yield from open_backend_lines(owner, name, group, _idle_timeout(owned.declaration))
            yield from (_server(place) for place in servers if place.backend != backend)
            yield ""


def _server(place: Place) -> str:
    return f"  server {place.name} {place.words}"


def _thresholds(registry: Registry) -> dict[str, str]:
    """Backend → how many healthy targets it needs, for those that need more than one."""
    return {
        backend_name(owner, name): str(group.attributes.least_healthy(_registered(owned, name)))
        for owner, owned in registry.owners.items()
        for name, group in owned.declaration.target_groups.items()
        if not group.attributes.needs_few
    }


def _registered(owned: Owned, group: str) -> int:
    return sum(registration.phase is not Phase.DRAINING for registration in owned.targets.get(group, ()))


def _idle_timeout(declaration: Declaration) -> int:
    return max(balancer.attributes.idle_timeout for balancer in declaration.load_balancers.values())
