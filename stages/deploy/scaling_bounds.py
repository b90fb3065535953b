"""A number of replicas that a user sets for a service with auto scaling."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError
from pipeline.base.local_zone import local_zone
from pipeline.event_kinds import EventKind
from pipeline.scaling.bounds import bounds_at
from pipeline.scaling.policy import ScalingPolicy


def check_bounds(context: StageContext, service: str, replicas: int) -> None:
    """Raise `ConfigError` for a number outside of the bounds in force, else tell how long it lasts.

    Does nothing for a service without auto scaling.
    """
    pipeline = context.configuration.pipeline.name
    target = next((each for each in context.store.scaling.targets(pipeline) if each.service == service), None)
    if target is None:
        return
    policy = ScalingPolicy.model_validate_json(target.policy)
    bounds = bounds_at(policy, context.clock.now().wall.astimezone(policy.zone(local_zone())))
    if not bounds.least <= replicas <= bounds.most:
        raise ConfigError(
            f"{service} must have from {bounds.least} to {bounds.most} replicas, the bounds of its scaling now, got "
            f"{replicas}",
            hint="change scaling in pipeline.yaml and deploy that",
        )
    lasts = f"until `pipeline scaling resume {service}`" if target.suspended_at else "until scaling decides otherwise"
    text = f"{service}: set to {replicas} replicas by hand, {lasts}"
    context.events.emit_action(EventKind.SCALING_SET, text, service=service, replicas=replicas)
