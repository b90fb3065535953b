"""The runtime of one host with a Docker-compatible engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import EngineFault, PortTaken, StageFailed
from pipeline.base.sockets import free_port
from pipeline.engine.container import Container, ContainerSpec, PublishedPort
from pipeline.engine.host import Host
from pipeline.engine.labels import (
    DEFAULT_SERVICE,
    LABEL_ADDRESS,
    LABEL_GRACE,
    LABEL_PIPELINE,
    LABEL_PORT,
    LABEL_RELEASE,
    LABEL_ROLE,
    LABEL_RUN,
    LABEL_SERVICE,
    LABEL_STARTED,
    LABEL_STOP_SIGNAL,
    LABEL_TARGET_PORT,
    LABEL_TEMPLATE,
    LABEL_ZONE,
    ROLE_APP,
)
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, StopResult

# The exit code of a process that SIGKILL ended.
_KILLED = 137
_DEFAULT_GRACE = "10"
# Where earlier versions, which had no other hosts, published ports.
_LOOPBACK = "127.0.0.1"
# Ports are chosen at random, and which ones are in use on another machine is not known.
_PORT_ATTEMPTS = 20


class DockerRuntime:
    """A runtime that runs each replica as a container in the pipeline's network.

    A replica keeps its address over restarts. It publishes a port if its spec requires it, or if the balancer cannot
    reach the host's networks.
    """

    def __init__(self, host: Host, now: Callable[[], Stamp] = SYSTEM.now) -> None:
        self._host = host
        self._now = now
        self._containers = host.engine.containers
        self._networks = host.engine.networks
        self._ids: dict[str, str] = {}

    @property
    def lost(self) -> tuple[str, ...]:
        """The hosts that are lost: none. While the engine does not answer, calls raise `EngineFault`."""
        return ()

    def prepare(self, pipeline: str) -> None:
        """Create the pipeline's network, also if another program has removed it."""
        self._networks.ensure(pipeline, again=True)

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica of the pipeline, in any state."""
        containers = self._containers.for_pipeline(pipeline)
        self._ids = {container.name: container.id for container in containers}
        return tuple(self._replica(container) for container in containers)

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica. A container that an interrupted start left under its name is replaced."""
        self._ids.pop(spec.name, None)
        for attempt in range(_PORT_ATTEMPTS):
            try:
                self._start(self._container_spec(spec))
            except PortTaken:
                if attempt == _PORT_ATTEMPTS - 1:
                    raise
            else:
                return

    def _start(self, spec: ContainerSpec) -> None:
        try:
            self._containers.start(spec)
        except StageFailed:
            # The engine reports a name that is taken with the same error as an invalid image.
            left = self._containers.find(spec.name)
            if left is None:
                raise
            # A running one is complete: the start was interrupted after it.
            if not left.is_running:
                self._containers.remove(left.id)
                self._containers.start(spec)

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what Docker does when the replica's process exits."""
        if container := self._id(name):
            self._containers.set_restart_policy(container, policy)

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited."""
        before = self._inspect(name)
        if before is None or not before.is_running:
            return StopResult.NOT_RUNNING
        self._containers.stop(before.id, grace)
        after = self._inspect(name)
        killed = after is not None and after.exit_code == _KILLED
        return StopResult.KILLED if killed else StopResult.TERMINATED

    def remove(self, name: str) -> None:
        """Remove a replica's container and its anonymous volumes."""
        if container := self._id(name):
            self._containers.remove(container)

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if its container is gone."""
        found = self._inspect(name)
        if found is None:
            return None
        exit_code = None if found.is_running else found.exit_code
        return ReplicaEnd(exit_code, found.oom_killed, found.restarts, found.process_started_at)

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the container is gone."""
        container = self._id(name)
        return self._containers.logs(container, tail=lines) if container else ()

    def clear(self, pipeline: str) -> None:
        """Remove the pipeline's network."""
        self._networks.remove(pipeline)

    def _replica(self, container: Container) -> Replica:
        labels = container.labels
        published = labels.get(LABEL_PORT)
        return Replica(
            name=container.name,
            service=labels.get(LABEL_SERVICE, DEFAULT_SERVICE),
            release=int(labels.get(LABEL_RELEASE, "0")),
            template=labels.get(LABEL_TEMPLATE, ""),
            host=self._host.name,
            # The port stays bound to it when the address of the host is changed.
            address=labels.get(LABEL_ADDRESS, _LOOPBACK) if published else container.address,
            port=int(published or labels.get(LABEL_TARGET_PORT, "0")),
            running=container.is_running,
            started=_started(container),
            grace=timedelta(seconds=float(labels.get(LABEL_GRACE, _DEFAULT_GRACE))),
            running_for=container.running_for,
            labels=labels,
            zone=labels.get(LABEL_ZONE),
            health=container.health,
        )

    def _container_spec(self, spec: ReplicaSpec) -> ContainerSpec:
        is_published = spec.port and (spec.published or not self._host.routes_bridges)
        published = self._publish(spec.port) if is_published else None
        labels = {
            LABEL_PIPELINE: spec.pipeline,
            LABEL_SERVICE: spec.service,
            LABEL_RELEASE: str(spec.release),
            LABEL_RUN: str(spec.run),
            LABEL_ROLE: ROLE_APP,
            LABEL_TEMPLATE: spec.template,
            LABEL_GRACE: str(spec.grace.total_seconds()),
            LABEL_STARTED: str(self._now()),
            LABEL_TARGET_PORT: str(spec.port),
            **({LABEL_ZONE: spec.zone} if spec.zone else {}),
            **({LABEL_STOP_SIGNAL: spec.options.stop_signal} if spec.options.stop_signal else {}),
        }
        return ContainerSpec(
            name=spec.name,
            image=spec.image,
            labels={**labels, **self._place(published)} if published else labels,
            command=spec.command,
            entrypoint=spec.entrypoint,
            environment=spec.environment,
            volumes=spec.volumes,
            memory=spec.memory,
            cpus=spec.cpus,
            init=spec.init,
            shm_size=spec.shm_size,
            pids=spec.pids,
            privileges=spec.privileges,
            log=spec.log,
            probe=spec.probe,
            network=self._networks.name(spec.pipeline),
            address=str(self._networks.free_address(spec.pipeline)),
            aliases=spec.aliases,
            options=spec.options,
            published=(*([published] if published else []), *self._forwarded(spec)),
        )

    def _place(self, published: PublishedPort) -> dict[str, str]:
        """Return the labels that say where the balancer reaches a published port."""
        return {LABEL_PORT: str(published.port), LABEL_ADDRESS: self._host.reach_at}

    def _publish(self, port: int) -> PublishedPort:
        """Choose a port of the host that nothing listens on. No two starts of this process get the same one."""
        return PublishedPort(port, self._host.publish_on, free_port())

    def _forwarded(self, spec: ReplicaSpec) -> Iterator[PublishedPort]:
        """Yield ports for nobody: Docker drops what the kernel forwards to a port that is not published."""
        for protocol in spec.forwarded:
            yield PublishedPort(spec.port, self._host.publish_on, 0, protocol)

    def _id(self, name: str) -> str | None:
        """Return the id of a container of this home. Another program may use the same name by now."""
        if known := self._ids.get(name):
            return known
        found = self._containers.find(name)
        return found.id if found else None

    def _inspect(self, name: str) -> Container | None:
        container = self._id(name)
        try:
            return self._containers.inspect(container) if container else None
        except EngineFault:
            if self._containers.find(name) is None:
                return None
            raise


def _started(container: Container) -> Stamp:
    try:
        return Stamp.from_text(container.labels[LABEL_STARTED])
    except (KeyError, ValueError):
        return Stamp.from_wall(container.created_at)
