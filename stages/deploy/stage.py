"""Puts an image into service as a release, and rolls back to the previous release if that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import (
    Cancelled,
    ConfigError,
    PenstockError,
    RollbackFailed,
    RolledBack,
    StageFailed,
    SystemFault,
)
from pipeline.engine.hosts import local_engine
from pipeline.event_kinds import EventKind
from pipeline.store.records import Deployment, DeploymentState, Release
from stages.deploy.drift import ServiceDrift
from stages.deploy.image_retention import prune
from stages.deploy.release_command import run_release_command
from stages.deploy.rolling import DesiredState, Replica
from stages.deploy.service_rollout import ServiceRollout
from stages.deploy.simulation import simulate
from stages.deploy.spec import ReleaseSpec


class DockerDeploy:
    """Puts the run's image into service."""

    def preflight(self, context: StageContext) -> None:
        """Raise now what would stop a deployment later."""
        configuration = context.configuration.pipeline
        with _service(context) as service:
            active = context.store.releases.active(configuration.name)
            former = ReleaseSpec.model_validate_json(active.spec) if active else None
            if former and former.deploy.target_group != configuration.deploy.target_group:
                raise ConfigError(
                    f"deploy.target_group was {former.deploy.target_group} and is {configuration.deploy.target_group} "
                    "now: targets cannot change their group while they serve",
                    hint="keep the name, or run `pipeline down` first",
                )
            service.balancer.check(configuration.name, configuration.balancer)

    def is_current(self, context: StageContext) -> bool:
        """Return whether the active release has the current configuration."""
        wanted = context.configuration.pipeline
        active = context.store.releases.active(wanted.name)
        spec = ReleaseSpec.model_validate_json(active.spec) if active else None
        return spec is not None and (spec.deploy, spec.balancer) == (wanted.deploy, wanted.balancer)

    def plan(self, context: StageContext, revision: Revision, image: Image | None) -> list[str]:
        """Return the steps of the rollout and its limits."""
        self.preflight(context)
        spec, pipeline = _spec(context, revision, image or Image("", "")), context.configuration.pipeline
        secrets = context.configuration.secrets
        with _service(context) as service:
            dead = service.balancer.pid() is None
            seen = service.replicas()
            # A deployment starts it first; then what was healthy is so again.
            plan = simulate(tuple(map(_revived, seen)) if dead else seen, spec.desired(secrets))
            same = service.balancer.declares(pipeline.name, pipeline.balancer)
        min_healthy = spec.desired(secrets).min_healthy
        if same and not plan.steps:
            return ["nothing to do: what is wanted serves already"]
        return [
            *([] if same else ["reload the balancer: its target groups or listeners change"]),
            *plan.steps,
            f"healthy targets: never below {min(min_healthy, plan.lowest_healthy)} because of the rollout; "
            f"containers: at most {plan.most_running}",
        ]

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> Release:
        """Roll out, or roll back and raise."""
        store, pipeline = context.store, context.configuration.pipeline.name
        spec, active = _spec(context, revision, image), store.releases.active(pipeline)
        if active and ReleaseSpec.model_validate_json(active.spec) == spec:
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
        self._deploy(context, release, active)
        return release

    def rollback(self, context: StageContext, release: Release) -> None:
        """Roll back to an earlier release, with the steps and limits of a deployment."""
        with _service(context) as service:
            if service.engine.images.id(release.image_id) is None:
                raise ConfigError(
                    f"the image of release {release.number} is gone",
                    hint="deploy.retain keeps the latest, and `pipeline down` none; run its commit again: "
                    f"pipeline run {release.sha[:7]}",
                )
        pipeline = context.configuration.pipeline.name
        context.store.runs.set_release(pipeline, context.run, release.number)
        self._deploy(context, release, context.store.releases.active(pipeline))

    def down(self, context: StageContext) -> None:
        """Drain and remove every replica of the pipeline, and remove its images."""
        store, pipeline = context.store, context.configuration.pipeline.name
        active = store.releases.active(pipeline)
        open_balancer(context.home.balancer).check_deletion_protection(pipeline)
        deployment = store.deployments.begin(pipeline, context.run, active.number if active else None, None)
        with _service(context) as service:
            count = service.tear_down()
            store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
            prune(context, service.engine, keep=0)
        containers = "1 container" if count == 1 else f"{count} containers"
        context.report(f"{containers} drained and removed" if count else "nothing was running")

    def recover(self, context: StageContext, deployment: Deployment) -> str:
        """Finish a `down`, or put the last good release back."""
        store, pipeline = context.store, context.configuration.pipeline.name
        active = store.releases.active(pipeline)
        with _service(context) as service:
            if deployment.to_release is None:
                service.tear_down()
                store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
                prune(context, service.engine, keep=0)
                return "what it was taking down is down"
            if active is None:
                service.tear_down()
                store.deployments.finish(deployment, DeploymentState.INTERRUPTED)
                return "nothing had been in service before, and nothing is left of it"
            service.roll_out(ReleaseSpec.model_validate_json(active.spec), active.number)
            store.deployments.finish(deployment, DeploymentState.INTERRUPTED)
        return f"release {active.number} serves"

    def drift(self, context: StageContext) -> ServiceDrift:
        """Return what finds and repairs differences from the active release."""
        return ServiceDrift(context)

    def _deploy(self, context: StageContext, release: Release, active: Release | None) -> None:
        """Move from one release to another. On every way out, the deployment's row says how it ended."""
        store, events = context.store, context.events
        former = active.number if active else None
        deployment = store.deployments.begin(release.pipeline, context.run, former, release.number)
        spec = ReleaseSpec.model_validate_json(release.spec)
        with _service(context) as service:
            events.emit(EventKind.DEPLOYMENT_STARTED, _announcement(release, active, spec.desired(service.secrets)))
            self._run_release_command(context, service, deployment, release, active)
            try:
                service.roll_out(spec, release.number, cancelled=context.cancelled)
            except PenstockError as failure:
                events.emit(EventKind.DEPLOYMENT_FAILED, f"release {release.number}: {failure.message}")
                for line in failure.tail:
                    context.log.line("deploy", line)
                self._roll_back(context, service, deployment, active, failure)
            store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
            prune(context, service.engine, keep=spec.deploy.retain)
        replicas = "1 target" if spec.deploy.replicas == 1 else f"{spec.deploy.replicas} targets"
        context.report(f"release {release.number} serves with {replicas} at {', '.join(_addresses(spec))}")

    def _run_release_command(
        self,
        context: StageContext,
        service: ServiceRollout,
        deployment: Deployment,
        release: Release,
        active: Release | None,
    ) -> None:
        """Run the release command. No replica of the release runs yet, so a failure leaves the active release alone."""
        try:
            run_release_command(context, service.engine, release, ReleaseSpec.model_validate_json(release.spec))
        except PenstockError as failure:
            context.events.emit(EventKind.DEPLOYMENT_FAILED, f"release {release.number}: {failure.message}")
            if active is None:
                self._roll_back(context, service, deployment, active, failure)
            context.store.deployments.finish(deployment, DeploymentState.FAILED, failure.message)
            failure.message += f"; release {active.number} serves on" if active else ""
            raise

    def _roll_back(
        self,
        context: StageContext,
        service: ServiceRollout,
        deployment: Deployment,
        active: Release | None,
        failure: PenstockError,
    ) -> None:
        """Put the previous release back and raise the resulting error.

        If that fails after a system fault, the deployment stays open, and the next command continues it.
        """
        if active is not None and active.number == deployment.to_release:
            context.store.deployments.finish(deployment, DeploymentState.FAILED, failure.message)
            raise failure
        try:
            if active is None:
                service.tear_down()
            else:
                context.events.emit(EventKind.ROLLBACK_STARTED, f"rolling back to release {active.number}")
                service.roll_out(ReleaseSpec.model_validate_json(active.spec), active.number)
        except PenstockError as second:
            if isinstance(failure, SystemFault):
                failure.hint = f"{failure.hint or 'see to it'}; the next command puts the last good release back"
                raise failure from second
            context.store.deployments.finish(deployment, DeploymentState.FAILED, second.message)
            raise RollbackFailed(
                f"{failure.message}; and going back failed too: {second.message}",
                hint="`pipeline status` shows what serves; it is not tried again by itself",
                tail=failure.tail,
            ) from second
        context.store.deployments.finish(deployment, DeploymentState.ROLLED_BACK, failure.message)
        raise _outcome(failure, active)


