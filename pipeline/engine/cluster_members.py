"""The consoles and the containers of clusters: those of one engine, of several hosts, or of a Swarm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline.base.errors import EngineFault
from pipeline.engine import hosts
from pipeline.engine.cluster import SWARM, SWARM_MEMBER, ClusterSpec
from pipeline.engine.console import Console
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.host_link import HostLink, OpenLink
from pipeline.engine.host_links import HostLinks
from pipeline.engine.hosts_console import HostsConsole
from pipeline.engine.hosts_containers import HostsContainers, WithContainers
from pipeline.engine.interfaces import Engine, ExistingContainers
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.swarm_containers import Closable, NodeConnections, SwarmConsole, SwarmContainers, SwarmMember

T = TypeVar("T", bound=Closable)
_NO_FOLDER = Path()
# A connection by SSH takes longest, on a machine that is busy.
_SILENCE = timedelta(seconds=10)


def console_of(
    cluster: ClusterSpec,
    home: str,
    sockets: Path = _NO_FOLDER,
    environment: Mapping[str, str] = os.environ,
    *,
    silence: timedelta = _SILENCE,
) -> Console:
    """Return the console of a cluster. Connects to nothing yet. The caller closes it.

    Each of several hosts may take `silence` to answer.
    """
    if cluster.is_local:
        return hosts.local_console(home, environment)
    return hosts_console(cluster.specs, home, sockets, environment, silence=silence, nodes=cluster.nodes)


@contextmanager
def containers_of(
    cluster: ClusterSpec,
    home: str,
    sockets: Path = _NO_FOLDER,
    environment: Mapping[str, str] = os.environ,
    *,
    silence: timedelta = _SILENCE,
) -> Iterator[ExistingContainers]:
    """Yield the containers of a cluster, connected for the time of the block.

    Raises `EngineFault` if the local engine does not respond, alone in the cluster. Of several hosts, each may take
    `silence` to answer.
    """
    if cluster.is_local:
        with hosts.local_engine(home, environment) as engine:
            yield engine.containers
    else:
        with closing(
            hosts_containers(cluster.specs, home, sockets, environment, silence=silence, nodes=cluster.nodes)
        ) as found:
            yield found


def containers_in(opened: OpenCluster, silence: timedelta = _SILENCE) -> ExistingContainers:
    """Return the containers of an open cluster, by its connections. A host that does not answer may take `silence`."""
    if opened.spec.is_local:
        return opened.engines[LOCAL].containers

    def connect(name: str) -> OpenLink[WithContainers]:
        if name == SWARM_MEMBER.name and opened.swarm is not None:
            return OpenLink(_member_of(opened))
        engine = opened.engines.get(name)
        if engine is None:
            raise EngineFault(f"host {name} does not answer")
        return OpenLink(engine)

    names = [spec.name for spec in opened.spec.specs]
    links = [HostLink(name, partial(connect, name), keeps=False) for name in names]
    return HostsContainers(HostLinks(links, silence))


def hosts_console(
    specs: Sequence[HostSpec],
    home: str,
    sockets: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    silence: timedelta = _SILENCE,
    nodes: Sequence[HostSpec] = (),
) -> HostsConsole:
    """Return the console of several hosts, each of which may take `silence` to answer. Connects to nothing yet.

    One of them may be the Swarm, of which the engines of `nodes` are known.
    """

    def open_host(spec: HostSpec) -> Console:
        return hosts.host_console(spec, home, sockets, environment)

    open_swarm = partial(_swarm_console, nodes, home, sockets, environment)
    return HostsConsole(_links(specs, silence, open_host, open_swarm))


def hosts_containers(
    specs: Sequence[HostSpec],
    home: str,
    sockets: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    silence: timedelta = _SILENCE,
    nodes: Sequence[HostSpec] = (),
) -> HostsContainers:
    """Return the containers of several hosts, each of which may take `silence` to answer. Connects to nothing yet.

    One of them may be the Swarm, of which the engines of `nodes` are known.
    """

    def open_host(spec: HostSpec) -> Engine:
        return hosts.host_engine(spec, home, sockets, environment)

    open_swarm = partial(_swarm_member, nodes, home, sockets, environment)
    return HostsContainers(_links(specs, silence, open_host, open_swarm))


def _links(
    specs: Sequence[HostSpec], silence: timedelta, open_host: Callable[[HostSpec], T], open_swarm: Callable[[], T]
) -> HostLinks[T]:
    """Return links to hosts, one of which may be the Swarm. Connects to nothing yet."""

    def connect(spec: HostSpec) -> OpenLink[T]:
        opened = open_swarm() if spec.docker == SWARM else open_host(spec)
        return OpenLink(opened, opened.close)

    return HostLinks([HostLink(spec.name, partial(connect, spec)) for spec in specs], silence)


def _swarm_member(nodes: Sequence[HostSpec], home: str, sockets: Path, environment: Mapping[str, str]) -> SwarmMember:
    """Connect to the Swarm of this machine, as a member beside hosts. The caller closes it."""
    with ExitStack() as stack:
        swarm = stack.enter_context(closing(hosts.local_swarm(home, environment)))
        connect = {spec.name: partial(hosts.host_engine, spec, home, sockets, environment) for spec in nodes}
        connections = NodeConnections(swarm, hosts.local_engine(home, environment), connect)
        stack.callback(connections.close)
        return SwarmMember(SwarmContainers(swarm, connections), stack.pop_all().close)


def _member_of(opened: OpenCluster) -> SwarmMember:
    """Return the Swarm of an open cluster as a member beside its hosts."""
    assert opened.swarm is not None
    engines = opened.engines

    def engine_of(name: str) -> Engine:
        if name not in engines:
            raise EngineFault(f"node {name} does not answer")
        return engines[name]

    connect = {spec.name: partial(engine_of, spec.name) for spec in opened.spec.nodes}
    connections = NodeConnections(opened.swarm, engines[LOCAL], connect)
    return SwarmMember(SwarmContainers(opened.swarm, connections))


def _swarm_console(nodes: Sequence[HostSpec], home: str, sockets: Path, environment: Mapping[str, str]) -> SwarmConsole:
    """Connect to the Swarm of this machine, for commands in its containers. The caller closes it."""
    with ExitStack() as stack:
        swarm = stack.enter_context(closing(hosts.local_swarm(home, environment)))
        connect = {spec.name: partial(hosts.host_console, spec, home, sockets, environment) for spec in nodes}
        local = hosts.local_console(home, environment)
        connections: NodeConnections[Console] = NodeConnections(swarm, local, connect)
        stack.callback(connections.close)
        log = hosts.local_task_log(home, environment)
        return SwarmConsole(swarm, connections, log, stack.pop_all().close)
