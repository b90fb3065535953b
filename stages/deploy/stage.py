"""Puts an image into service as a release, and rolls back to the previous release if that fails."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import SharedGroup, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import ConfigError, PenstockError, SystemFault
from pipeline.config.models import Pipeline
from pipeline.config.release import ReleaseSpec, Services
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.event_kinds import EventKind
from pipeline.store import records
from pipeline.store.records import Release
from stages.deploy.decision import DesiredState, Observation, Replica
from stages.deploy.deployment import Deployment
from stages.deploy.desired import declared_replicas, desired, wanted_replicas
from stages.deploy.drift import ServiceDrift
from stages.deploy.image_retention import prune
from stages.deploy.release_command import run_release_command
from stages.deploy.service_rollout import ServiceRollout
from stages.deploy.simulation import RolloutPlan, simulate


class DockerDeploy:
    """Puts the run's image into service."""

    def preflight(self, context: StageContext) -> None:
        """Raise the errors that would stop a deployment later."""
        configuration = context.configuration.pipeline
        with _service(context) as service:
            active = context.store.releases.active(configuration.name)
            if active:
                _check_same_group(ReleaseSpec.parse(active.spec), configuration)
            if isinstance(configuration.balancer, SharedGroup):
                _check_shared(configuration.balancer, configuration.deploy.target_group, service.balancer)
            else:
                service.balancer.check(configuration.name, configuration.balancer)
            _check_cpus(configuration.deploy.cpus, service.engine)

    def is_current(self, context: StageContext) -> bool:
        """Return whether the active release has the current configuration."""
        wanted = context.configuration.pipeline
        active = context.store.releases.active(wanted.name)
        if active is None or wanted_replicas(context) != declared_replicas(context):
            return False
        spec = ReleaseSpec.parse(active.spec)
        configured = spec.model_copy(
            update={"services": Services(web=wanted.deploy.settings), "balancer": wanted.balancer}
        )
        return configured.as_stored(active.spec) == spec

    def plan(self, context: StageContext, revision: Revision, image: Image | None) -> list[str]:
        """Return the steps of the rollout and its limits."""
        self.preflight(context)
        spec, pipeline = _spec(context, revision, image or Image("", "")), context.configuration.pipeline
        wanted = desired(spec, declared_replicas(context), context.configuration.secrets)
        with _service(context) as service:
            dead = service.balancer.pid() is None
            seen = service.replicas()
            # A deployment starts HAProxy first. Targets that were healthy then become healthy again.
            now = Observation(tuple(map(_revived, seen)) if dead else seen)
            zones = pipeline.balancer.zones_of(pipeline.deploy.target_group)
            plan = simulate(now, replace(wanted, zones=zones), service.strategy)
            same = service.balancer.declares(pipeline.name, pipeline.balancer)
            waiting = [str(found) for found in service.balancer.waiting_after(pipeline.name, pipeline.balancer)]
            choices = service.balancer.plane_choices(pipeline.name, pipeline.balancer)
        carried = [f"{each.listener.url} is {choice}" for each, choice in choices if each.owner == pipeline.name]
        before = _planned_command(context, spec)
        change = "start the balancer" if dead else "reload the balancer: its target groups or listeners change"
        if same and not plan.steps:
            return [*before, "nothing to do: the wanted release is already active", *waiting]
        return [
            *before,
            *([] if same else [change]),
            *plan.steps,
            _limits(now, wanted, plan),
            *carried,
            *waiting,
        ]

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> Release:
        """Roll out. If that fails, roll back and raise the error."""
        store, pipeline = context.store, context.configuration.pipeline.name
        spec, active = _spec(context, revision, image), store.releases.active(pipeline)
        if active and ReleaseSpec.parse(active.spec) == spec:
            release = active
            store.runs.set_release(pipeline, context.run, release.number)
        else:
            release = store.releases.create(
                pipeline,
                context.run,
                sha=spec.sha,
                subject=spec.subject,
                image_id=spec.image_id,
                image_tag=spec.image_tag,
                spec=spec.model_dump_json(),
            )
        declared = context.configuration.pipeline.deploy.replicas
        self._deploy(context, release, active, declared_replicas(context), declared)
        return store.releases.active(pipeline) or release

    def rollback(self, context: StageContext, release: Release) -> None:
        """Roll back to an earlier release, with the steps and limits of a deployment. Keeps the number of replicas."""
        replicas = wanted_replicas(context)
        _check_limits(release, replicas)
        with _service(context) as service:
            if service.engine.images.id(release.image_id) is None:
                raise ConfigError(
                    f"the image of release {release.number} is gone",
                    hint="deploy.retain keeps the latest, and `pipeline down` none; run its commit again: "
                    f"pipeline run {release.sha[:7]}",
                )
        pipeline = context.configuration.pipeline.name
        context.store.runs.set_release(pipeline, context.run, release.number)
        self._deploy(context, release, context.store.releases.active(pipeline), replicas)

    def scale(self, context: StageContext, service: str, replicas: int) -> None:
        """Change the number of replicas of the active release, until pipeline.yaml changes it."""
        release = _active_release(context, service)
        _check_limits(release, replicas)
        self._deploy(context, release, release, replicas, context.configuration.pipeline.deploy.replicas)

    def restart(self, context: StageContext, service: str) -> None:
        """Replace the replicas of the active release by new ones, with the steps and limits of a deployment."""
        release = _active_release(context, service)
        self._deploy(context, release, release, wanted_replicas(context), restarts=True)

    def down(self, context: StageContext) -> None:
        """Drain and remove every replica of the pipeline, and remove its images."""
        pipeline = context.configuration.pipeline.name
        active, balancer = context.store.releases.active(pipeline), open_balancer(context.home.balancer)
        balancer.check_deletion_protection(pipeline)
        for waiting in balancer.waiting_after(pipeline, None):
            context.events.emit(EventKind.DOWN_WARNING, f"after this, {waiting}")
        with Deployment.begin(context, active, None) as deployment:
            try:
                count = _take_down(context, deployment)
            except SystemFault as fault:
                deployment.leave_open(fault)
        containers = "1 container" if count == 1 else f"{count} containers"
        context.report(f"{containers} drained and removed" if count else "nothing was running")

    def recover(self, context: StageContext, deployment: records.Deployment) -> str:
        """Complete an interrupted `down`, or restore the last good release."""
        with Deployment.resume(context, deployment) as resumed:
            try:
                if deployment.to_release is None:
                    _take_down(context, resumed)
                    return "the interrupted `pipeline down` is complete"
                return _undo(context, resumed)
            except SystemFault as fault:
                resumed.leave_open(fault)

    def drift(self, context: StageContext) -> ServiceDrift:
        """Return what finds and repairs differences from the active release."""
        return ServiceDrift(context)

    def _deploy(
        self,
        context: StageContext,
        release: Release,
        active: Release | None,
        replicas: int,
        declared: int | None = None,
        *,
        restarts: bool = False,
    ) -> None:
        """Move from the active release to another, to another number of replicas, or to new replicas of it."""
        spec = ReleaseSpec.parse(release.spec)
        with (
            Deployment.begin(context, active, release, replicas, declared, restarts=restarts) as deployment,
            _service(context) as service,
        ):
            text = _announcement(release, active, desired(spec, replicas, service.secrets))
            context.events.emit(EventKind.DEPLOYMENT_STARTED, text)
            for waiting in service.balancer.waiting_after(context.configuration.pipeline.name, spec.balancer):
                context.events.emit(EventKind.DEPLOYMENT_WARNING, str(waiting))
            try:
                run_release_command(context, service.engine, release, spec)
            except PenstockError as failure:
                _report_failure(context, release, failure)
                if active is not None:
                    deployment.fail(failure)
                deployment.roll_back(failure, service)
            try:
                service.roll_out(spec, release.number, replicas, cancelled=context.cancelled, restarts=restarts)
            except PenstockError as failure:
                _report_failure(context, release, failure)
                for line in failure.tail:
                    context.log.line("deploy", line)
                deployment.roll_back(failure, service)
            deployment.succeed()
            prune(context, service.engine, keep=spec.service.retain)
            waiting_ports = {
                found.port for found in service.balancer.waiting_listeners(context.configuration.pipeline.name)
            }
        targets = "1 target" if replicas == 1 else f"{replicas} targets"
        context.report(f"release {release.number} is active with {targets} {_reached(spec, waiting_ports)}")


