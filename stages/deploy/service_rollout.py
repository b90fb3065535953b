"""The service of a pipeline: one release, or nothing."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, SharedGroup
from pipeline.base.errors import Cancelled, EngineFault, StoreFault
from pipeline.config.mounts import resolved_mounts
from pipeline.config.release import ReleaseSpec, service_settings
from pipeline.engine import runtime as engine_runtime
from pipeline.engine.console import remove_abandoned
from pipeline.engine.hosts import local_console, local_host, runtime_on
from pipeline.engine.interfaces import Engine
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.event_kinds import EventKind
from pipeline.store.replica_logs import ReplicaLogs
from stages.deploy.decision import DesiredState, Replica, Strategy
from stages.deploy.desired import desired
from stages.deploy.drain_notice import DrainNotice
from stages.deploy.executor import RolloutExecutor
from stages.deploy.moving_targets import MemberGroup, MovingTargets
from stages.deploy.replicas import ReplicaSet, Targets, replica_spec
from stages.deploy.rolling import RollingStrategy
from stages.deploy.running_targets import RunningTargets
from stages.deploy.shared_targets import SharedTargets

_DELAY = timedelta(seconds=30)


class ServiceRollout:
    """Puts a release into service, or takes everything out of it."""

    def __init__(self, context: StageContext, engine: Engine, balancer: Balancer) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self.engine = engine
        self.runtime = runtime_on(local_host(engine))
        self.balancer = balancer
        self.strategy: Strategy = RollingStrategy()
        self.secrets = context.configuration.secrets
        self._console = local_console(context.home.id)
        self._declared = context.configuration.pipeline.balancer

    def replicas(self) -> tuple[Replica, ...]:
        """Return the replicas as they are now."""
        return self._replica_set(self._targets(self._declared), self._group()).observe().replicas

    def roll_out(
        self,
        spec: ReleaseSpec,
        release: int,
        replicas: int,
        cancelled: threading.Event | None = None,
        *,
        template: str | None = None,
        unhealthy_timeout: timedelta = timedelta(0),
        restarts: bool = False,
    ) -> None:
        """Make `spec` the only release in service, with `replicas` replicas. Raises what `RolloutExecutor.run` raises.

        `template` keeps replicas of that template, also if a secret has changed since they were started. A replica
        that is found unhealthy is replaced after `unhealthy_timeout`. With `restarts`, all that run now are replaced.
        """
        # Another program may have removed the network.
        self.runtime.prepare(self._pipeline)
        group = spec.service.target_group
        template = template or spec.template(self.secrets)
        moving = self._moving(spec.balancer, group, template)
        if not isinstance(spec.balancer, SharedGroup):
            self.balancer.apply(self._pipeline, spec.balancer)
        targets = moving or self._targets(spec.balancer)
        wanted = replace(
            desired(spec, replicas, self.secrets),
            template=template,
            unhealthy_timeout=unhealthy_timeout,
            deregistration_delay=self._delay(spec.balancer, group),
            zones=targets.zones(self._pipeline, group),
        )
        if moving:
            moving.join(self._pipeline)
        replica_set = self._replica_set(targets, group)
        if restarts:
            replica_set.outdate()
        RolloutExecutor(
            replica_set,
            wanted,
            self.strategy,
            self._context.events,
            spec=self._replica_spec(spec, release, template),
            restart=RestartPolicy(spec.service.restart),
            cancelled=cancelled,
        ).run()
        if moving:
            moving.leave(self._pipeline, partial(_pause, cancelled or threading.Event()))

    def tear_down(self) -> int:
        """Drain and remove every replica, the listeners and the network. Return the number of replicas."""
        group, declared = self._group(), self._declared
        replicas = self._replica_set(self._moving(declared, group, None) or self._targets(declared), group)
        count = len(replicas.observe().replicas)
        delay = self._delay(declared, group)
        wanted = DesiredState("", 0, 0, 0, deregistration_delay=delay, deploy_timeout=timedelta(0))
        RolloutExecutor(replicas, wanted, self.strategy, self._context.events).run()
        if not isinstance(declared, SharedGroup):
            self.balancer.withdraw(self._pipeline)
        store, own = self._context.store, self._context.run
        self.engine.containers.remove_leftovers(
            self._pipeline, lambda: [run.number for run in store.runs.running(self._pipeline) if run.number != own]
        )
        remove_abandoned(self.engine.containers, self._pipeline)
        try:
            self.runtime.clear(self._pipeline)
        except EngineFault as fault:
            # A container of another program may be in it, or Docker still lists one. The replicas are removed.
            self._context.events.emit(EventKind.DOWN_WARNING, f"the network stays: {fault.message}")
        return count

    def _replica_spec(self, spec: ReleaseSpec, release: int, template: str) -> ReplicaSpec:
        return replica_spec(
            spec,
            pipeline=self._pipeline,
            release=release,
            run=self._context.run,
            template=template,
            environment=self.secrets.resolve_all(spec.service.environment),
        )

    def _group(self) -> str:
        """Return the target group that has the targets. pipeline.yaml may have another name for it now."""
        declared = self.balancer.declaration(self._pipeline)
        groups = declared.target_groups if declared else ()
        wanted = self._context.configuration.pipeline.deploy.target_group
        filled = (g for g in groups if self.balancer.target_health(self._pipeline, g))
        return next(filled, next(iter(groups), wanted))

    def replica_set(self, spec: ReleaseSpec) -> ReplicaSet:
        """Return the replicas whose targets are in the target group of a release."""
        return self._replica_set(self._targets(spec.balancer), spec.service.target_group)

    def left_groups(self, spec: ReleaseSpec) -> list[str]:
        """Return the target groups that the service should have left: those that no listener uses any more."""
        if not isinstance(spec.balancer, SharedGroup):
            return []
        own, registry = (spec.balancer.group_owner, spec.service.target_group), self.balancer.registry()
        found = registry.groups_with(self._prefix)
        return [group for owner, group in found if (owner, group) != own and not registry.is_used(owner, group)]

    def _replica_set(self, targets: Targets, group: str) -> ReplicaSet:
        mounts = partial(resolved_mounts, self._context.home.policy(self._pipeline))
        return ReplicaSet(
            self.runtime,
            targets,
            self._pipeline,
            group,
            mounts=mounts,
            save_output=self._save_output,
            on_drain=self._on_drain,
        )

    def _on_drain(self, replica: engine_runtime.Replica) -> None:
        """Send a replica the notice that its own release wants."""
        # A full disk or a lock must not stop the drain.
        with suppress(StoreFault):
            releases = self._context.store.releases.all(self._pipeline)
            spec = next((each.spec for each in releases if each.number == replica.release), None)
            settings = service_settings(spec) if spec else None
            if settings is not None and settings.on_drain is not None:
                DrainNotice(self.engine.containers, self._warn).send(replica, settings.on_drain)

    def _warn(self, text: str) -> None:
        with suppress(StoreFault):
            self._context.events.emit(EventKind.DEPLOYMENT_WARNING, text)

    def _save_output(self, replica: str) -> None:
        """Keep the output of a replica that is about to be removed. A failure does not stop its removal."""
        try:
            stream = self._console.log(replica)
            if stream is not None:
                with closing(stream):
                    ReplicaLogs(self._context.home.replica_logs(self._pipeline)).save(replica, stream.all())
        except (EngineFault, OSError) as error:
            self._warn(f"the output of {replica} is not kept: {error}")

    def _targets(self, declared: Declaration) -> Targets:
        """Return the targets of the service. A group of another owner may have others, which are not its own."""
        if not isinstance(declared, SharedGroup):
            return self.balancer
        if declared.group_owner is None:
            return RunningTargets(self.runtime, self._pipeline)
        return SharedTargets(self.balancer, declared.group_owner, self._prefix)

    def _moving(self, declared: Declaration, group: str, template: str | None) -> MovingTargets | None:
        """Return the targets of a service that has replicas in other groups than the wanted one, or behind none.

        Replicas of `template` have to join the wanted one, whatever they were in.
        """
        if not isinstance(declared, SharedGroup):
            return None
        owner = declared.group_owner
        found = self.balancer.registry().groups_with(self._prefix)
        former = [self._member(*each) for each in found if each != (owner, group)]
        if owner is not None and self._was_behind_none():
            running = RunningTargets(self.runtime, self._pipeline, excluded=template)
            former.append(MemberGroup(running, "", _never, _never, ""))
        if not former:
            return None
        joined = self._member(owner, group) if owner else self._behind_none(group)
        return MovingTargets(joined, former, self._delay(declared, group).total_seconds())

    def _behind_none(self, group: str) -> MemberGroup:
        """Return the replicas that run. Behind no load balancer, they count as soon as they do."""
        return MemberGroup(RunningTargets(self.runtime, self._pipeline), group, _always, _never, "")

    def _member(self, owner: str, group: str) -> MemberGroup:
        targets, registry = SharedTargets(self.balancer, owner, self._prefix), self.balancer.registry
        # A group that was deleted has no targets.
        settings = registry().group(owner, group) if registry().has_group(owner, group) else None
        protocol = f"{settings.protocol} {getattr(settings, 'protocol_version', '')}" if settings else ""
        return MemberGroup(
            targets,
            group,
            gets_traffic=lambda: registry().gets_traffic(owner, group),
            is_used=lambda: registry().is_used(owner, group),
            protocol=protocol,
        )

    def _was_behind_none(self) -> bool:
        """Return whether the active release is behind no load balancer."""
        active = self._context.store.releases.active(self._pipeline)
        known = ReleaseSpec.parse(active.spec).balancer if active else None
        return isinstance(known, SharedGroup) and known.group_owner is None

    @property
    def _prefix(self) -> str:
        return f"{self._pipeline}."

    def _delay(self, declared: Declaration, group: str) -> timedelta:
        """Return the deregistration delay of a group as it is now."""
        owner = declared.group_owner if isinstance(declared, SharedGroup) else self._pipeline
        if owner is None:
            return timedelta(0)
        registry = self.balancer.registry()
        return registry.group(owner, group).deregistration_delay if registry.has_group(owner, group) else _DELAY


def _always() -> bool:
    return True


def _never() -> bool:
    return False


def _pause(cancelled: threading.Event, seconds: float) -> None:
    if cancelled.wait(seconds):
        raise Cancelled("cancelled while deploying")
