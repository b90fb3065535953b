"""The containers of one pipeline and their targets: seen together as replicas, and changed one step at a time."""

from __future__ import annotations

import secrets as randomness
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.functions import runtime
from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.errors import EngineFault
from pipeline.base.sockets import free_port
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.docker.engine import Engine
from pipeline.engine.labels import LABEL_GRACE, LABEL_PORT, LABEL_RELEASE, LABEL_TEMPLATE
from stages.deploy import rolling as rollout
from stages.deploy.rolling import Replica
from stages.deploy.spec import ReleaseSpec

# Where a container finds what runs its function.
_RUNTIME = "/penstock/runtime.py"
# Everything else (created, exited, dead, removing) cannot answer a request and will not come back by itself.
_RUNNING = frozenset({"running", "restarting", "paused"})


@dataclass(frozen=True)
class Observation:
    """The world at one moment: the replicas, and how many more are being started."""

    replicas: tuple[Replica, ...]
    starting: int


class ReplicaSet:
    """What runs for a pipeline. Every step may be repeated, and only touches what is labelled as the pipeline's."""

    def __init__(self, engine: Engine, balancer: Balancer, pipeline: str, group: str) -> None:
        self._engine = engine
        self._balancer = balancer
        self._pipeline = pipeline
        self._group = group
        self._started: dict[str, datetime] = {}
        self._starting: set[str] = set()
        self._settled: set[str] = set()
        self._containers: dict[str, Container] = {}
        self._targets: dict[str, Target] = {}
        self._taken: set[IPv4Address] = set()
        self._ports: set[int] = set()
        self._lock = threading.Lock()

    def observe(self, action_pending: frozenset[str] = frozenset()) -> Observation:
        """Every container and every target of the pipeline, as they are now."""
        with self._lock:
            # Taken once: what finishes starting from here on still counts as starting, and not twice or not at all.
            starting = set(self._starting)
        health = {h.target.id: h for h in self._balancer.target_health(self._pipeline, self._group)}
        found = {c.name: c for c in self._engine.containers.for_pipeline(self._pipeline) if c.name not in starting}
        self._containers, self._targets = found, {name: h.target for name, h in health.items()}
        names = [*found, *(name for name in health if name not in found and name not in starting)]
        replicas = tuple(self._replica(name, found.get(name), health.get(name), action_pending) for name in names)
        return Observation(replicas, len(starting))

    def reserve(self, release: str) -> str:
        """The name of one more container, which counts as starting from now on, whatever Docker says of it."""
        name = f"{self._pipeline}.r{release}.{randomness.token_hex(3)}"
        with self._lock:
            self._starting.add(name)
        return name

    def start(
        self, name: str, spec: ReleaseSpec, template: str, environment: dict[str, str], labels: dict[str, str]
    ) -> None:
        """Start an announced container. Raises `StageFailed` when the image cannot be started."""
        with self._lock:
            address = self._free_address()
            published = (spec.group.port, self._free_port()) if spec.group.target_type == "instance" else None
        deploy = spec.deploy
        try:
            self._engine.containers.start(
                ContainerSpec(
                    name=name,
                    image=spec.image_id,
                    labels={
                        **labels,
                        LABEL_TEMPLATE: template,
                        LABEL_GRACE: str(deploy.stop_grace.total_seconds()),
                        **({LABEL_PORT: str(published[1])} if published else {}),
                    },
                    **_program(spec),
                    environment=environment,
                    memory=deploy.memory,
                    cpus=deploy.cpus,
                    network=self._engine.networks.name(self._pipeline),
                    address=str(address),
                    published=published,
                )
            )
            self._started[name] = datetime.now(UTC)
        finally:
            with self._lock:
                self._starting.discard(name)

    def register(self, name: str, port: int) -> None:
        """Add a container to the target group; it gets no traffic before its health checks pass."""
        container = self._containers[name]
        target = Target(id=name, address=container.address, port=port)
        if LABEL_PORT in container.labels:
            target = Target(id=name, address="127.0.0.1", port=int(container.labels[LABEL_PORT]))
        self._balancer.register(self._pipeline, self._group, target)

    def set_restart_policy(self, name: str, restart: str) -> None:
        """Let Docker restart a container from now on. Before it was healthy, its exit had to be seen."""
        self._engine.containers.set_restart_policy(self._containers[name].id, restart)
        self._settled.add(name)

    def deregister(self, name: str) -> None:
        """Send a target no more requests. True when this returns."""
        self._balancer.deregister(self._pipeline, self._group, name)

    def abort_connections(self, name: str) -> None:
        """Break what is in flight to a target whose delay is over."""
        self._balancer.abort_connections(self._pipeline, self._group, name)

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL after the grace that the container's own release gave it."""
        container = self._containers[name]
        self._engine.containers.stop(container.id, timedelta(seconds=float(container.labels.get(LABEL_GRACE, "10"))))

    def remove(self, name: str) -> None:
        """Forget the target and remove its container."""
        self._balancer.remove_target(self._pipeline, self._group, name)
        if name in self._containers:
            self._engine.containers.remove(self._containers[name].id)

    def remove_target(self, name: str) -> None:
        """Take a target away and leave its container. It can be registered again."""
        self._balancer.remove_target(self._pipeline, self._group, name)

    def with_stale_address(self) -> list[str]:
        """The containers whose address is not their target's any more, as of the last look."""
        return [
            name
            for name, container in self._containers.items()
            if (target := self._targets.get(name))
            and LABEL_PORT not in container.labels
            and container.address
            and container.address != target.address
        ]

    def running_for(self, name: str) -> int | None:
        """For how many seconds a container has run, as of the last look; None where it does not, or for long."""
        container = self._containers.get(name)
        return container.running_for if container else None

    def inspect(self, name: str) -> Container | None:
        """A container in full, as it is now; None where it is not there any more."""
        container = self._containers.get(name)
        if container is None:
            return None
        with suppress(EngineFault):
            return self._engine.containers.inspect(container.id)
        return None

    def log_tail(self, name: str, count: int = 20) -> tuple[str, ...]:
        """The last lines that a container printed."""
        container = self._containers.get(name)
        return self._engine.containers.logs(container.id, tail=count) if container else ()

    def exit_reason(self, name: str) -> str:
        """How a container ended."""
        container = self._engine.containers.inspect(self._containers[name].id)
        if container.oom_killed:
            return "it was killed: it used more memory than deploy.memory allows"
        return f"its container exited with code {container.exit_code}"

    def release_of(self, name: str) -> str:
        """The number of the release that a container was started for."""
        container = self._containers.get(name)
        return container.labels.get(LABEL_RELEASE, "") if container else ""

    def _replica(
        self, name: str, container: Container | None, health: TargetHealth | None, action_pending: frozenset[str]
    ) -> Replica:
        now = datetime.now(UTC)
        draining_for = health is not None and health.state is TargetState.DRAINING
        return Replica(
            name=name,
            template=container.labels.get(LABEL_TEMPLATE, "") if container else "",
            container=rollout.ContainerState.RUNNING
            if container and container.state in _RUNNING
            else rollout.ContainerState.EXITED,
            target=health.state if health else None,
            in_flight=health.in_flight if health else 0,
            not_healthy_for=self._waiting(container, health, now),
            draining_for=now - health.since if health and draining_for else timedelta(0),
            reason=health.description if health else "",
            started_here=name in self._started,
            restart_policy_set=name in self._settled,
            action_pending=name in action_pending,
        )

    def _waiting(self, container: Container | None, health: TargetHealth | None, now: datetime) -> timedelta:
        if health and health.state is TargetState.UNHEALTHY:
            return health.state_age
        if container is None or (health and health.state is TargetState.HEALTHY):
            return timedelta(0)
        return now - self._started.get(container.name, container.created_at)

    def _free_port(self) -> int:
        """A port that nobody listens on, nor a container that is just being made."""
        while (port := free_port()) in self._ports:
            pass
        self._ports.add(port)
        return port

    def _free_address(self) -> IPv4Address:
        """An address that no container of the network has had lately.

        Docker would give the lowest free one: the address of a container that has just left, to which a
        former worker of the balancer might still have a connection. A fixed one also survives a restart.
        """
        subnet = self._engine.networks.ensure(self._pipeline)
        used = self._taken | {IPv4Address(c.address) for c in self._containers.values() if c.address}
        # The network may be another one than it was.
        used = {a for a in used | self._engine.networks.addresses(self._pipeline) if a in subnet}
        first, last = int(subnet.network_address) + 2, int(subnet.broadcast_address) - 1
        start = max((int(a) for a in used), default=first - 1) + 1
        for number in (*range(start, last + 1), *range(first, start)):
            if (address := IPv4Address(number)) not in used:
                self._taken.add(address)
                return address
        raise EngineFault(f"no address is free in {subnet}, the network of {self._pipeline}")


def _program(spec: ReleaseSpec) -> dict[str, Any]:
    """What a container runs: the image's own program, or its function in a runtime of ours."""
    deploy = spec.deploy
    if deploy.function is None:
        return {"command": deploy.command, "volumes": deploy.volumes}
    return {
        "entrypoint": ("python3", _RUNTIME),
        "command": (deploy.function, str(spec.group.port)),
        "volumes": (*deploy.volumes, f"{runtime.__file__}:{_RUNTIME}:ro"),
    }