def _planned_command(context: StageContext, spec: ReleaseSpec) -> list[str]:
    """Return the step of the release command. It runs once for each new release."""
    command, active = spec.service.release_command, context.store.releases.active(context.configuration.pipeline.name)
    if command is None or (active and ReleaseSpec.parse(active.spec) == spec):
        return []
    return [f"run the release command in the new image: {' '.join(command.command)}"]


def _take_down(context: StageContext, deployment: Deployment) -> int:
    """Remove every replica, and return their number."""
    with _service(context) as service:
        count = service.tear_down()
        deployment.succeed()
        prune(context, service.engine, keep=0)
    return count


def _undo(context: StageContext, deployment: Deployment) -> str:
    """Replace an interrupted release by the last good one."""
    active = context.store.releases.active(context.configuration.pipeline.name)
    with _service(context) as service:
        if active is None:
            service.tear_down()
            deployment.interrupt()
            return "no release was active before, and the interrupted one was removed"
        service.roll_out(ReleaseSpec.parse(active.spec), active.number, wanted_replicas(context))
        deployment.interrupt()
    return f"release {active.number} is active"


def _check_same_group(active: ReleaseSpec, wanted: Pipeline) -> None:
    """Refuse another target group of the pipeline's own. A service moves between groups of another owner."""
    current = active.service.target_group
    may_move = isinstance(active.balancer, SharedGroup) and isinstance(wanted.balancer, SharedGroup)
    if current != wanted.deploy.target_group and not may_move:
        raise ConfigError(
            f"deploy.target_group was {current} and is {wanted.deploy.target_group} now: targets cannot change their "
            "group while they receive traffic",
            hint="keep the name, or run `pipeline down` first",
        )


