"""The HAProxy configuration of a wanted state, with the files that it names.

Its paths are relative to the balancer's directory, which is HAProxy's working directory. So no path needs quoting, and
none is too long for a socket.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.balancer.data_plane import PlaneConfig, WantedGroup
from pipeline.balancer.effective import has_both_families
from pipeline.balancer.haproxy.actions import THRESHOLDS
from pipeline.balancer.haproxy.backend import backends
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.error_responses import page_lines, pages
from pipeline.balancer.haproxy.frontend import Frontend
from pipeline.balancer.haproxy.naming import LOG_DESCRIPTOR, STATE_SOCKET, WORKER_SOCKET, backend_name
from pipeline.balancer.haproxy.server_args import server_definitions
from pipeline.balancer.haproxy.worker_user import global_lines, socket_args

STATE_FILE = "servers.state"
# Seconds, used while there is no listener.
_DEFAULT_IDLE_TIMEOUT = 60

# One thread saturates a core at about 85,000 small requests a second. A second thread makes each request about a tenth
# more expensive. More than four help only on machines larger than this project is made for.
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))

# HAProxy's own limit of header lines is 101, also in responses of targets. ELB limits only their size.
_MAX_HEADERS = 400


# Only of backends that check their servers. Requests are logged by frontends, at a lower level.
_STATE_LINES = f"  log uxdg@{STATE_SOCKET} len 1024 format raw local1 notice"


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


_HEAD = f"""\
global
  description {{fingerprint}}
  log fd@{LOG_DESCRIPTOR} len 8192 format raw local0
  stats socket unix@{WORKER_SOCKET} mode 600 level admin expose-fd listeners
  server-state-file {STATE_FILE}
  nbthread {_THREADS}
{{user}}  maxconn 20000
  tune.http.maxhdr {_MAX_HEADERS}
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
  bind unix@peers.sock {{socket}}
  server worker
"""


@dataclass(frozen=True)
class RenderedConfig:
    """The input of HAProxy. The contents of `maps` and `pem` may change while it runs. It makes the `sockets`.

    `fingerprint` identifies everything except these and the targets. A running HAProxy reports it, so drift is
    detected.
    """

    configuration: str
    fingerprint: str
    files: Mapping[str, str]
    maps: Mapping[str, Mapping[str, str]]
    pem: tuple[PemFile, ...]
    sockets: tuple[str, ...] = ()

    def texts(self) -> dict[str, str]:
        """Return the files without those in `pem`: name → content."""
        return {**self.files, **{name: self.as_file(entries) for name, entries in self.maps.items()}}

    @staticmethod
    def as_file(entries: Mapping[str, str]) -> str:
        """Return a map in HAProxy's format."""
        return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def render(config: PlaneConfig, *, ipv6: bool = True) -> RenderedConfig:
    """Return the whole configuration, with the admitted targets. `ipv6`: this machine has IPv6."""
    idle = sorted({effective.balancer.attributes.idle_timeout for effective in config.listeners}) or [
        _DEFAULT_IDLE_TIMEOUT
    ]
    frontends = [
        Frontend(
            effective,
            config,
            idle_varies=len(idle) > 1,
            dual_stack=ipv6 and has_both_families(effective, config.listeners),
        )
        for effective in config.listeners
    ]
    listeners = [line for frontend in frontends for line in frontend.lines()]
    groups = list(_groups(config, idle))
    files = {**pages(), **{name: text for frontend in frontends for name, text in frontend.files().items()}}
    shape = [_head("{fingerprint}"), *listeners, *(line for group in groups for line in group.lines)]
    digest = _digest([*shape, *(part for file in sorted(files.items()) for part in file)])
    lines = [_head(digest), *listeners]
    lines += [line for group in groups for line in (*group.lines, *group.servers, "")]
    return RenderedConfig(
        configuration="\n".join(lines),
        fingerprint=digest,
        files=files,
        maps={
            **thresholds(config),
            **{name: entries for frontend in frontends for name, entries in frontend.weights().items()},
        },
        pem=tuple(dict.fromkeys(file for frontend in frontends for file in frontend.pem_files())),
        sockets=tuple(frontend.relay_socket for frontend in frontends),
    )


def _head(fingerprint: str) -> str:
    user = "".join(f"  {line}\n" for line in global_lines())
    return _HEAD.format(fingerprint=fingerprint, user=user, socket=socket_args())


class _Section(NamedTuple):
    """A backend and its servers."""

    lines: list[str]
    servers: list[str]


def _groups(config: PlaneConfig, idle: Sequence[int]) -> Iterator[_Section]:
    """Yield the backends of every target group."""
    for group in sorted(config.groups.values(), key=lambda group: (group.owner, group.name)):
        servers = defaultdict[str, list[str]](list)
        for target in group.targets:
            if target.admit:
                for definition in server_definitions(group, target):
                    servers[definition.backend].append(f"  server {definition.name} {definition.args}")
        checked = backend_name(group.owner, group.name)
        for backend, lines in backends(group.owner, group.name, group.settings, idle).items():
            yield _Section([*lines, *[_STATE_LINES] * (backend == checked)], servers[backend])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def thresholds(config: PlaneConfig) -> dict[str, dict[str, str]]:
    """Return the map of the number of healthy targets that a backend needs, for those that need more than one."""
    needs = {id_: str(needed) for id_, group in config.groups.items() if (needed := threshold(group)) is not None}
    return {THRESHOLDS: needs}


def threshold(group: WantedGroup) -> int | None:
    """Return the number of healthy targets that a group needs, or None if it is one."""
    attributes = group.settings.attributes
    return None if attributes.needs_one_healthy else attributes.min_healthy_targets(group.registered)
