"""The choice of engine and runtime. Only this module imports `pipeline.engine.docker`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipeline.engine.console import Console
from pipeline.engine.host import Host
from pipeline.engine.interfaces import Engine, EngineEvents
from pipeline.engine.runtime import Runtime

# The parts of `docker` are imported when they are used: a command that needs only the console starts sooner.
_LOOPBACK = "127.0.0.1"


def local_engine(home: str, environment: Mapping[str, str] = os.environ) -> Engine:
    """Connect to the engine of this machine, or to the one that `DOCKER_HOST` in `environment` specifies.

    The caller closes it, or uses it as a context manager. Raises `EngineFault` if it does not respond.
    """
    from pipeline.engine.docker.engine import DockerEngine

    return DockerEngine(home, environment)


def local_events(home: str, environment: Mapping[str, str] = os.environ) -> EngineEvents:
    """Return the events of the engine that `local_engine` connects to. Connects to nothing yet."""
    from pipeline.engine.docker.events import DockerEvents

    return DockerEvents(home, environment)


def local_console(home: str, environment: Mapping[str, str] = os.environ) -> Console:
    """Return the console of the engine that `local_engine` connects to. Connects to nothing yet."""
    from pipeline.engine.docker.console import DockerConsole

    return DockerConsole(home, environment)


def local_host(engine: Engine) -> Host:
    """Return this machine as the host of `engine`. The balancer reaches its loopback ports and bridge networks."""
    return Host(
        name="local", engine=engine, publish_on=_LOOPBACK, reach_at=_LOOPBACK, routes_bridges=True, zone="local"
    )


def runtime_on(host: Host) -> Runtime:
    """Return the runtime that places replicas on one host."""
    from pipeline.engine.docker.runtime import DockerRuntime

    return DockerRuntime(host)
