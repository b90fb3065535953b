"""The choice of engine and runtime. Only this module imports `pipeline.engine.docker` and `pipeline.engine.ssh`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.engine.console import Console, LogStream
from pipeline.engine.host import LOCAL, Host, HostSpec
from pipeline.engine.interfaces import Engine, EngineEvents

if TYPE_CHECKING:
    from pipeline.engine.reachable_host import HostChange, OpenHost, ReachableHost
    from pipeline.engine.runtime import Runtime
    from pipeline.engine.ssh.tunnel import Tunnel
    from pipeline.engine.ssh_address import SshAddress
    from pipeline.engine.swarm.swarm import OpenSwarm

# Most parts are imported when they are used: a command that needs only the console starts sooner.
_LOOPBACK = "127.0.0.1"
_THIS_MACHINE = HostSpec(LOCAL)
_NO_FOLDER = Path()
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


def check_tunnel_path(spec: HostSpec, sockets: Path) -> None:
    """Raise `EngineFault` if the path of `sockets` is too long for the tunnel of a host. Connects to nothing."""
    if spec.docker != LOCAL:
        _tunnel(spec, sockets, {}).check_path()


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


def local_task_log(
    home: str, environment: Mapping[str, str] = os.environ
) -> Callable[[str, bytes, bool, int | None], LogStream | None]:
    """Return what reads the output of a task of the Swarm that this machine manages. See `SwarmConsole`."""
    from pipeline.engine.docker.console import DockerConsole

    return DockerConsole(home, environment).task_log


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


def with_address(spec: HostSpec, environment: Mapping[str, str] = os.environ) -> HostSpec:
    """Return a host with its address. One that is left out is that which ssh connects to.

    Raises `EngineFault` if it cannot be found.
    """
    if spec.address:
        return spec
    from pipeline.engine.ssh.destination import destination_of

    return replace(spec, address=destination_of(spec.name, _ssh_address(spec), environment))


def _ssh_address(spec: HostSpec) -> SshAddress:
    from pipeline.engine.ssh_address import SshAddress

    try:
        return SshAddress.from_text(spec.docker)
    except ValueError as error:
        raise ConfigError(f"host {spec.name}: {error}") from None


def _tunnel(spec: HostSpec, sockets: Path, environment: Mapping[str, str]) -> Tunnel:
    from pipeline.engine.ssh.tunnel import Tunnel

    return Tunnel(sockets, spec.name, _ssh_address(spec), environment)
