"""The rollout of a service in one target group, or in none: its replicas are replaced a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.api import StageContext
from pipeline.config.service_spec import ServiceSpec
from pipeline.config.strategy import RollingStrategy
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy.decision import DesiredState, Strategy
from stages.deploy.executor import RolloutExecutor
from stages.deploy.fault_wait import FaultWait
from stages.deploy.hook_watch import run_watched
from stages.deploy.judge import Judge
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling_bake import RollingBake
from stages.deploy.stored_progress import StoredProgress


@dataclass(frozen=True)
class RollingRollout:
    """One rollout of `service` to the `wanted` replicas, which are `made_from` a spec.

    Order: `was_current`, `replace`, `complete`. Raises as `RolloutExecutor.run`.
    """

    context: StageContext
    service: ServiceSpec
    replicas: ReplicaSet
    wanted: DesiredState
    made_from: ReplicaSpec
    strategy: Strategy
    cancelled: threading.Event

    def was_current(self) -> bool:
        """Return whether the replicas were as wanted before this deployment.

        Those of a new release are of a process that has died after it had replaced them, and before it stored that.
        """
        seen, wanted = self.replicas.observe().replicas, self.wanted
        if len(seen) != wanted.replicas or not all(r.template == wanted.template and r.healthy for r in seen):
            return False
        active = self.context.store.releases.active(self.made_from.pipeline)
        release = self.made_from.release
        is_new = active is None or active.number != release
        return not (is_new and any(self.replicas.release_of(replica.name) == release for replica in seen))

    def replace(self) -> None:
        """Replace the replicas that are not as wanted."""
        self._executor(self.strategy).run()

    def complete(
        self, hooks: Lifecycle, judge: Callable[[], Judge], stored: StoredProgress | None, *, was_current: bool
    ) -> None:
        """Run the last hooks, and let the new replicas bake if there are any and the strategy says so."""
        if stored and (bake := self._bake(judge, stored, was_current=was_current)):
            bake.run(self._executor(bake, bake.wait), hooks)
            return
        name, clock = f"{self.service.name} of release {self.made_from.release}", self.context.clock
        faults = FaultWait(name, self.wanted.deploy_timeout, self.context.events, clock)
        watching = self._executor(self.strategy)
        run_watched(hooks, LifecycleEvent.AFTER_ALLOW_TRAFFIC, watching, faults, self.cancelled, clock)

    def _executor(self, strategy: Strategy, wait: Callable[[float], object] | None = None) -> RolloutExecutor:
        return RolloutExecutor(
            self.replicas,
            self.wanted,
            strategy,
            self.context.events,
            spec=self.made_from,
            restart=RestartPolicy(self.service.settings.restart),
            cancelled=self.cancelled,
            wait=wait,
        )

    def _bake(self, judge: Callable[[], Judge], stored: StoredProgress, *, was_current: bool) -> RollingBake | None:
        strategy, found = self.service.settings.strategy, stored.of(self.service.name)
        # Of a rolling deployment, only its bake time and its end are stored.
        is_over = was_current if found is None else found.phase is ShiftPhase.DONE
        if not isinstance(strategy, RollingStrategy) or not strategy.bake_time or is_over:
            return None
        return RollingBake(
            self.strategy,
            self.service.name,
            self.made_from.release,
            strategy.bake_time,
            self.wanted.deploy_timeout,
            clock=self.context.clock,
            cancelled=self.cancelled,
            events=self.context.events,
            stored=stored,
            judge=judge,
        )
