"""The choice of engine and runtime. Only this module imports `pipeline.engine.docker` and `pipeline.engine.ssh`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.engine.console import Console
from pipeline.engine.host import LOCAL, Host, HostSpec
from pipeline.engine.interfaces import Engine, EngineEvents, ExistingContainers

if TYPE_CHECKING:
    from pipeline.engine.cluster import ClusterSpec
    from pipeline.engine.hosts_console import HostsConsole
    from pipeline.engine.hosts_containers import HostsContainers, WithContainers
    from pipeline.engine.hosts_runtime import HostsRuntime
    from pipeline.engine.open_cluster import OpenCluster
    from pipeline.engine.reachable_host import HostChange, OpenHost, ReachableHost
    from pipeline.engine.runtime import ReplicaSpec, Runtime
    from pipeline.engine.ssh.tunnel import Tunnel
    from pipeline.engine.ssh_address import SshAddress
    from pipeline.engine.swarm.swarm import OpenSwarm
    from pipeline.engine.swarm_containers import SwarmConsole, SwarmMember

# Most parts are imported when they are used: a command that needs only the console starts sooner.
_LOOPBACK = "127.0.0.1"
_THIS_MACHINE = HostSpec(LOCAL)
_NO_FOLDER = Path()
# A connection by SSH takes longest, on a machine that is busy.
_SILENCE = timedelta(seconds=10)
# In seconds.
_COMMAND_TIMEOUT = 15.0


def host_engine(
    spec: HostSpec, home: str, sockets: Path = _NO_FOLDER, environment: Mapping[str, str] = os.environ
) -> Engine:
    """Connect to the engine of a host. `sockets` is the folder of the tunnels of the home.

    The caller closes it, or uses it as a context manager. Raises `EngineFault` if it does not respond, and
    `ConfigError` if its address is invalid.
    """
    from pipeline.engine.docker.engine import DockerEngine

    if spec.docker == LOCAL:
        return DockerEngine(home, environment)
    from pipeline.engine.ssh.kept_tunnels import KEPT

    tunnel = _tunnel(spec, sockets, environment)
    tunnel.open()
    try:
        return DockerEngine(home, tunnel.environment, on_close=partial(KEPT.leave, tunnel))
    except BaseException:
        tunnel.close()
        raise


@contextmanager
def keep_tunnels() -> Iterator[None]:
    """Within the block, the tunnels of engines that are closed stay open, so that the next engine need not connect."""
    from pipeline.engine.ssh.kept_tunnels import KEPT

    with KEPT.block():
        yield


def local_engine(home: str, environment: Mapping[str, str] = os.environ) -> Engine:
    """Connect to the engine of this machine, or to the one that `DOCKER_HOST` in `environment` specifies.

    The caller closes it, or uses it as a context manager. Raises `EngineFault` if it does not respond.
    """
    return host_engine(_THIS_MACHINE, home, environment=environment)


def host_events(
    spec: HostSpec, home: str, sockets: Path = _NO_FOLDER, environment: Mapping[str, str] = os.environ
) -> EngineEvents:
    """Return the events of the engine that `host_engine` connects to. Connects to nothing yet."""
    from pipeline.engine.docker.events import DockerEvents

    if spec.docker == LOCAL:
        return DockerEvents(home, environment)
    from pipeline.engine.ssh.events import TunnelledEvents

    tunnel = _tunnel(spec, sockets, environment)
    return TunnelledEvents(tunnel, DockerEvents(home, tunnel.environment))


def local_events(home: str, environment: Mapping[str, str] = os.environ) -> EngineEvents:
    """Return the events of the engine that `local_engine` connects to. Connects to nothing yet."""
    return host_events(_THIS_MACHINE, home, environment=environment)


def local_console(home: str, environment: Mapping[str, str] = os.environ) -> Console:
    """Return the console of the engine that `local_engine` connects to. Connects to nothing yet."""
    from pipeline.engine.docker.console import DockerConsole

    return DockerConsole(home, environment)


def host_console(
    spec: HostSpec, home: str, sockets: Path = _NO_FOLDER, environment: Mapping[str, str] = os.environ
) -> Console:
    """Connect to the console of the engine that `host_engine` connects to. The caller closes it.

    Raises `EngineFault` if the host does not respond, and `ConfigError` if its address is invalid.
    """
    from pipeline.engine.docker.console import DockerConsole

    if spec.docker == LOCAL:
        return DockerConsole(home, environment)
    tunnel = _tunnel(spec, sockets, environment)
    tunnel.open()
    return DockerConsole(home, tunnel.environment, on_close=tunnel.close)


def console_of(
    cluster: ClusterSpec, home: str, sockets: Path = _NO_FOLDER, environment: Mapping[str, str] = os.environ
) -> Console:
    """Return the console of a cluster. Connects to nothing yet. The caller closes it."""
    if cluster.is_local:
        return local_console(home, environment)
    return hosts_console(cluster.specs, home, sockets, environment, nodes=cluster.nodes)


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
        with local_engine(home, environment) as engine:
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
    from pipeline.engine.cluster import SWARM_MEMBER
    from pipeline.engine.host_link import HostLink, OpenLink
    from pipeline.engine.host_links import HostLinks
    from pipeline.engine.hosts_containers import HostsContainers

    def connect(name: str) -> OpenLink[WithContainers]:
        if name == SWARM_MEMBER.name and opened.swarm is not None:
            return OpenLink(_member_of(opened), _keep_open)
        engine = opened.engines.get(name)
        if engine is None:
            raise EngineFault(f"host {name} does not answer")
        return OpenLink(engine, _keep_open)

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
    from pipeline.engine.cluster import SWARM
    from pipeline.engine.host_link import HostLink, OpenLink
    from pipeline.engine.host_links import HostLinks
    from pipeline.engine.hosts_console import HostsConsole

    def connect(spec: HostSpec) -> OpenLink[Console]:
        if spec.docker == SWARM:
            console: Console = _swarm_console(nodes, home, sockets, environment)
        else:
            console = host_console(spec, home, sockets, environment)
        return OpenLink(console, console.close)

    return HostsConsole(HostLinks([HostLink(spec.name, partial(connect, spec)) for spec in specs], silence))


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
    from pipeline.engine.cluster import SWARM
    from pipeline.engine.host_link import HostLink, OpenLink
    from pipeline.engine.host_links import HostLinks
    from pipeline.engine.hosts_containers import HostsContainers

    def connect(spec: HostSpec) -> OpenLink[WithContainers]:
        if spec.docker == SWARM:
            member = _swarm_member(nodes, home, sockets, environment)
            return OpenLink(member, member.close)
        engine = host_engine(spec, home, sockets, environment)
        return OpenLink(engine, engine.close)

    return HostsContainers(HostLinks([HostLink(spec.name, partial(connect, spec)) for spec in specs], silence))


def _swarm_member(nodes: Sequence[HostSpec], home: str, sockets: Path, environment: Mapping[str, str]) -> SwarmMember:
    """Connect to the Swarm of this machine, as a member beside hosts. The caller closes it."""
    from pipeline.engine.swarm_containers import NodeConnections, SwarmContainers, SwarmMember

    with ExitStack() as stack:
        swarm = stack.enter_context(closing(local_swarm(home, environment)))
        connect = {spec.name: partial(host_engine, spec, home, sockets, environment) for spec in nodes}
        connections = NodeConnections(swarm, local_engine(home, environment), connect)
        stack.callback(connections.close)
        return SwarmMember(SwarmContainers(swarm, connections), stack.pop_all().close)


def _member_of(opened: OpenCluster) -> SwarmMember:
    """Return the Swarm of an open cluster as a member beside its hosts."""
    from pipeline.engine.swarm_containers import NodeConnections, SwarmContainers, SwarmMember

    assert opened.swarm is not None
    engines = opened.engines

    def engine_of(name: str) -> Engine:
        if name not in engines:
            raise EngineFault(f"node {name} does not answer")
        return engines[name]

    connect = {spec.name: partial(engine_of, spec.name) for spec in opened.spec.nodes}
    connections = NodeConnections(opened.swarm, engines[LOCAL], connect)
    return SwarmMember(SwarmContainers(opened.swarm, connections), _keep_open)


def _swarm_console(nodes: Sequence[HostSpec], home: str, sockets: Path, environment: Mapping[str, str]) -> SwarmConsole:
    """Connect to the Swarm of this machine, for commands in its containers. The caller closes it."""
    from pipeline.engine.docker.console import DockerConsole
    from pipeline.engine.swarm_containers import NodeConnections, SwarmConsole

    with ExitStack() as stack:
        swarm = stack.enter_context(closing(local_swarm(home, environment)))
        connect = {spec.name: partial(host_console, spec, home, sockets, environment) for spec in nodes}
        local = DockerConsole(home, environment)
        connections: NodeConnections[Console] = NodeConnections(swarm, local, connect)
        stack.callback(connections.close)
        return SwarmConsole(swarm, connections, local.task_log, stack.pop_all().close)


def local_host(engine: Engine) -> Host:
    """Return this machine as the host of `engine`. The balancer reaches its loopback ports and bridge networks."""
    return Host(name=LOCAL, engine=engine, publish_on=_LOOPBACK, reach_at=_LOOPBACK, routes_bridges=True, zone=LOCAL)


def host_at(spec: HostSpec, engine: Engine) -> Host:
    """Return the host of `engine`. Where the engine is this machine's, the balancer reaches its bridge networks."""
    is_local = spec.docker == LOCAL
    return Host(
        name=spec.name,
        engine=engine,
        publish_on=spec.address,
        reach_at=spec.address,
        routes_bridges=is_local,
        zone=spec.zone,
    )


