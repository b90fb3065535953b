"""The check that the strategy of each service fits its target group and the listeners."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.model import ApplicationTargetGroup, Declaration
from pipeline.balancer.model.application.rule import Rule, Transforms
from pipeline.base.errors import ConfigError, FieldError
from pipeline.config.deploy import Deploy
from pipeline.config.strategy_group import missing_group, shifts


def strategy_mistakes(deploy: Deploy, balancer: Declaration) -> Iterator[FieldError]:
    """Yield the strategies that need a second target group, which cannot be declared."""
    services = {name: service for name, service in deploy.all_services().items() if not service.is_job}
    if not any(service.target_group for service in services.values()) and shifts(deploy):
        yield from missing_group(deploy)
        return
    alternates: dict[str, Alternate] = {}
    for name, service in services.items():
        place: tuple[str, ...] = ("services", name, "strategy")
        if not deploy.services or "strategy" not in deploy.services[name].model_fields_set:
            place = ("strategy",)
        # A group that is not declared is a mistake of its own, as is a missing one.
        if service.strategy and shifts(service) and service.target_group in balancer.target_groups:
            alternates[service.target_group] = Alternate(0, service.strategy.test_traffic)
            if mistake := _mistake(balancer, alternates):
                yield FieldError(place, mistake)
                del alternates[service.target_group]
            elif service.strategy.mirror and (mistake := _mirror_mistake(balancer, service.target_group)):
                yield FieldError((*place, "mirror"), mistake)


def _mistake(balancer: Declaration, alternates: dict[str, Alternate]) -> str | None:
    try:
        with_alternates(balancer, alternates)
    except ConfigError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return None


def _mirror_mistake(balancer: Declaration, name: str) -> str | None:
    """Return why requests to a target group cannot be copied from the access log."""
    group = balancer.target_groups[name]
    if not isinstance(group, ApplicationTargetGroup):
        return f"copies HTTP requests, and target group {name} has connections; remove mirror"
    if group.is_lambda:
        return f"copies HTTP requests, and the targets of {name} are functions; remove mirror"
    if group.protocol_version != "HTTP1":
        return (
            f"copies requests of HTTP/1.1, and the targets of {name} get {group.protocol_version}; write "
            "protocol_version: HTTP1, or remove mirror"
        )
    for _, _, listener in balancer.listeners():
        for rule in listener.rules:
            if isinstance(rule, Rule) and rule.transforms != Transforms() and _forwards_to(rule, name):
                return (
                    f"copies requests as clients sent them, and the rule with priority {rule.priority} rewrites those "
                    f"to {name}; remove transforms or mirror"
                )
    return None


def _forwards_to(rule: Rule, name: str) -> bool:
    forward = rule.action.forward
    return forward is not None and any(group.target_group == name for group in forward.target_groups)
