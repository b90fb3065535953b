"""The state that a rollout to a release has to reach."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.engine.labels import DEFAULT_SERVICE
from stages.deploy.decision import DesiredState


def desired(spec: ReleaseSpec, replicas: int, secrets: Secrets) -> DesiredState:
    """Return the wanted replicas of a release and the limits of its rollout."""
    service = spec.service
    max_surge, max_unavailable = service.rolling.limits(replicas)
    return DesiredState(
        template=spec.template(secrets),
        replicas=replicas,
        max_surge=max_surge,
        max_unavailable=max_unavailable,
        deregistration_delay=spec.group.deregistration_delay,
        deploy_timeout=service.deploy_timeout,
    )


def declared_replicas(context: StageContext) -> int:
    """Return the number of replicas that a deployment sets: that of pipeline.yaml, or the one scaled to since then."""
    pipeline = context.configuration.pipeline
    declared = pipeline.deploy.replicas
    scaled = context.store.services.scaled(pipeline.name, DEFAULT_SERVICE, declared)
    return declared if scaled is None else scaled


def wanted_replicas(context: StageContext) -> int:
    """Return the number of replicas that the last successful deployment set.

    Before the first one, it is the number in pipeline.yaml. Cheap enough to call every second.
    """
    pipeline = context.configuration.pipeline
    stored = context.store.services.wanted(pipeline.name, DEFAULT_SERVICE)
    return pipeline.deploy.replicas if stored is None else stored
