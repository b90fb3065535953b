"""Targets of a service behind no load balancer: its running containers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import SYSTEM, Stamp
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.engine.runtime import Replica, Runtime

# A container that has run for so many seconds counts as healthy. One that exits before fails its release.
_SETTLED = 5
# Docker reports no port for a container that nobody connects to.
_NO_PORT = 1


class RunningTargets:
    """Implements `Targets` without a balancer. A target is healthy while its container runs.

    What is deregistered is known to this object only. A process that continues after a crash deregisters it again,
    which loses nothing, because nothing is in flight. Containers of the template `excluded` are no targets. Safe to use
    from any thread.
    """

    def __init__(
        self, runtime: Runtime, pipeline: str, now: Callable[[], Stamp] = SYSTEM.now, excluded: str | None = None
    ) -> None:
        self._runtime = runtime
        self._pipeline = pipeline
        self._now = now
        self._excluded = excluded
        self._lock = threading.Lock()
        self._leaving: dict[str, Stamp] = {}

    def target_health(self, _service: str, _group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each container that runs."""
        listed = (r for r in self._runtime.list(self._pipeline) if r.service == DEFAULT_SERVICE and r.running)
        return tuple(self._health(replica) for replica in listed if replica.template != self._excluded)

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

    def _health(self, replica: Replica) -> TargetHealth:
        leaving = self._leaving.get(replica.name)
        is_settled = replica.running_for is None or replica.running_for >= _SETTLED
        state = TargetState.DRAINING if leaving else TargetState.HEALTHY if is_settled else TargetState.INITIAL
        return TargetHealth(
            target=Target(id=replica.name, address=replica.address or "127.0.0.1", port=replica.port or _NO_PORT),
            state=state,
            reason="",
            description="" if state is TargetState.HEALTHY else f"it has run for less than {_SETTLED} s",
            in_flight=0,
            state_age=timedelta(0),
            since=leaving or replica.started,
        )
