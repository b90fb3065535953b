"""The state that a rollout to a release has to reach."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pipeline.api import StageContext
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.config.service_spec import ServiceSpec
from pipeline.store.records import Release
from stages.deploy.decision import DesiredState


def desired(service: ServiceSpec, replicas: int, secrets: Secrets) -> DesiredState:
    """Return the wanted replicas of a service and the limits of its rollout."""
    settings = service.settings
    max_surge, max_unavailable = settings.rolling.limits(replicas)
    return DesiredState(
        template=service.template(secrets),
        replicas=replicas,
        max_surge=max_surge,
        max_unavailable=max_unavailable,
        deregistration_delay=service.group.deregistration_delay if service.group else timedelta(0),
        deploy_timeout=settings.deploy_timeout,
        failure_threshold=settings.circuit_breaker.limit(replicas) if settings.circuit_breaker else None,
    )


def declared_replicas(context: StageContext) -> dict[str, int]:
    """Return the number of replicas that a deployment sets for each service.

    It is that of pipeline.yaml, or the one scaled to since then. With auto scaling, an active service keeps its number,
    if it is within the bounds of all times. A service that is scaled to zero gets one replica, which shows that the
    release works.
    """
    pipeline, services = context.configuration.pipeline, context.store.services
    declared, policies = pipeline.deploy.all_replicas(), pipeline.deploy.all_scaling()
    scaled = {name: services.scaled(pipeline.name, name, count) for name, count in declared.items()}
    current = active_replicas(context, context.store.releases.active(pipeline.name)) if policies else {}
    for name, policy in policies.items():
        scaled[name] = max(1, policy.lowest, min(current.get(name, declared[name]), policy.highest))
    return {name: declared[name] if count is None else count for name, count in scaled.items()}


def lasting_replicas(context: StageContext) -> dict[str, int | None]:
    """Return the declared number of each service against which a scaled one is kept. None for auto scaling."""
    deploy = context.configuration.pipeline.deploy
    return {**deploy.all_replicas(), **dict.fromkeys(deploy.all_scaling())}


def declared_policies(context: StageContext) -> dict[str, str]:
    """Return the policy of auto scaling that a deployment sets for each service, as it is stored."""
    scaling = context.configuration.pipeline.deploy.all_scaling()
    return {name: policy.model_dump_json() for name, policy in scaling.items()}


def wanted_replicas(context: StageContext, services: Iterable[str]) -> dict[str, int]:
    """Return the number of replicas of each service that the last successful deployment set.

    Before the first one, it is the number in pipeline.yaml, and 1 for a service that is not in it. Cheap enough to call
    every second.
    """
    pipeline = context.configuration.pipeline
    stored = {name: context.store.services.wanted(pipeline.name, name) for name in services}
    configured = pipeline.deploy.all_replicas()
    return {name: configured.get(name, 1) if count is None else count for name, count in stored.items()}


def tested_replicas(context: StageContext, services: Iterable[str]) -> dict[str, int]:
    """Return the wanted numbers of replicas, with one for a service that is scaled to zero.

    A release is in service only if a replica of each service is healthy. Scaling may remove it again.
    """
    scaled = {target.service for target in context.store.scaling.targets(context.configuration.pipeline.name)}
    found = wanted_replicas(context, services)
    return {name: max(1, count) if name in scaled else count for name, count in found.items()}


def active_replicas(context: StageContext, active: Release | None) -> dict[str, int]:
    """Return the number of replicas of each service of the active release."""
    return wanted_replicas(context, ReleaseSpec.parse(active.spec).replicated) if active else {}