def _spec(context: StageContext, revision: Revision, image: Image) -> ReleaseSpec:
    return ReleaseSpec.of(
        context.configuration,
        image_id=image.id,
        image_tag=image.tag,
        sha=revision.sha,
        subject=revision.subject,
    )


def _outcome(failure: PenstockError, active: Release | None) -> PenstockError:
    """Return the error of a failed deployment after which the previous release has been put back."""
    if isinstance(failure, SystemFault):
        failure.message += f"; {_after(active)}"
        return failure
    if isinstance(failure, Cancelled):
        return Cancelled(f"cancelled; {_after(active)}")
    kind = StageFailed if active is None else RolledBack
    return kind(f"{failure.message}; {_after(active)}", hint=failure.hint, tail=failure.tail)


def _revived(replica: Replica) -> Replica:
    sick = replica.target is TargetState.UNHEALTHY
    return replace(replica, target=TargetState.HEALTHY, not_healthy_for=timedelta(0)) if sick else replica


@contextmanager
def _service(context: StageContext) -> Iterator[ServiceRollout]:
    with local_engine(context.home.id) as engine:
        yield ServiceRollout(context, engine, open_balancer(context.home.balancer))


def _addresses(spec: ReleaseSpec) -> Iterator[str]:
    """Yield the addresses at which clients reach the deployed target group."""
    for _, _, listener in spec.balancer.listeners():
        if spec.deploy.target_group in listener.groups():
            yield listener.url


def _after(active: Release | None) -> str:
    return f"release {active.number} serves again" if active else "it was the first release, and nothing is left of it"


def _announcement(release: Release, active: Release | None, desired: DesiredState) -> str:
    origin = f"from release {active.number} " if active and active.number != release.number else ""
    return (
        f"{origin}to release {release.number}: {desired.replicas} wanted, never fewer than "
        f"{desired.min_healthy} healthy because of us, at most {desired.max_running} running"
    )
