"""Targets of a service without a target group: its running containers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.quantity import format_duration
from pipeline.engine.container import ContainerHealth
from pipeline.engine.runtime import Replica, Runtime

_STATES = {
    ContainerHealth.STARTING: (TargetState.INITIAL, "its health check has not passed yet"),
    ContainerHealth.HEALTHY: (TargetState.HEALTHY, ""),
    ContainerHealth.UNHEALTHY: (TargetState.UNHEALTHY, "its health check fails"),
}
PROBE_RESULTS = frozenset(description for _, description in _STATES.values() if description)
"""The descriptions of targets whose probe has not passed."""
# Docker reports no port for a container that nobody connects to.
_NO_PORT = 1


class RunningTargets:
    """Implements `Targets` without a balancer.

    A target is healthy while its probe passes, or once its container has run for `uptime` if it has no probe. One that
    exits before fails its release.

    What is deregistered, and since when a target is unhealthy, is known to this object only. A process that continues
    after a crash deregisters it again, which loses nothing, because nothing is in flight. Containers of the template
    `excluded` are no targets. Safe to use from any thread.
    """

    def __init__(
        self,
        runtime: Runtime,
        pipeline: str,
        service: str,
        uptime: timedelta,
        *,
        excluded: str | None = None,
        now: Callable[[], Stamp] = SYSTEM.now,
    ) -> None:
        self._runtime = runtime
        self._pipeline = pipeline
        self._service = service
        self._uptime = uptime
        self._now = now
        self._excluded = excluded
        self._lock = threading.Lock()
        self._leaving: dict[str, Stamp] = {}
        self._unhealthy: dict[str, Stamp] = {}

    def target_health(self, _service: str, _group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each container that runs."""
        listed = (r for r in self._runtime.list(self._pipeline) if r.service == self._service and r.running)
        found = [replica for replica in listed if replica.template != self._excluded]
        with self._lock:
            known, now = self._unhealthy, self._now()
            sick = [replica.name for replica in found if replica.health is ContainerHealth.UNHEALTHY]
            self._unhealthy = {name: known.get(name, now) for name in sick}
            return tuple(self._health(replica, now) for replica in found)

    def reconciled_health(self, service: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the same: there is nothing to admit."""
        return self.target_health(service, group)

    def zones(self, _service: str, _group: str) -> tuple[str, ...]:
        """Return no zones."""
        return ()

    def register(self, _service: str, _group: str, *targets: Target) -> None:
        """Let targets that were deregistered count again."""
        for target in targets:
            self.remove_target(_service, _group, target.id)

    def deregister(self, _service: str, _group: str, target_id: str) -> None:
        """Let a target count as draining."""
        with self._lock:
            self._leaving.setdefault(target_id, self._now())

    def abort_connections(self, _service: str, _group: str, _target_id: str) -> None:
        """Do nothing: there are no connections."""

    def remove_target(self, _service: str, _group: str, target_id: str) -> None:
        """Forget that a target was deregistered."""
        with self._lock:
            self._leaving.pop(target_id, None)

    def _health(self, replica: Replica, now: Stamp) -> TargetHealth:
        state, description = self._state(replica)
        unhealthy, leaving = self._unhealthy.get(replica.name), self._leaving.get(replica.name)
        return TargetHealth(
            target=Target(id=replica.name, address=replica.address or "127.0.0.1", port=replica.port or _NO_PORT),
            state=TargetState.DRAINING if leaving else state,
            reason="",
            description=description,
            in_flight=0,
            state_age=now.since(unhealthy) if unhealthy else timedelta(0),
            since=leaving or unhealthy or replica.started,
        )

    def _state(self, replica: Replica) -> tuple[TargetState, str]:
        if replica.health is not None:
            return _STATES[replica.health]
        # The runtime counts seconds for the first minute.
        if replica.running_for is None or replica.running_for >= self._uptime.total_seconds():
            return TargetState.HEALTHY, ""
        return TargetState.INITIAL, f"it has run for less than {format_duration(self._uptime)}"