def _active_release(context: StageContext, service: str) -> Release:
    """Return the active release. Raises `ConfigError` if there is none, or if it has no such service."""
    active = context.store.releases.active(context.configuration.pipeline.name)
    if active is None:
        raise ConfigError("no release is active", hint="`pipeline run` deploys one")
    if service != DEFAULT_SERVICE:
        raise ConfigError(f"release {active.number} has no service {service}", hint=f"its service is {DEFAULT_SERVICE}")
    return active


def _check_limits(release: Release, replicas: int) -> None:
    """Refuse a release whose limits are 0 for this number of replicas. They were checked for another number."""
    rolling = ReleaseSpec.parse(release.spec).service.rolling
    if not any(rolling.limits(replicas)):
        raise ConfigError(
            f"release {release.number} cannot be rolled out to {replicas} replicas: its max_surge {rolling.max_surge} "
            f"and max_unavailable {rolling.max_unavailable} of {replicas} are both 0",
            hint="change deploy.replicas and deploy that first: a rollback keeps the number of replicas",
        )


def _check_cpus(wanted: float | None, engine: Engine) -> None:
    """Refuse a limit that Docker refuses when it creates the first container, after the build."""
    if wanted and wanted > (available := engine.cpus):
        raise ConfigError(
            f"deploy.cpus: {wanted:g} is more than the {available} CPUs of Docker's machine",
            hint="lower it, or remove it to have no limit",
        )


def _report_failure(context: StageContext, release: Release, failure: PenstockError) -> None:
    context.events.emit(EventKind.DEPLOYMENT_FAILED, f"release {release.number}: {failure.message}")


def _spec(context: StageContext, revision: Revision, image: Image) -> ReleaseSpec:
    spec = ReleaseSpec.of(
        context.configuration,
        image_id=image.id,
        image_tag=image.tag,
        sha=revision.sha,
        subject=revision.subject,
    )
    active = context.store.releases.active(context.configuration.pipeline.name)
    return spec.as_stored(active.spec) if active else spec


def _revived(replica: Replica) -> Replica:
    sick = replica.target is TargetState.UNHEALTHY
    return replace(replica, target=TargetState.HEALTHY, not_healthy_for=timedelta(0)) if sick else replica


@contextmanager
def _service(context: StageContext) -> Iterator[ServiceRollout]:
    with local_engine(context.home.id) as engine:
        yield ServiceRollout(context, engine, open_balancer(context.home.balancer))


def _check_shared(shared: SharedGroup, group: str, balancer: Balancer) -> None:
    """Refuse a group of another owner that is gone, or in which no target would get a health check."""
    owner = shared.group_owner
    if owner is not None and not balancer.registry().uses(owner, group):
        raise ConfigError(f"no listener forwards to target group {group} of {owner}")


def _reached(spec: ReleaseSpec, waiting: Collection[int]) -> str:
    """Return where clients reach the deployed targets, as the end of a sentence."""
    if isinstance(spec.balancer, SharedGroup):
        owner = spec.balancer.group_owner
        return f"in target group {spec.service.target_group} of {owner}" if owner else "behind no load balancer"
    addresses = ", ".join(_addresses(spec, waiting))
    return f"at {addresses}" if addresses else "and receives no requests: no pipeline owns the ports of its rules"


def _addresses(spec: ReleaseSpec, waiting: Collection[int]) -> Iterator[str]:
    """Yield the addresses at which clients reach the deployed target group, without those of the ports in `waiting`."""
    for _, balancer, listener in spec.balancer.listeners():
        if spec.service.target_group in listener.groups() and listener.port not in waiting:
            yield from balancer.urls(listener)


def _announcement(release: Release, active: Release | None, wanted: DesiredState) -> str:
    origin = f"from release {active.number} " if active and active.number != release.number else ""
    # Before the first release, there is nothing to keep.
    kept = f"never lowered below {wanted.min_healthy} healthy, " if active else ""
    return f"{origin}to release {release.number}: {wanted.replicas} wanted, {kept}at most {wanted.max_running} running"


def _limits(now: Observation, wanted: DesiredState, plan: RolloutPlan) -> str:
    """Return the lowest number of healthy targets during the rollout, and the highest number of containers."""
    kept = f"the rollout keeps at least {min(wanted.min_healthy, plan.lowest_healthy)}"
    healthy = kept if any(replica.healthy for replica in now.replicas) else "none before the rollout"
    return f"healthy targets: {healthy}; containers: at most {plan.most_running}"