def local_swarm(home: str, environment: Mapping[str, str] = os.environ) -> OpenSwarm:
    """Connect to the engine of this machine as the manager of a Swarm. The caller closes it.

    Raises `EngineFault` if the engine does not respond.
    """
    from pipeline.engine.docker.swarm import DockerSwarm

    return DockerSwarm(home, environment)


def command_on_host(spec: HostSpec, script: str, environment: Mapping[str, str] = os.environ) -> str:
    """Run a short shell script on the machine of a host and return its output. Raises `EngineFault` if it fails.

    That of a local engine is this machine, also if `DOCKER_HOST` names another one.
    """
    from pipeline.base.program import run_program
    from pipeline.engine.ssh.session import ssh_command

    command = ("sh", "-c", script) if spec.docker == LOCAL else ssh_command(_ssh_address(spec), script)
    try:
        done = run_program(command, _COMMAND_TIMEOUT, environment)
    except (OSError, TimeoutError) as error:
        raise EngineFault(f"host {spec.name}: {command[0]} failed: {error}") from error
    if done.code:
        raise EngineFault(f"host {spec.name}: a command there failed: {done.complaint()}")
    return done.stdout.decode(errors="replace")


def runtime_on(host: Host) -> Runtime:
    """Return the runtime that places replicas on one host."""
    from pipeline.engine.docker.runtime import DockerRuntime

    return DockerRuntime(host)


