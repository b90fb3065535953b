"""The targets of groups of `target_type: alb`. They follow from the resources, so no caller registers them."""

from __future__ import annotations

from typing import Any

from pipeline.balancer.model import NetworkTargetGroup, Target
from pipeline.balancer.model.load_balancer_target import target_mistake
from pipeline.balancer.resources import DECLARED, LoadBalancerResource, Resources, TargetGroupResource
from pipeline.base.errors import ConfigError


def load_balancer_targets(resources: Resources) -> dict[str, Target]:
    """Return the target of each such group, by the group's id. Raises `ConfigError` for one that cannot be a target.

    Its id is the load balancer's name. A group that no declaration has made may have no target.
    """
    return {
        group.id: _target(resources, group, group.settings)
        for group in resources.target_groups.values()
        if isinstance(group.settings, NetworkTargetGroup) and group.settings.is_alb and _has_target(group)
    }


def without_target(resources: Resources, owner: str) -> list[TargetGroupResource]:
    """Return the groups of an owner whose target does not exist any more, without it."""
    names = {one.name for one in resources.load_balancers.values() if one.owner == owner}
    return [
        group.model_copy(update={"settings": group.settings.model_copy(update={"load_balancer": None})})
        for group in resources.target_groups.values()
        if group.owner == owner and getattr(group.settings, "load_balancer", None) not in (None, *names)
    ]


def _has_target(group: TargetGroupResource) -> bool:
    return group.made_by == DECLARED or getattr(group.settings, "load_balancer", None) is not None


def _target(resources: Resources, group: TargetGroupResource, settings: NetworkTargetGroup) -> Target:
    own = {one.name: one for one in resources.load_balancers.values() if one.owner == group.owner}
    described = settings.model_dump(mode="json")
    if mistake := target_mistake(described, {name: _description(resources, one) for name, one in own.items()}):
        raise ConfigError(f"{group.label}: {mistake.reason}", hint=mistake.hint)
    assert settings.load_balancer is not None
    address = own[settings.load_balancer].settings.bind_addresses[0].strip("[]")
    return Target(id=settings.load_balancer, address="127.0.0.1" if address == "*" else address, port=settings.port)


def _description(resources: Resources, balancer: LoadBalancerResource) -> dict[str, Any]:
    listeners = [one.settings for one in resources.listeners.values() if one.load_balancer == balancer.id]
    return {
        "type": balancer.settings.type,
        "listeners": [
            {"port": one.port, "protocol": one.protocol, "default_action": one.default_action} for one in listeners
        ],
    }
