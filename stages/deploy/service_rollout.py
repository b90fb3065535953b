"""The rollout of one service: its replicas are those of one release, or there are none."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import Cancelled
from pipeline.config.mounts import resolved_mounts
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, Runtime
from stages.deploy.decision import DesiredState, Strategy
from stages.deploy.desired import desired
from stages.deploy.executor import RolloutExecutor
from stages.deploy.leaving_replicas import LeavingReplicas
from stages.deploy.replicas import ReplicaSet, Targets, replica_spec
from stages.deploy.rolling import RollingStrategy
from stages.deploy.service_targets import Place, ServiceTargets


class ServiceRollout:
    """Puts one service of a release into service, or takes it out.

    `place` is where its replicas are targets, and `uptime` how long they have to run until they are healthy, if nothing
    checks them.
    """

    strategy: Strategy = RollingStrategy()

    def __init__(
        self,
        context: StageContext,
        runtime: Runtime,
        balancer: Balancer,
        leaving: LeavingReplicas,
        name: str,
        place: Place,
        uptime: timedelta = timedelta(0),
    ) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._runtime = runtime
        self._leaving = leaving
        self._name = name
        self._targets = ServiceTargets(context, runtime, balancer, name, place, uptime)

    def roll_out(
        self,
        spec: ServiceSpec,
        release: int,
        replicas: int,
        cancelled: threading.Event | None = None,
        *,
        template: str | None = None,
        unhealthy_timeout: timedelta = timedelta(0),
        restarts: bool = False,
    ) -> None:
        """Make `spec` the only release of the service, with `replicas` replicas. Raises as `RolloutExecutor.run`.

        `template` keeps replicas of that template, also if a secret has changed since they were started. A replica
        that is found unhealthy is replaced after `unhealthy_timeout`. With `restarts`, all that run now are replaced.
        """
        template = template or spec.template(self._context.configuration.secrets)
        moving = self._targets.moving(template)
        wanted = replace(
            desired(spec, replicas, self._context.configuration.secrets),
            template=template,
            unhealthy_timeout=unhealthy_timeout,
            deregistration_delay=self._targets.delay,
            zones=self._targets.present.zones(self._pipeline, self._targets.group),
        )
        if moving:
            moving.join(self._pipeline)
        replica_set = self._replica_set(moving or self._targets.present)
        if restarts:
            replica_set.outdate()
        RolloutExecutor(
            replica_set,
            wanted,
            self.strategy,
            self._context.events,
            spec=self._replica_spec(spec, release, template),
            restart=RestartPolicy(spec.settings.restart),
            cancelled=cancelled,
        ).run()
        if moving:
            moving.leave(self._pipeline, partial(_pause, cancelled or threading.Event()))

    def remove(self) -> int:
        """Drain and remove every replica. Return their number."""
        replica_set = self._replica_set(self._targets.moving(None) or self._targets.present)
        count = len(replica_set.observe().replicas)
        wanted = DesiredState("", 0, 0, 0, deregistration_delay=self._targets.delay, deploy_timeout=timedelta(0))
        RolloutExecutor(replica_set, wanted, self.strategy, self._context.events).run()
        return count

    def replica_set(self) -> ReplicaSet:
        """Return the replicas of the service, as a new process would see them."""
        return self._replica_set(self._targets.present)

    def left_groups(self) -> list[str]:
        """Return the target groups that the service should have left: those that no listener uses any more."""
        return self._targets.left_groups()

    def _replica_set(self, targets: Targets) -> ReplicaSet:
        return ReplicaSet(
            self._runtime,
            targets,
            self._pipeline,
            self._targets.group,
            service=self._name,
            mounts=partial(resolved_mounts, self._context.home.policy(self._pipeline)),
            save_output=self._leaving.save_output,
            on_drain=self._leaving.notify,
        )

    def _replica_spec(self, spec: ServiceSpec, release: int, template: str) -> ReplicaSpec:
        return replica_spec(
            spec,
            pipeline=self._pipeline,
            release=release,
            run=self._context.run,
            template=template,
            environment=self._context.configuration.secrets.resolve_all(spec.settings.environment),
        )


def _pause(cancelled: threading.Event, seconds: float) -> None:
    if cancelled.wait(seconds):
        raise Cancelled("cancelled while deploying")
