"""The registry as an HAProxy configuration and the files that it names.

Paths in it are relative to the balancer's directory, which is HAProxy's working directory: so no path needs
quoting, and none can be too long for a socket.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.balancer.haproxy.actions import THRESHOLDS
from pipeline.balancer.haproxy.backend import backend_lines, fail_open_backend_lines
from pipeline.balancer.haproxy.error_responses import page_lines, pages
from pipeline.balancer.haproxy.frontend import Frontend
from pipeline.balancer.haproxy.server_args import server_definitions
from pipeline.balancer.haproxy.tls import PemFile
from pipeline.balancer.haproxy.words import LOG_DESCRIPTOR, WORKER_SOCKET, backend_name, fail_open_backend_name
from pipeline.balancer.registry import Owned, Phase, Registry

STATE_FILE = "servers.state"
# Where nobody listens yet, what targets are behind does not matter.
_IDLE = 60

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
  option dontlognull
  option abortonclose
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
  default-server pool-purge-delay 1s
{_indented(page_lines())}

# A worker hands what clients are stuck to over to its successor.
peers workers
  bind unix@peers.sock mode 600
  server worker
"""


@dataclass(frozen=True)
class RenderedConfig:
    """What HAProxy is started with. The contents of `maps` and `pem` may change while it runs.

    `fingerprint` identifies all but these and the targets: a running HAProxy shows it, so drift can be seen.
    """

    configuration: str
    fingerprint: str
    files: Mapping[str, str]
    maps: Mapping[str, Mapping[str, str]]
    pem: tuple[PemFile, ...]

    def texts(self) -> dict[str, str]:
        """The files without those in `pem`: name → content."""
        return {**self.files, **{name: self.as_file(entries) for name, entries in self.maps.items()}}

    @staticmethod
    def as_file(entries: Mapping[str, str]) -> str:
        """A map as HAProxy reads it."""
        return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def render(registry: Registry) -> RenderedConfig:
    """The whole configuration, with the targets that are in service."""
    shared_listeners = registry.listeners()
    idle = sorted({shared.balancer.attributes.idle_timeout for shared in shared_listeners}) or [_IDLE]
    frontends = [Frontend(shared, registry, idle_varies=len(idle) > 1) for shared in shared_listeners]
    listeners = [line for frontend in frontends for line in frontend.lines()]
    groups = list(_groups(registry, idle))
    files = {**pages(), **{name: text for frontend in frontends for name, text in frontend.files().items()}}
    shape = [_HEAD, *listeners, *(line for group in groups for line in group.lines)]
    digest = _digest([*shape, *(part for file in sorted(files.items()) for part in file)])
    lines = [_HEAD.format(fingerprint=digest), *listeners]
    lines += [line for group in groups for line in (*group.lines, *group.servers, "")]
    return RenderedConfig(
        configuration="\n".join(lines),
        fingerprint=digest,
        files=files,
        maps={
            **thresholds(registry),
            **{name: entries for frontend in frontends for name, entries in frontend.weights().items()},
        },
        pem=tuple(dict.fromkeys(file for frontend in frontends for file in frontend.pem_files())),
    )


class _Section(NamedTuple):
    """A backend, and the servers in it."""

    lines: list[str]
    servers: list[str]


def _groups(registry: Registry, idle: Sequence[int]) -> Iterator[_Section]:
    """The backends of every target group."""
    for owner, owned in sorted(registry.owners.items()):
        for name, group in sorted(owned.declaration.target_groups.items()):
            servers: dict[str, list[str]] = {backend_name(owner, name): [], fail_open_backend_name(owner, name): []}
            for registration in owned.targets.get(name, ()):
                if registration.phase is Phase.IN_SERVICE:
                    for place in server_definitions(owner, name, group, registration):
                        servers[place.backend].append(f"  server {place.name} {place.args}")
            checked, unchecked = servers.values()
            yield _Section(list(backend_lines(owner, name, group, idle)), checked)
            if not group.attributes.needs_one_healthy:
                yield _Section(list(fail_open_backend_lines(owner, name, group, idle)), unchecked)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def thresholds(registry: Registry) -> dict[str, dict[str, str]]:
    """The map that says how many healthy targets a backend needs, for those that need more than one."""
    needs = {
        backend_name(owner, name): str(group.attributes.min_healthy_targets(_registered(owned, name)))
        for owner, owned in registry.owners.items()
        for name, group in owned.declaration.target_groups.items()
        if not group.attributes.needs_one_healthy
    }
    return {THRESHOLDS: needs}


def _registered(owned: Owned, group: str) -> int:
    return sum(registration.phase is not Phase.DRAINING for registration in owned.targets.get(group, ()))
