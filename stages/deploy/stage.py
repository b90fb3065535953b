"""Puts an image into service as a release, and rolls back to the previous release if that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.model import SharedGroup, Undeclared
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import ConfigError, SystemFault
from pipeline.config.release import ReleaseSpec, ServiceImage
from pipeline.config.run_variables import RunVariables
from pipeline.engine.cluster import RuntimeName
from pipeline.engine.hosts import local_engine
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store import records
from pipeline.store.records import Release
from stages.deploy.accessories import (
    are_current,
    plan_accessories,
    remove_accessories,
    unused_data,
)
from stages.deploy.alternate_group import with_coming_alternates
from stages.deploy.deployment import Deployment
from stages.deploy.desired import (
    active_replicas,
    declared_policies,
    declared_replicas,
    lasting_replicas,
    tested_replicas,
    wanted_replicas,
)
from stages.deploy.engine_needs import check_engine, check_engines
from stages.deploy.held_deployment import continued_release, held_steps, undo_first
from stages.deploy.image_retention import prune
from stages.deploy.open_rollout import declared_cluster, open_rollout, planned_cluster
from stages.deploy.plan import plan_release
from stages.deploy.release_checks import (
    active_release,
    check_groups,
    check_limits,
    check_rollback,
    check_service,
    check_shared,
)
from stages.deploy.release_deployment import ReleaseDeployment
from stages.deploy.release_drift import ReleaseDrift
from stages.deploy.scaling_bounds import check_bounds
from stages.deploy.service_images import found_images, names_of, pulled_images
from stages.deploy.summary import reached, strategies, taken_down

# Of a deployment that is no new release.
_ROLLING = "rolling"


class DockerDeploy:
    """Puts the run's image into service."""

    def preflight(self, context: StageContext) -> None:
        """Raise the errors that would stop a deployment later."""
        configuration = context.configuration.pipeline
        with open_rollout(context, planned_cluster(context)) as rollout:
            wanted = configuration.deploy.all_services()
            check_groups(context, wanted)
            if isinstance(configuration.balancer, SharedGroup):
                check_shared(configuration.balancer, rollout.balancer)
            elif not isinstance(configuration.balancer, Undeclared):
                # The ports of test traffic may be in use, and another client's rule may use a group that is divided.
                rollout.balancer.check(configuration.name, with_coming_alternates(configuration.balancer, wanted))
            for name, settings in wanted.items():
                section = f"deploy.services.{name}" if configuration.deploy.services else "deploy"
                check_engines(section, settings, configuration.name, rollout)
            for name, accessory in configuration.accessories.items():
                check_engine(f"accessories.{name}", accessory, configuration.name, rollout.engine)

    def is_current(self, context: StageContext) -> bool:
        """Return whether the active release has the current configuration."""
        wanted = context.configuration.pipeline
        if context.store.deployments.open(wanted.name) is not None:
            # A deployment that was interrupted moves away from the active release. A run continues or undoes it.
            return False
        if not context.store.clusters.settled(wanted.name).is_declared_by(wanted.deploy.cluster):
            return False
        active, replicas = context.store.releases.active(wanted.name), declared_replicas(context)
        if active is None or tested_replicas(context, replicas) != replicas or not are_current(context):
            return False
        if context.store.scaling.policies(wanted.name) != declared_policies(context):
            return False
        spec = ReleaseSpec.parse(active.spec)
        if names_of(spec.images) != wanted.deploy.images():
            return False
        configured = ReleaseSpec.of(
            context.configuration,
            image_id=spec.image_id,
            image_tag=spec.image_tag,
            sha=spec.sha,
            subject=spec.subject,
            images=spec.images,
        )
        # The values of a run's variables are those of another run, and differ in each.
        return configured.with_values_of(spec).as_stored(active.spec) == spec

    def plan(self, context: StageContext, revision: Revision, image: Image | None) -> list[str]:
        """Return the steps of the rollout and its limits."""
        name = context.configuration.pipeline.name
        # Nothing is done about what it notices, such as a lost host.
        context = replace(context, events=Events(name))
        self.preflight(context)
        active = context.store.releases.active(name)
        with open_rollout(context, planned_cluster(context)) as rollout:
            spec = _spec(context, revision, image or Image("", ""), found_images(context, rollout.engine))
            is_new = active is None or ReleaseSpec.parse(active.spec) != spec
            held = held_steps(context, spec)
            return [*held, *plan_accessories(context), *plan_release(context, rollout, spec, is_new=is_new)]

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> Release:
        """Roll out. If that fails, roll back and raise the error."""
        store, pipeline = context.store, context.configuration.pipeline.name
        spec, active = _spec(context, revision, image, _pulled_images(context, image)), store.releases.active(pipeline)
        if held := continued_release(context, spec):
            self._continue(context, held, active)
            return store.releases.active(pipeline) or held
        self._undo_held(context)
        if active and ReleaseSpec.parse(active.spec) == _numbered(spec, active.number):
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
                spec=lambda number: _numbered(spec, number).model_dump_json(),
            )
        replicas, declared, scaling = declared_replicas(context), _declared(context, active), declared_policies(context)
        deployment = Deployment.begin(
            context,
            active,
            release,
            replicas,
            declared,
            scaling=scaling,
            strategy=strategies(spec),
            cluster=declared_cluster(context),
        )
        self._deploy(ReleaseDeployment(deployment, release, active, replicas, is_new=True))
        return store.releases.active(pipeline) or release

    def _continue(self, context: StageContext, held: Release, active: Release | None) -> None:
        """Continue an interrupted deployment of this release in the step in which its process died."""
        row, replicas = context.store.deployments.open(held.pipeline), declared_replicas(context)
        assert row is not None
        context.store.runs.set_release(held.pipeline, context.run, held.number)
        declared, scaling = _declared(context, active), declared_policies(context)
        cluster = declared_cluster(context)
        deployment = Deployment.adopt(context, row, replicas, declared, scaling=scaling, cluster=cluster)
        self._deploy(ReleaseDeployment(deployment, held, active, replicas, is_new=True))

    def rollback(self, context: StageContext, release: Release) -> None:
        """Roll back to an earlier release. Its replicas replace the present ones, and keep their number."""
        replicas = tested_replicas(context, ReleaseSpec.parse(release.spec).replicated)
        with open_rollout(context) as rollout:
            check_rollback(context, release, replicas, rollout)
        pipeline = context.configuration.pipeline.name
        context.store.runs.set_release(pipeline, context.run, release.number)
        self._undo_held(context)
        active = context.store.releases.active(pipeline)
        deployment = Deployment.begin(context, active, release, replicas, strategy=_ROLLING)
        self._deploy(ReleaseDeployment(deployment, release, active, replicas))

    def plan_rollback(self, context: StageContext, release: Release) -> list[str]:
        """Return the steps of a rollback and its limits."""
        spec = ReleaseSpec.parse(release.spec)
        # Nothing is done about what it notices, such as a lost host.
        context = replace(context, events=Events(context.configuration.pipeline.name))
        replicas = tested_replicas(context, spec.replicated)
        with open_rollout(context) as rollout:
            check_rollback(context, release, replicas, rollout)
            steps = plan_release(context, rollout, spec, is_new=False, kept=replicas)
            return [*held_steps(context, spec), *steps]

    def scale(self, context: StageContext, service: str, replicas: int) -> None:
        """Change the number of replicas of a service of the active release, until pipeline.yaml changes it."""
        release = active_release(context)
        check_service(release, service)
        spec = ReleaseSpec.parse(release.spec)
        check_limits(release, {service: spec.services[service]}, {service: replicas})
        check_bounds(context, service, replicas)
        self._undo_held(context)
        wanted = {**wanted_replicas(context, spec.replicated), service: replicas}
        declared = {service: lasting_replicas(context).get(service)}
        deployment = Deployment.begin(context, release, release, wanted, declared, strategy=_ROLLING)
        self._deploy(ReleaseDeployment(deployment, release, release, wanted))

    def restart(self, context: StageContext, service: str | None) -> None:
        """Replace the replicas of a service of the active release, or of all, by the steps of a deployment."""
        release = active_release(context)
        if service is not None:
            check_service(release, service)
        services = ReleaseSpec.parse(release.spec).replicated
        restarts = services if service is None else (service,)
        self._undo_held(context)
        wanted = wanted_replicas(context, services)
        deployment = Deployment.begin(context, release, release, wanted, restarts=restarts, strategy=_ROLLING)
        self._deploy(ReleaseDeployment(deployment, release, release, wanted, restarts=restarts))

    def drain(self, context: StageContext, host: str) -> None:
        """Let a host take no replicas, and replace those on it by the steps of a deployment."""
        pipeline, release = context.configuration.pipeline.name, active_release(context)
        cluster = context.store.clusters.of(pipeline)
        in_swarm = cluster.runtime is RuntimeName.SWARM
        if not in_swarm and (cluster.host(host) is None or not {*cluster.taking} - {host}):
            raise ConfigError(f"{host} cannot be drained: no other host takes replicas", hint="`pipeline node list`")
        self._undo_held(context)
        if context.store.clusters.drain(pipeline, host):
            context.events.emit_action(EventKind.HOST_DRAINED, f"host {host} takes no replicas", host=host)
        wanted = wanted_replicas(context, ReleaseSpec.parse(release.spec).replicated)
        deployment = Deployment.begin(context, release, release, wanted, strategy=_ROLLING)
        self._deploy(ReleaseDeployment(deployment, release, release, wanted))
        if in_swarm:
            with open_rollout(context) as rollout:
                rollout.hosts.close_node(host)

    def down(self, context: StageContext) -> None:
        """Drain and remove every replica of the pipeline, and remove its images.

        Raises `LockHeld` and changes nothing while a backup or a restore of an accessory is in progress.
        """
        pipeline = context.configuration.pipeline.name
        active, balancer = context.store.releases.active(pipeline), open_balancer(context.home.balancer)
        balancer.check_deletion_protection(pipeline)
        self._undo_held(context)
        for waiting in balancer.waiting_after(pipeline, None):
            context.events.emit(EventKind.DOWN_WARNING, f"after this, {waiting}")
        with unused_data(context), Deployment.begin(context, active, None) as deployment:
            try:
                count, accessories = _take_down(context, deployment)
            except SystemFault as fault:
                deployment.leave_open(fault)
        context.report(taken_down(count, accessories))

    def recover(self, context: StageContext, deployment: records.Deployment) -> str:
        """Complete an interrupted `down`, or restore the last good release."""
        with Deployment.resume(context, deployment) as resumed:
            try:
                if deployment.to_release is None:
                    with unused_data(context):
                        _take_down(context, resumed)
                    return "the interrupted `pipeline down` is complete"
                return _undo(context, resumed)
            except SystemFault as fault:
                resumed.leave_open(fault)

    def _undo_held(self, context: StageContext) -> None:
        undo_first(context, partial(self.recover, context))

    def drift(self, context: StageContext) -> ReleaseDrift:
        """Return what finds and repairs differences from the active release."""
        return ReleaseDrift(context)

    def _deploy(self, move: ReleaseDeployment) -> None:
        context, spec = move.deployment.context, move.spec
        cluster = context.store.clusters.of_deployment(context.configuration.pipeline.name)
        with move.deployment, open_rollout(context, cluster) as rollout:
            move.run(rollout)
            # Before the first release, there was nothing on the machine that it has not been deployed to.
            rollout.hosts.forget(is_told=move.active is not None)
            prune(context, rollout.engine, keep=spec.settings.retain, hosts=rollout.hosts.engines)
            waiting = rollout.balancer.waiting_listeners(context.configuration.pipeline.name)
        text = reached(spec, move.replicas, {found.port for found in waiting})
        context.report(f"release {move.release.number} is active with {text}")


