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

from pipeline.balancer.challenges import answers_challenges, challenged_domains, challenged_ports, own_ports
from pipeline.balancer.data_plane import PlaneConfig, WantedGroup, group_id
from pipeline.balancer.effective import EffectiveApplicationListener, EffectiveNetworkListener, has_both_families
from pipeline.balancer.haproxy.backend import backends
from pipeline.balancer.haproxy.challenges import challenge_files, challenge_frontend, challenge_lines
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.error_responses import page_lines, pages
from pipeline.balancer.haproxy.frontend import Frontend
from pipeline.balancer.haproxy.gateway_backend import gateway_backend
from pipeline.balancer.haproxy.naming import (
    FLOW_STATE_SOCKET,
    GATEWAY_STATE_SOCKET,
    LOG_DESCRIPTOR,
    PLAIN_MAPS,
    POOLS,
    STATE_SOCKET,
    THRESHOLDS,
    WORKER_SOCKET,
    pool_backend,
)
from pipeline.balancer.haproxy.network_backend import network_backends
from pipeline.balancer.haproxy.network_frontend import NetworkFrontend
from pipeline.balancer.haproxy.server_args import server_definitions
from pipeline.balancer.haproxy.worker_user import global_lines, socket_args
from pipeline.balancer.model import ApplicationTargetGroup, GatewayTargetGroup, NetworkTargetGroup, TargetGroup
from pipeline.balancer.model.network.attributes import NetworkListenerAttributes
from pipeline.balancer.pools import Pool

STATE_FILE = "servers.state"
# Seconds, used while there is no listener.
_DEFAULT_IDLE_TIMEOUT = 60

# One thread saturates a core at about 85,000 small requests a second. A second thread makes each request about a tenth
# more expensive. More than four help only on machines larger than this project is made for.
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))

# HAProxy's own limit of header lines is 101, also in responses of targets. ELB limits only their size.
_MAX_HEADERS = 400


# Only of backends that check their servers. Requests are logged by frontends, at a lower level.
# The sockets of the agents that follow the servers of target groups of these kinds.
_AGENT_SOCKETS = {NetworkTargetGroup: FLOW_STATE_SOCKET, GatewayTargetGroup: GATEWAY_STATE_SOCKET}
_STATE_LINE = "  log uxdg@{} len 1024 format raw local1 notice"


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

# For the sections after it. A connection that a target refuses goes to another one, since nothing was sent.
_NETWORK_DEFAULTS = """\
defaults
  mode tcp
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout queue 10s
  load-server-state-from-file global
  option redispatch 1
  retries 3
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

    def identity(self, files: Mapping[str, str]) -> str:
        """Return a digest of all files that is the same for two configurations if both are valid or neither is.

        A rule for a host or a path usually changes nothing but entries of maps, which HAProxy cannot find fault with.
        """
        fixed = {name: text for name, text in files.items() if not name.endswith(PLAIN_MAPS)}
        parts = (part.replace(self.fingerprint, "") for file in sorted(fixed.items()) for part in file)
        return _digest([*parts, *sorted(files.keys() - fixed.keys())])

    @staticmethod
    def as_file(entries: Mapping[str, str]) -> str:
        """Return a map in HAProxy's format."""
        return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def render(config: PlaneConfig, *, ipv6: bool = True, thumbprint: str = "") -> RenderedConfig:
    """Return the whole configuration, with the admitted targets.

    `ipv6`: this machine has IPv6. `thumbprint`: of the key of the account at ACME authorities.
    """
    idle = sorted({found.balancer.attributes.idle_timeout for found in _application_listeners(config)}) or [
        _DEFAULT_IDLE_TIMEOUT
    ]
    application = _application_frontends(config, idle, ipv6=ipv6, thumbprint=thumbprint)
    network = _network_frontends(config, ipv6=ipv6)
    groups, network_groups = _groups(config, idle), _network_groups(config)
    challenges = [
        _Section([*challenge_frontend(port, thumbprint, dual_stack=ipv6)], []) for port in own_ports(config.listeners)
    ]
    sections = [*map(_frontend, application), *challenges, *groups]
    if network or network_groups:
        sections += [_Section([_NETWORK_DEFAULTS], []), *map(_frontend, network), *network_groups]
    frontends: list[Frontend | NetworkFrontend] = [*application, *network]
    files = {
        **pages(),
        **_pools(config),
        **challenge_files(challenged_domains(config.listeners)),
        **{name: text for frontend in frontends for name, text in frontend.files().items()},
    }
    shape = [_head("{fingerprint}"), *(line for section in sections for line in section.lines)]
    digest = _digest([*shape, *(part for file in sorted(files.items()) for part in file)])
    lines = [_head(digest), *(line for section in sections for line in (*section.lines, *section.servers))]
    return RenderedConfig(
        configuration="\n".join(lines),
        fingerprint=digest,
        files=files,
        maps={
            **thresholds(config),
            **{name: entries for frontend in frontends for name, entries in frontend.weights().items()},
        },
        pem=tuple(dict.fromkeys(file for frontend in frontends for file in frontend.pem_files())),
        sockets=tuple(name for frontend in frontends for name in frontend.sockets),
    )