def reachable_host(
    spec: HostSpec,
    home: str,
    sockets: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    on_change: Callable[[HostChange], object] = lambda _: None,
    lost_after: timedelta = timedelta(seconds=10),
) -> ReachableHost:
    """Return a host of a `HostsRuntime`. Connects to nothing yet. See `ReachableHost`."""
    from pipeline.engine.reachable_host import OpenHost, ReachableHost

    def connect() -> OpenHost:
        engine = host_engine(spec, home, sockets, environment)
        return OpenHost(runtime_on(host_at(spec, engine)), engine, engine.close)

    return ReachableHost(spec.name, spec.zone, connect, on_change=on_change, lost_after=lost_after)


def open_cluster(
    cluster: ClusterSpec,
    home: str,
    sockets: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    local: Engine | None = None,
    on_change: Callable[[HostChange], object] = lambda _: None,
    before_start: Callable[[str, Engine, ReplicaSpec], object] = lambda *_: None,
) -> OpenCluster:
    """Open a cluster. The caller closes it. `local` is the local engine if it is open already, and stays open.

    `on_change` is called when a host is lost and when it is back. `before_start` is called with the name and the engine
    of the host of each replica before it is started on one of several hosts.
    Only a cluster that is the local engine alone is connected to, and raises `EngineFault` if it does not respond.
    """
    from pipeline.engine.cluster import SWARM_MEMBER
    from pipeline.engine.open_cluster import OpenCluster
    from pipeline.engine.patient_runtime import PatientRuntime

    connect = partial(reachable_host, home=home, sockets=sockets, environment=environment, on_change=on_change)
    if SWARM_MEMBER in cluster.specs:
        return _open_swarm(cluster, home, sockets, environment, local, connect, before_start)
    if cluster.is_local:
        engine = local or local_engine(home, environment)
        runtime = runtime_on(local_host(engine))
        return OpenCluster(cluster, runtime, lambda: {LOCAL: engine}, _keep_open if local else engine.close)
    hosts = _hosts_runtime(cluster, cluster.specs, connect, before_start)
    return OpenCluster(cluster, PatientRuntime(hosts), lambda: hosts.engines, hosts.close, hosts.place_on)


