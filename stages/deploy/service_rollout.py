"""What a pipeline has in service: one release, or nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import EngineFault
from pipeline.engine.docker.engine import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RELEASE, LABEL_ROLE, LABEL_RUN, ROLE_APP
from pipeline.event_kinds import EventKind
from stages.deploy.executor import RolloutExecutor
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling import DesiredState, Replica
from stages.deploy.spec import ReleaseSpec

_DELAY = timedelta(seconds=30)


class ServiceRollout:
    """Brings a release into service, or everything out of it."""

    def __init__(self, context: StageContext, engine: Engine, balancer: Balancer) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self.engine = engine
        self.balancer = balancer
        self.secrets = context.configuration.secrets

    def replicas(self) -> tuple[Replica, ...]:
        """What is there now."""
        return self._replica_set(self._group()).observe().replicas

    def roll_out(
        self,
        spec: ReleaseSpec,
        release: int,
        cancelled: threading.Event | None = None,
        *,
        template: str | None = None,
        unhealthy_timeout: timedelta = timedelta(0),
    ) -> None:
        """Make `spec` all that serves. Raises what `Convergence.run` raises.

        `template` is what the containers are made from, where they are not to be made anew for a changed secret;
        `patience`, how long one that is found unhealthy may stay so.
        """
        # Somebody may have removed it since we looked.
        self.engine.networks.ensure(self._pipeline, again=True)
        self.balancer.apply(self._pipeline, spec.balancer)
        desired = replace(spec.desired(self.secrets), unhealthy_timeout=unhealthy_timeout)
        RolloutExecutor(
            self._replica_set(spec.deploy.target_group),
            replace(desired, template=template) if template else desired,
            self._context.events,
            spec=spec,
            environment=self.secrets.resolve_all(spec.deploy.environment),
            labels={
                LABEL_PIPELINE: self._pipeline,
                LABEL_RELEASE: str(release),
                LABEL_RUN: str(self._context.run),
                LABEL_ROLE: ROLE_APP,
            },
            cancelled=cancelled,
        ).run()

    def tear_down(self) -> int:
        """Drain and remove every target, the listeners and the network; how many containers there were."""
        group = self._group()
        count = len(self._replica_set(group).observe().replicas)
        declared = self.balancer.declaration(self._pipeline)
        known = declared.target_groups.get(group) if declared else None
        delay = known.deregistration_delay if known else _DELAY
        wanted = DesiredState("", 0, 0, 0, deregistration_delay=delay, deploy_timeout=timedelta(0))
        RolloutExecutor(self._replica_set(group), wanted, self._context.events).run()
        self.balancer.withdraw(self._pipeline)
        store, own = self._context.store, self._context.run
        self.engine.containers.remove_leftovers(
            self._pipeline, lambda: [run.number for run in store.runs.running(self._pipeline) if run.number != own]
        )
        try:
            self.engine.networks.remove(self._pipeline)
        except EngineFault as fault:
            # Somebody else's container may be in it, or Docker believes so. Nothing of ours is.
            self._context.events.emit(EventKind.DOWN_WARNING, f"the network stays: {fault.message}")
        return count

    def _group(self) -> str:
        """The target group that has the targets, whatever the file calls it by now."""
        declared = self.balancer.declaration(self._pipeline)
        groups = declared.target_groups if declared else ()
        wanted = self._context.configuration.pipeline.deploy.target_group
        filled = (g for g in groups if self.balancer.target_health(self._pipeline, g))
        return next(filled, next(iter(groups), wanted))

    def _replica_set(self, group: str) -> ReplicaSet:
        return ReplicaSet(self.engine, self.balancer, self._pipeline, group)
