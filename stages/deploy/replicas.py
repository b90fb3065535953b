"""The replicas of one service and their targets: observed together, and changed one step at a time."""

from __future__ import annotations

import secrets as randomness
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import SYSTEM, Stamp
from pipeline.engine import runtime as engine_runtime
from pipeline.engine.host import LOCAL
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_STOP_SIGNAL
from pipeline.engine.runtime import ReplicaEnd, ReplicaSpec, RestartPolicy, Runtime, StopResult
from stages.deploy.decision import ContainerState, Observation, Replica


class Targets(Protocol):
    """The part of the balancer that a replica set uses. `Balancer` describes each method."""

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each target of a group."""

    def zones(self, owner: str, group: str) -> tuple[str, ...]:
        """Return the zones that the load balancers of a group are enabled in."""

    def reconciled_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Admit the targets of a group that have passed a check, and return the health of all."""

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets."""

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Stop new requests to a target."""

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Close the open requests of a target."""

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a target."""


class ReplicaSet:
    """The replicas of one service, of all its releases, and their targets in one target group.

    `mounts` returns the volumes of a replica as they are mounted, immediately before it is created. `save_output` is
    called with the name and the host of a replica before it is removed, and `on_drain` with one that has begun to
    drain, perhaps several times. Neither raises.
    Every step may be repeated, also for a replica that is gone. Times are measured by `now`, so changes of the wall
    clock have no effect. Steps on different replicas may run in several threads. One thread calls `observe`.
    """

    def __init__(
        self,
        runtime: Runtime,
        targets: Targets,
        pipeline: str,
        group: str,
        *,
        service: str = DEFAULT_SERVICE,
        mounts: Callable[[tuple[str, ...]], tuple[str, ...]] = tuple,
        save_output: Callable[[str, str], None] = lambda _, __: None,
        on_drain: Callable[[engine_runtime.Replica], object] = lambda _: None,
        now: Callable[[], Stamp] = SYSTEM.now,
    ) -> None:
        self._runtime = runtime
        self._balancer = targets
        self._pipeline = pipeline
        self._group = group
        self._service = service
        self._mounts = mounts
        self._save_output = save_output
        self._on_drain = on_drain
        self._now = now
        self._started: dict[str, Stamp] = {}
        # The zone of each replica that is being started.
        self._starting: dict[str, str | None] = {}
        # And that of each replica that was started here.
        self._zones: dict[str, str | None] = {}
        self._settled: set[str] = set()
        self._outdated: frozenset[str] = frozenset()
        self._lost: tuple[str, ...] = ()
        # Replicas on lost hosts that were not healthy when they were deregistered, or were stopped.
        self._given_up: set[str] = set()
        self._replicas: dict[str, engine_runtime.Replica] = {}
        # Those, and the ones whose target is left.
        self._known: dict[str, engine_runtime.Replica] = {}
        self._targets: dict[str, Target] = {}
        self._states: dict[str, TargetState] = {}
        self._lock = threading.Lock()

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._service

    @property
    def in_target_group(self) -> bool:
        """Whether the replicas are in a target group. Others, such as workers, get no requests."""
        return bool(self._group)

    def outdate(self) -> None:
        """Let every replica that exists now be of no template, so that a rollout replaces it."""
        listed = self._runtime.list(self._pipeline)
        self._outdated = frozenset(replica.name for replica in listed if replica.service == self._service)

    def observe(self, action_pending: frozenset[str] = frozenset(), *, reconcile: bool = False) -> Observation:
        """Return every replica and every target of the service.

        `action_pending` names those with an action in progress. With `reconcile`, the balancer first admits targets
        that have passed a check, and starts the data plane if it is not running.
        """
        with self._lock:
            # Read once: a start that returns from here on still counts as starting, and its replica is not seen twice.
            starting = dict(self._starting)
        health_of = self._balancer.reconciled_health if reconcile else self._balancer.target_health
        health = {h.target.id: h for h in health_of(self._pipeline, self._group)}
        listed = [r for r in self._runtime.list(self._pipeline) if r.service == self._service]
        self._lost = self._runtime.lost
        self._given_up -= {replica.name for replica in listed}
        found = {replica.name: replica for replica in listed if replica.name not in starting}
        known = {name: self._known[name] for name in health if name in self._known}
        self._known = {**known, **found}
        self._replicas, self._targets = found, {name: h.target for name, h in health.items()}
        self._states = {name: h.state for name, h in health.items()}
        names = [*found, *(name for name in health if name not in found and name not in starting)]
        if self._lost:
            # Once its host is back, a replica is no new one, whose release would fail because it was not healthy.
            for name in {*self._started} - {*names, *starting}:
                self._started.pop(name, None)
        replicas = tuple(self._replica(name, found.get(name), health.get(name), action_pending) for name in names)
        return Observation(replicas, len(starting), tuple(starting.values()))

    def reserve(self, release: int, zone: str | None = None) -> str:
        """Return the name of a new replica, which counts as starting in this zone from now on."""
        name = f"{self._pipeline}.{self._service}.r{release}.{randomness.token_hex(3)}"
        with self._lock:
            self._starting[name] = self._zones[name] = zone
        return name

    def start(self, name: str, spec: ReplicaSpec) -> None:
        """Start a reserved replica, or one of another name in no zone.

        Raises `StageFailed` if the image cannot be started, and `ConfigError` if a volume may not be mounted.
        """
        zone = self._starting.get(name)
        try:
            mounted = self._mounts(spec.volumes)
            made = replace(spec, name=name, service=self._service, volumes=mounted, zone=zone, outgoing=self._outdated)
            self._runtime.start(made)
            self._started[name] = self._now()
        finally:
            with self._lock:
                self._starting.pop(name, None)

    def register(self, name: str, port: int) -> str | None:
        """Add a replica to the target group. Return its zone. It receives requests only after its health checks pass.

        `port` is used for a replica that does not name its own. If its zone is not enabled any more, it is in none.
        """
        if replica := self._replicas.get(name):
            zone = replica.zone if replica.zone in self._balancer.zones(self._pipeline, self._group) else None
            target = Target(id=name, address=replica.address, port=replica.port or port, zone=zone)
            self._balancer.register(self._pipeline, self._group, target)
            return zone
        return None

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Let the runtime restart a replica from now on. Until it is healthy, its exit fails the release instead."""
        self._runtime.set_restart_policy(name, policy)
        self._settled.add(name)

    def deregister(self, name: str) -> None:
        """Stop new requests to a target. Returns after the balancer has confirmed it."""
        if name not in self._replicas and self._states.get(name) is not TargetState.HEALTHY:
            self._given_up.add(name)
        self._balancer.deregister(self._pipeline, self._group, name)
        self.notify(name)

    def notify(self, name: str) -> None:
        """Call `on_drain` with a replica that drains and still runs."""
        if (replica := self._replicas.get(name)) and replica.running:
            self._on_drain(replica)

    def abort_connections(self, name: str) -> None:
        """Close the open requests of a target whose deregistration delay has expired."""
        self._balancer.abort_connections(self._pipeline, self._group, name)

    def stop(self, name: str) -> str | None:
        """Stop a replica with the grace that its own release gave it. Return why it needed SIGKILL, or None."""
        replica = self._replicas.get(name)
        # It exits because it is stopped, which fails no release, even if its host takes replicas again meanwhile.
        self._started.pop(name, None)
        if replica is None:
            self._given_up.add(name)
        if replica is None or self._runtime.stop(name, replica.grace) is not StopResult.KILLED or not replica.grace:
            return None
        signal = replica.labels.get(LABEL_STOP_SIGNAL, "SIGTERM")
        return (
            f"it did not exit within {replica.grace.total_seconds():g} s of {signal} (exit code 137); write CMD as a "
            "list, so that no shell keeps the signal from the app, and check that the app handles it"
        )

    def remove(self, name: str) -> None:
        """Remove the target, then the replica."""
        if name not in self._replicas:
            self._started.pop(name, None)
        self.remove_target(name)
        self._save_output(name, replica.host if (replica := self._replicas.get(name)) else LOCAL)
        self._runtime.remove(name)

    def remove_target(self, name: str) -> None:
        """Remove a target and leave its replica, which can be registered again."""
        self._balancer.remove_target(self._pipeline, self._group, name)

    def with_stale_address(self) -> list[str]:
        """Return the replicas whose address or port differs from that of their target, as last observed."""
        return [
            name
            for name, replica in self._replicas.items()
            if (target := self._targets.get(name)) and replica.address and _is_elsewhere(replica, target)
        ]

    def running_for(self, name: str) -> int | None:
        """Return the age of a replica's process in seconds, as last observed. None if unknown or not running."""
        replica = self._replicas.get(name)
        return replica.running_for if replica else None

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how a replica's last process ended and began, or None if the replica is gone."""
        return self._runtime.ended(name)

    def log_tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines that a replica printed."""
        return self._runtime.tail(name, lines)

    def exit_reason(self, name: str) -> str:
        """Return how a replica ended, as the second half of a sentence."""
        end = self._runtime.ended(name)
        if end is None and self._lost and name not in self._replicas:
            return f"it was on {self._lost_host(name)}"
        if end is None:
            return "its container was removed"
        if end.ran_out_of_memory:
            return "it was killed: it used more memory than deploy.memory allows"
        child = "; one of its processes was killed for using more memory than deploy.memory allows"
        return f"its container exited with code {end.exit_code}{child * end.oom_killed}"

    def host_of(self, name: str) -> str | None:
        """Return the host of a replica as last observed, None if it is the local engine alone, or unknown."""
        replica = self._known.get(name)
        return replica.host if replica and replica.host != LOCAL else None

    def wanted_zone(self, name: str) -> str | None:
        """Return the zone that this process has started a replica for, or None."""
        return self._zones.get(name)

    def replacement_reason(self, name: str) -> str | None:
        """Return why a replica is to be replaced whatever its release, as last observed. None if it need not be."""
        if replica := self._replicas.get(name):
            return f"is on host {replica.host}, which takes no replicas" if replica.is_leaving else None
        return f"was on {self._lost_host(name)}" if self._lost else None

    def release_of(self, name: str) -> int:
        """Return the release that a replica was started for, as last observed; 0 if unknown."""
        replica = self._known.get(name)
        return replica.release if replica else 0

    def _lost_host(self, name: str) -> str:
        replica = self._known.get(name)
        return f"host {replica.host if replica else ' or '.join(self._lost)}, which is lost"

    def _replica(
        self,
        name: str,
        found: engine_runtime.Replica | None,
        health: TargetHealth | None,
        action_pending: frozenset[str],
    ) -> Replica:
        now = self._now()
        draining_for = health is not None and health.state is TargetState.DRAINING
        is_unhealthy = health is not None and health.state.is_unhealthy
        return Replica(
            name=name,
            template=found.template if found and not found.is_leaving and name not in self._outdated else "",
            container=self._container(name, found, health),
            # A deployment treats one that drains like any other unhealthy target.
            target=TargetState.UNHEALTHY if is_unhealthy else health.state if health else None,
            in_flight=health.in_flight if health else 0,
            not_healthy_for=self._waiting(found, health, now),
            draining_for=now.since(health.since) if health and draining_for else timedelta(0),
            reason=health.description if health else "",
            started_here=name in self._started,
            restart_policy_set=name in self._settled,
            action_pending=name in action_pending,
            zone=health.target.zone if health else found.zone if found else None,
            made_from=found.template if found else "",
        )

    def _container(
        self, name: str, found: engine_runtime.Replica | None, health: TargetHealth | None
    ) -> ContainerState:
        """Return the state of a container. A lost engine says nothing, so the target does: it may still serve."""
        if found is not None:
            return ContainerState.RUNNING if found.running else ContainerState.EXITED
        if not self._lost or health is None or name in self._given_up:
            return ContainerState.EXITED
        finishes = health.state is TargetState.DRAINING and health.in_flight
        is_running = health.state is TargetState.HEALTHY or finishes
        return ContainerState.RUNNING if is_running else ContainerState.EXITED

    def _waiting(self, found: engine_runtime.Replica | None, health: TargetHealth | None, now: Stamp) -> timedelta:
        # A new replica whose checks fail from the start has been waiting since its start.
        is_new = found is not None and found.name in self._started and found.name not in self._settled
        if health and health.state.is_unhealthy and not is_new:
            return health.state_age
        if found is None or (health and health.state is TargetState.HEALTHY):
            return timedelta(0)
        return now.since(self._started.get(found.name, found.started))


def _is_elsewhere(replica: engine_runtime.Replica, target: Target) -> bool:
    """Return whether a target is not where its replica is. A replica may not name its port."""
    return replica.address != target.address or (replica.port or target.port) != target.port