def _hosts_runtime(
    cluster: ClusterSpec,
    specs: Iterable[HostSpec],
    connect: Callable[[HostSpec], ReachableHost],
    before_start: Callable[[str, Engine, ReplicaSpec], object],
) -> HostsRuntime:
    from pipeline.engine.hosts_runtime import HostsRuntime

    taking = [spec.name for spec in specs if spec.name in cluster.taking]
    return HostsRuntime(list(map(connect, specs)), cluster.placement, taking=taking, before_start=before_start)


def _open_swarm(
    cluster: ClusterSpec,
    home: str,
    sockets: Path,
    environment: Mapping[str, str],
    local: Engine | None,
    connect: Callable[[HostSpec], ReachableHost],
    before_start: Callable[[str, Engine, ReplicaSpec], object],
) -> OpenCluster:
    """Open a cluster of which the Swarm is a member, and perhaps hosts from before or after it."""
    from pipeline.engine.cluster import SWARM
    from pipeline.engine.moving_runtime import MovingRuntime
    from pipeline.engine.node_engines import NodeEngines
    from pipeline.engine.open_cluster import OpenCluster
    from pipeline.engine.patient_runtime import PatientRuntime
    from pipeline.engine.registry_names import service_reference
    from pipeline.engine.swarm.runtime import SwarmRuntime

    with ExitStack() as stack:
        engine = local or stack.enter_context(local_engine(home, environment))
        swarm = stack.enter_context(closing(local_swarm(home, environment)))
        nodes = NodeEngines(
            LOCAL, engine, {spec.name: partial(host_engine, spec, home, sockets, environment) for spec in cluster.nodes}
        )
        stack.callback(nodes.close)
        known = {spec.name for spec in cluster.nodes}

        def reference(image: str) -> str:
            """Return the id of an image where every node has been sent it, else a name in a registry if it has one."""
            own = swarm.local_node()
            if all(node.name in known or node.id == own or not node.is_ready for node in swarm.nodes()):
                return image
            return service_reference(image, engine.images.registry_names(image))

        own = SwarmRuntime(swarm, engine.images.healthcheck, reference=reference, drained=cluster.drained_nodes)
        others = [spec for spec in cluster.specs if spec.docker != SWARM]
        if not others:
            return OpenCluster(cluster, own, nodes.answering, stack.pop_all().close, swarm=swarm)
        hosts = _hosts_runtime(cluster, others, connect, before_start)
        stack.callback(hosts.close)
        names = frozenset(spec.name for spec in others)
        moving = MovingRuntime(own, PatientRuntime(hosts), names, hosts.place_on, taking=cluster.taking)
        return OpenCluster(
            cluster,
            moving,
            lambda: {**nodes.answering(), **hosts.engines},
            stack.pop_all().close,
            moving.place_on,
            swarm,
        )


def with_addresses(cluster: ClusterSpec, environment: Mapping[str, str] = os.environ) -> ClusterSpec:
    """Return a declared cluster with the addresses that are left out: those that ssh connects to.

    Raises `EngineFault` if one cannot be found.
    """
    hosts = (replace(host, spec=_with_address(host.spec, environment)) for host in cluster.hosts)
    return replace(cluster, hosts=tuple(hosts))


def _with_address(spec: HostSpec, environment: Mapping[str, str]) -> HostSpec:
    from pipeline.engine.cluster import SWARM

    if spec.address or spec.docker == SWARM:
        return spec
    from pipeline.engine.ssh.destination import destination_of

    return replace(spec, address=destination_of(spec.name, _ssh_address(spec), environment))


def _keep_open() -> None:
    """Close nothing: the caller has opened the engine."""


def _ssh_address(spec: HostSpec) -> SshAddress:
    from pipeline.engine.ssh_address import SshAddress

    try:
        return SshAddress.from_text(spec.docker)
    except ValueError as error:
        raise ConfigError(f"host {spec.name}: {error}") from None


def _tunnel(spec: HostSpec, sockets: Path, environment: Mapping[str, str]) -> Tunnel:
    from pipeline.engine.ssh.tunnel import Tunnel

    return Tunnel(sockets, spec.name, _ssh_address(spec), environment)
