"""What refuses a deployment before it changes anything: a service, a group or a number that cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import SharedGroup
from pipeline.base.errors import ConfigError
from pipeline.config.release import ReleaseSpec
from pipeline.config.service import ServiceSettings
from pipeline.store.records import Release
from stages.deploy.engine_needs import check_engines, check_hosts
from stages.deploy.release_rollout import ReleaseRollout
from stages.deploy.service_images import check_images


def active_release(context: StageContext) -> Release:
    """Return the active release. Raises `ConfigError` if there is none."""
    active = context.store.releases.active(context.configuration.pipeline.name)
    if active is None:
        raise ConfigError("no release is active", hint="`pipeline run` deploys one")
    return active


def check_service(release: Release, name: str) -> None:
    services = ReleaseSpec.parse(release.spec).services
    if name not in services:
        hint = f"its {'service is' if len(services) == 1 else 'services are'} {', '.join(services)}"
        raise ConfigError(f"release {release.number} has no service {name}", hint=hint)
    if services[name].is_job:
        raise ConfigError(f"{name} is a job, which has no replicas", hint=f"`pipeline job run {name}` runs it now")


def check_groups(context: StageContext, wanted: Mapping[str, ServiceSettings]) -> None:
    """Refuse a service with another target group than its targets have now, and a group with another service's.

    A service moves between groups of another owner.
    """
    pipeline = context.configuration.pipeline
    active = context.store.releases.active(pipeline.name)
    if active is None:
        return
    current = ReleaseSpec.parse(active.spec)
    if isinstance(current.balancer, SharedGroup) and isinstance(pipeline.balancer, SharedGroup):
        return
    for name, settings in wanted.items():
        key = f"deploy.services.{name}.target_group" if pipeline.deploy.services else "deploy.target_group"
        group = settings.target_group
        if name in current.services and (before := current.services[name].target_group) != group:
            raise ConfigError(
                f"{key} was {before or 'not set'} and is {group or 'not set'} now: targets cannot change their group "
                "while they receive traffic",
                hint="keep the name, or run `pipeline down` first",
            )
        if group and (owner := current.service_of(group)) not in (None, name):
            raise ConfigError(
                f"{key}: {group} has the targets of the service {owner}, which cannot change their service while they "
                "receive traffic",
                hint=f"keep the name {owner}, or run `pipeline down` first",
            )


def check_limits(release: Release, services: Mapping[str, ServiceSettings], replicas: Mapping[str, int]) -> None:
    """Refuse a release whose limits are 0 for these numbers of replicas. They were checked for others."""
    for name, settings in services.items():
        if settings.is_job:
            continue
        rolling, count = settings.rolling, replicas[name]
        if not any(rolling.limits(count)):
            of_service = f" of {name}" if len(services) > 1 else ""
            raise ConfigError(
                f"release {release.number} cannot be rolled out to {count} replicas{of_service}: its max_surge "
                f"{rolling.max_surge} and max_unavailable {rolling.max_unavailable} of {count} are both 0",
                hint="change deploy.replicas and deploy that first: a rollback keeps the number of replicas",
            )


def check_shared(shared: SharedGroup, balancer: Balancer) -> None:
    """Refuse a group of another owner that is gone, or in which no target would get a health check."""
    owner = shared.group_owner
    for group in shared.target_groups:
        if owner is not None and not balancer.registry().uses(owner, group):
            raise ConfigError(f"no listener forwards to target group {group} of {owner}")


def check_rollback(
    context: StageContext, release: Release, replicas: Mapping[str, int], rollout: ReleaseRollout
) -> None:
    """Raise `ConfigError` if a rollback to a release is not possible."""
    spec = ReleaseSpec.parse(release.spec)
    check_groups(context, spec.services)
    check_limits(release, spec.services, replicas)
    check_images(rollout.engine, release.number, spec)
    if rollout.engine.images.id(release.image_id) is None:
        raise ConfigError(
            f"the image of release {release.number} is gone",
            hint="deploy.retain keeps the latest, and `pipeline down` none; run its commit again: "
            f"pipeline run {release.sha[:7]}",
        )
    for name, settings in spec.services.items():
        section = f"release {release.number}, {name}"
        check_engines(section, settings, release.pipeline, rollout)
        check_hosts(section, settings, spec.service(name).group, rollout.cluster.spec)