def _head(fingerprint: str) -> str:
    user = "".join(f"  {line}\n" for line in global_lines())
    return _HEAD.format(fingerprint=fingerprint, user=user, socket=socket_args())


class _Section(NamedTuple):
    """Lines of the configuration, and those of servers, which may change while HAProxy runs."""

    lines: list[str]
    servers: list[str]


def _frontend(frontend: Frontend | NetworkFrontend) -> _Section:
    return _Section([*frontend.lines()], [])


def _application_listeners(config: PlaneConfig) -> list[EffectiveApplicationListener]:
    return [found for found in config.listeners if isinstance(found, EffectiveApplicationListener)]


def _network_listeners(config: PlaneConfig) -> list[EffectiveNetworkListener]:
    return [found for found in config.listeners if isinstance(found, EffectiveNetworkListener)]


def _application_frontends(config: PlaneConfig, idle: Sequence[int], *, ipv6: bool, thumbprint: str) -> list[Frontend]:
    challenged = challenged_ports(config.listeners)
    return [
        Frontend(
            effective,
            config,
            idle_varies=len(idle) > 1,
            dual_stack=ipv6 and has_both_families(effective, config.listeners),
            first_lines=[*challenge_lines(thumbprint)] if answers_challenges(effective, challenged) else (),
        )
        for effective in _application_listeners(config)
    ]


def _network_frontends(config: PlaneConfig, *, ipv6: bool) -> list[NetworkFrontend]:
    return [
        NetworkFrontend(effective, config, dual_stack=ipv6 and has_both_families(effective, config.listeners))
        for effective in _network_listeners(config)
        # HAProxy only checks the targets of the others.
        if "tcp" in effective.binding.transports
    ]


def _groups(config: PlaneConfig, idle: Sequence[int]) -> list[_Section]:
    """Return the backends of every target group of application load balancers."""
    return [
        section
        for group in _by_name(config)
        if isinstance(group.settings, ApplicationTargetGroup)
        for main in pool_backends(group)
        for section in _sections(group, main, backends(main, group.settings, idle))
    ]


def _network_groups(config: PlaneConfig) -> list[_Section]:
    """Return the backends of every target group of network and gateway load balancers."""
    idle: dict[str, int] = {}
    for effective in _network_listeners(config):
        for owner, name in effective.groups():
            timeout = effective.listener.attributes.tcp_idle_timeout
            idle[group_id(owner, name)] = max(timeout, idle.get(group_id(owner, name), 0))
    unused = NetworkListenerAttributes().tcp_idle_timeout
    return [
        section
        for group in _by_name(config)
        if not isinstance(group.settings, ApplicationTargetGroup)
        for main in pool_backends(group)
        for section in _sections(group, main, _flow_backends(main, group.settings, idle.get(group.id, unused)))
    ]


def _flow_backends(main: str, settings: TargetGroup, idle: int) -> dict[str, Iterator[str]]:
    if isinstance(settings, GatewayTargetGroup):
        return {main: gateway_backend(main, settings)}
    assert isinstance(settings, NetworkTargetGroup)
    return network_backends(main, settings, idle)


def _by_name(config: PlaneConfig) -> list[WantedGroup]:
    return sorted(config.groups.values(), key=lambda group: (group.owner, group.name))


def pool_backends(group: WantedGroup) -> dict[str, Pool]:
    """Return the backends whose servers are checked, one for each pool."""
    return {pool_backend(group.id, pool): pool for pool in group.pools}


def _pools(config: PlaneConfig) -> dict[str, str]:
    """Return the file that lists the backends of pools, if there are any: see `HAProxyPlane.observe`."""
    found = [main for group in _by_name(config) for main in pool_backends(group) if main != group.id]
    return {POOLS: "".join(f"{main}\n" for main in found)} if found else {}


def _sections(group: WantedGroup, checked: str, found: Mapping[str, Iterable[str]]) -> Iterator[_Section]:
    """Yield the backends of a target group with their servers. `found`: the lines of each."""
    servers = defaultdict[str, list[str]](list)
    for target in group.targets:
        if target.admit:
            for definition in server_definitions(group, target):
                servers[definition.backend].append(f"  server {definition.name} {definition.args}")
    agents = [name for kind, name in _AGENT_SOCKETS.items() if isinstance(group.settings, kind)]
    readers = [STATE_SOCKET, *agents]
    for backend, lines in found.items():
        state_lines = map(_STATE_LINE.format, readers if backend == checked else ())
        yield _Section([*lines, *state_lines], [*servers[backend], ""])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def thresholds(config: PlaneConfig) -> dict[str, dict[str, str]]:
    """Return the map of the number of healthy targets that a backend needs, for those that need more than one."""
    return {THRESHOLDS: {key: value for group in config.groups.values() for key, value in thresholds_of(group).items()}}


def thresholds_of(group: WantedGroup) -> dict[str, str]:
    """Return the number of healthy targets that each backend of a group needs. Empty if it is one."""
    attributes = group.settings.attributes
    if attributes.needs_one_healthy:
        return {}
    pools = pool_backends(group).items()
    return {main: str(attributes.min_healthy_targets(group.registered(pool))) for main, pool in pools}
