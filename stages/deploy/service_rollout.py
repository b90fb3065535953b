"""The rollout of one service: its replicas are those of one release, or there are none."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.config.mounts import resolved_mounts
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy, Runtime
from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy.alternate_group import AlternateGroup
from stages.deploy.decision import DesiredState, Replica, Strategy
from stages.deploy.desired import desired
from stages.deploy.executor import RolloutExecutor
from stages.deploy.judge import JudgeFactory, MirroringFactory, no_judge
from stages.deploy.leaving_replicas import LeavingReplicas
from stages.deploy.lifecycle import HooksFactory, LifecycleEvent, NoHooks, no_hooks
from stages.deploy.moving_targets import MovingTargets, wait_unless_cancelled
from stages.deploy.replica_spec import replica_spec
from stages.deploy.replicas import ReplicaSet, Targets
from stages.deploy.rolling import RollingStrategy
from stages.deploy.rolling_rollout import RollingRollout
from stages.deploy.rollout_start import emit_start
from stages.deploy.service_targets import Place, ServiceTargets
from stages.deploy.shift_goal import ShiftGoal
from stages.deploy.shift_rollout import ShiftRollout
from stages.deploy.stored_progress import StoredProgress


class ServiceRollout:
    """Puts one service of a release into service, or takes it out.

    `place` is where its replicas are targets, and `uptime` how long they have to run until they are healthy, if nothing
    checks them. `hooks`, `judge` and `mirroring` make those of a rollout to a new release.
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
        *,
        hooks: HooksFactory = no_hooks,
        judge: JudgeFactory = no_judge,
        mirroring: MirroringFactory | None = None,
    ) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._runtime = runtime
        self._balancer = balancer
        self._leaving = leaving
        self._name = name
        self._hooks = hooks
        self._judge = judge
        self._mirroring = mirroring
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
        alternate: AlternateGroup | None = None,
        stored: StoredProgress | None = None,
    ) -> None:
        """Make `spec` the only release of the service, with `replicas` replicas. Raises as `RolloutExecutor.run`.

        `template` keeps replicas of that template, also if a secret has changed since they were started. A replica
        that is found unhealthy is replaced after `unhealthy_timeout`. With `restarts`, all that run now are replaced.
        `alternate` is the alternate group of the service, if its group can have one. `stored` is the progress of a
        deployment, which moves by the strategy of the service. Without it, replicas are replaced in the home group.
        """
        template = template or spec.template(self._context.configuration.secrets)
        cancelled = cancelled or threading.Event()
        moving = self._targets.moving(template)
        wanted = replace(
            desired(spec, replicas, self._context.configuration.secrets),
            template=template,
            unhealthy_timeout=unhealthy_timeout,
            deregistration_delay=self._targets.delay,
            zones=self._targets.present.zones(self._pipeline, self._targets.group),
        )
        if alternate and stored and self._moves(spec, wanted, alternate, stored):
            emit_start(self._context.events, self.replica_set(), release, wanted)
            self._shift(spec, release, wanted, alternate, stored, cancelled).run()
            return
        if alternate and alternate.is_declared:
            # Another release has left it, or the rollback of one has failed.
            self._shift(spec, release, wanted, alternate, None, cancelled).undo()
        self._roll(spec, release, wanted, moving, cancelled, stored, restarts=restarts)

    def return_traffic(self, spec: ServiceSpec, release: int, replicas: int, alternate: AlternateGroup) -> None:
        """Take all requests back from the alternate group. The home group gets replicas of `spec` if it has too few."""
        wanted = replace(
            desired(spec, replicas, self._context.configuration.secrets), deregistration_delay=self._targets.delay
        )
        self._shift(spec, release, wanted, alternate, None, threading.Event()).return_traffic()

    def _moves(
        self, spec: ServiceSpec, wanted: DesiredState, alternate: AlternateGroup, stored: StoredProgress
    ) -> bool:
        found = stored.of(self._name)
        if found is not None:
            return found.phase not in (ShiftPhase.DONE, ShiftPhase.BAKE)
        return not alternate.is_declared and shifts(spec, wanted, self.replica_set().observe().replicas)

    def _roll(
        self,
        spec: ServiceSpec,
        release: int,
        wanted: DesiredState,
        moving: MovingTargets | None,
        cancelled: threading.Event,
        stored: StoredProgress | None,
        *,
        restarts: bool,
    ) -> None:
        """Replace the replicas in their group, and let the new ones bake if the strategy says so."""
        found = stored.of(self._name) if stored else None
        # Those of a service that was done before a kill have run.
        is_new = stored is not None and (found is None or found.phase is not ShiftPhase.DONE)
        hooks = self._hooks(spec, release) if is_new else NoHooks()
        if found is None:
            hooks.run(LifecycleEvent.BEFORE_INSTALL)
        if moving:
            moving.join(self._pipeline)
        replica_set = self._replica_set(moving or self._targets.present)
        if restarts:
            replica_set.outdate()
        made_from = self._replica_spec(spec, release, wanted.template)
        rolling = RollingRollout(self._context, spec, replica_set, wanted, made_from, self.strategy, cancelled)
        was_current = rolling.was_current()
        if not was_current or restarts:
            emit_start(self._context.events, replica_set, release, wanted)
        rolling.replace()
        if moving:
            moving.leave(self._pipeline, partial(wait_unless_cancelled, cancelled))
        rolling.complete(hooks, cache(partial(self._judge, spec, release)), stored, was_current=was_current)

    def _shift(
        self,
        spec: ServiceSpec,
        release: int,
        wanted: DesiredState,
        alternate: AlternateGroup,
        stored: StoredProgress | None,
        cancelled: threading.Event,
    ) -> ShiftRollout:
        targets = self._targets.paired(alternate)
        mirroring = self._mirroring
        return ShiftRollout(
            self._shift_goal(spec, release, wanted, is_deployment=stored is not None),
            self._replica_set(targets),
            targets,
            alternate,
            self._context.events,
            owner=self._pipeline,
            clock=self._context.clock,
            cancelled=cancelled,
            stored=stored,
            judge=cache(partial(self._judge, spec, release)),
            mirroring=partial(mirroring, spec, release, lambda: targets.seen) if mirroring else None,
            hooks=self._hooks(spec, release) if stored else NoHooks(),
        )

    def _shift_goal(self, spec: ServiceSpec, release: int, wanted: DesiredState, *, is_deployment: bool) -> ShiftGoal:
        strategy = spec.settings.strategy
        # A circuit breaker is for replicas that are replaced one for one. Nothing here counts its failures.
        wanted = replace(wanted, failure_threshold=None)
        # After a restart of the machine, the targets of a step that continues are unhealthy for a moment.
        lenient = replace(wanted, unhealthy_timeout=spec.settings.unhealthy_timeout)
        return ShiftGoal(
            service=self._name,
            strategy=strategy.type if strategy else "rolling",
            steps=strategy.steps() if strategy else (),
            desired=lenient if is_deployment else wanted,
            spec=self._replica_spec(spec, release, wanted.template),
            restart=RestartPolicy(spec.settings.restart),
            has_test_traffic=strategy is not None and strategy.test_traffic is not None,
            mirror=strategy.mirror if strategy else None,
        )

    def remove(self, alternate: AlternateGroup | None = None) -> int:
        """Drain and remove every replica, also those in the alternate group. Return their number."""
        paired = self._targets.paired(alternate) if alternate and alternate.is_declared else None
        replica_set = self._replica_set(paired or self._targets.moving(None) or self._targets.present)
        count = len(replica_set.observe().replicas)
        wanted = DesiredState("", 0, 0, 0, deregistration_delay=self._targets.delay, deploy_timeout=timedelta(0))
        emit_start(self._context.events, replica_set, 0, wanted)
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


def shifts(spec: ServiceSpec, wanted: DesiredState, replicas: Collection[Replica]) -> bool:
    """Return whether a new deployment moves the traffic: other templates than the wanted one have it now."""
    if spec.settings.strategy is None or not spec.settings.strategy.is_shifting:
        return False
    # Those on a host that leaves are of the release that they were made from: another host needs no shift.
    templates = {replica.made_from for replica in replicas if replica.is_running and replica.target}
    return bool(templates) and wanted.template not in templates
