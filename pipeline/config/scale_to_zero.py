"""Scaling to zero: which services cannot, and the target groups that hold requests for those that can."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.model import Declaration, GatewayTargetGroup, NetworkTargetGroup, SharedGroup
from pipeline.base.errors import FieldError
from pipeline.config.deploy import Deploy
from pipeline.config.service import ServiceSettings
from pipeline.scaling.policy import ScalingPolicy


def zero_mistakes(
    policy: ScalingPolicy, settings: ServiceSettings, balancer: Declaration, place: tuple[str | int, ...]
) -> Iterator[FieldError]:
    """Yield each 0 of a service that cannot be scaled to zero. `balancer` has its target groups."""
    reason = _reason_against_zero(settings, balancer) if policy.lowest == 0 else ""
    if not reason:
        return
    keys: list[tuple[str | int, ...]] = [("min",)] if policy.min == 0 else []
    keys += [("schedule", index, "min") for index, action in enumerate(policy.schedule) if action.min == 0]
    for key in keys:
        yield FieldError((*place, "scaling", *key), f"must be at least 1, got 0: {reason}")


def _reason_against_zero(settings: ServiceSettings, balancer: Declaration) -> str:
    name, strategy = settings.target_group, settings.strategy
    if name is None:
        return "a service without a target_group gets no request that could start its first container again"
    if isinstance(balancer, SharedGroup):
        return f"target group {name} belongs to another owner, so its requests cannot be held until a container starts"
    group = balancer.target_groups.get(name)
    if isinstance(group, NetworkTargetGroup):
        return f"target group {name} is of a network load balancer, which cannot hold connections"
    if isinstance(group, GatewayTargetGroup):
        return f"target group {name} is of a gateway load balancer, which cannot hold packets"
    if group is not None and group.is_lambda:
        return f"target group {name} is of functions, whose requests cannot be held"
    if any(each.zones and name in listener.groups() for _, each, listener in balancer.listeners()):
        return f"target group {name} is used by a load balancer with zones, of which requests cannot be held"
    if strategy is not None and strategy.is_shifting:
        return f"with {strategy.type}, the previous release must get requests until the last step; write rolling"
    return ""


def with_holding_groups(deploy: Deploy, balancer: Declaration) -> Declaration:
    """Return a declaration whose target groups hold requests if their service may be scaled to zero."""
    services = deploy.all_services()
    policies = deploy.all_scaling().items()
    times = {services[name].target_group: policy.hold_limit for name, policy in policies if not policy.lowest}
    held = {name: times[name] for name in balancer.target_groups if name in times}
    if not held:
        return balancer
    groups = {name: balancer.target_groups[name].model_copy(update={"hold_time": time}) for name, time in held.items()}
    return balancer.model_copy(update={"target_groups": {**balancer.target_groups, **groups}})
