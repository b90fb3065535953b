"""The check that all requests of a divided target group are divided."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.model import Action
from pipeline.balancer.resources import BalancerResource, Resources
from pipeline.base.errors import ConfigError


def check_divided(resources: Resources) -> None:
    """Raise `ConfigError` if a target group has an alternate group, and some action forwards to it alone.

    A declaration divides all of its own forwards. Those that clients of the API make for the same owner would go on to
    a group that a deployment empties.
    """
    found = [*_actions(resources)]
    divided = {
        group.target_group
        for _, action in found
        for group in (action.forward.target_groups if action.forward else ())
        if group.alternate
    }
    for resource, action in found if divided else ():
        for group in action.forward.target_groups if action.forward else ():
            if group.target_group in divided and not group.alternate:
                name = resources.target_groups[group.target_group].name
                raise ConfigError(
                    f"{resource.label}, made by {resource.made_by}, forwards to target group {name}, whose requests a "
                    "deployment divides between two releases",
                    hint=f"forward to another target group, or use strategy: rolling for the service of {name}",
                )


def _actions(resources: Resources) -> Iterator[tuple[BalancerResource, Action]]:
    for made in resources.rules.values():
        yield made, made.rule.action
    for listener in resources.listeners.values():
        if listener.settings.default_action:
            yield listener, listener.settings.default_action