def _take_down(context: StageContext, deployment: Deployment) -> tuple[int, list[str]]:
    """Remove every replica, then the accessories. Return the number of replicas, and the accessories."""
    with open_rollout(context) as rollout:
        count = rollout.tear_down()
        if accessories := remove_accessories(context, rollout.engine):
            rollout.clear()
        deployment.succeed()
        rollout.hosts.forget(is_told=False)
        prune(context, rollout.engine, keep=0, hosts=rollout.hosts.engines)
    return count, accessories


def _undo(context: StageContext, deployment: Deployment) -> str:
    """Replace an interrupted release by the last good one."""
    active = context.store.releases.active(context.configuration.pipeline.name)
    deployment.return_traffic(open_balancer(context.home.balancer))
    deployment.undo()
    with open_rollout(context) as rollout:
        if active is None:
            rollout.tear_down()
            deployment.interrupt()
            return "no release was active before, and the interrupted one was removed"
        rollout.roll_out(ReleaseSpec.parse(active.spec), active.number, active_replicas(context, active))
        deployment.interrupt()
    return f"release {active.number} is active"


def _declared(context: StageContext, active: Release | None) -> dict[str, int | None]:
    """Return the number of each service in pipeline.yaml. One that is taken out does not get its number back."""
    return {**dict.fromkeys(active_replicas(context, active)), **lasting_replicas(context)}


def _pulled_images(context: StageContext, image: Image) -> dict[str, ServiceImage]:
    if not context.configuration.pipeline.deploy.images():
        return {}
    with local_engine(context.home.id) as engine:
        return pulled_images(context, engine, image)


def _numbered(spec: ReleaseSpec, number: int) -> ReleaseSpec:
    """Return a release with its number where its variables have it."""
    return spec.with_variables(RunVariables(release=number))


def _spec(context: StageContext, revision: Revision, image: Image, images: Mapping[str, ServiceImage]) -> ReleaseSpec:
    spec = ReleaseSpec.of(
        context.configuration,
        image_id=image.id,
        image_tag=image.tag,
        sha=revision.sha,
        subject=revision.subject,
        images=images,
    )
    spec = spec.with_variables(RunVariables(revision.sha, revision.short, revision.ref, context.run or None))
    active = context.store.releases.active(context.configuration.pipeline.name)
    return spec.as_stored(active.spec) if active else spec
