"""The rules of a listener for programs, with the requests that they get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.balancer.access import load_balancer_name, target_group_name
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.model import Action
from pipeline.balancer.overview import RuleRow, rule_rows
from pipeline.balancer.rule_text import format_action, format_conditions
from pipeline.balancer.telemetry.traffic import Traffic
from pipeline.base.identity_cache import IdentityCache
from pipeline.http.responses.balancer import RuleResponse, ShareResponse


def rule_responses(effective: EffectiveListener, traffic: Traffic) -> list[RuleResponse]:
    """Return the rules by priority, the default action last. Without traffic, they are the same objects each time."""
    name = load_balancer_name(effective.owner, effective.name)
    busy = {use.rule for use in traffic.rules if (use.load_balancer, use.listener) == (name, effective.port)}
    idle = _idle_rules(effective)
    return [_with_rates(rule, traffic, name, effective.port) if _priority(rule) in busy else rule for rule in idle]


def _with_rates(rule: RuleResponse, traffic: Traffic, name: str, port: int) -> RuleResponse:
    def rate(groups: Iterable[str | None]) -> float:
        return round(traffic.rule_rate(name, port, _priority(rule), groups), 3)

    shares = [
        share.model_copy(update={"requests_per_second": rate([share.target_group])}) for share in rule.target_groups
    ]
    # What no target group got is a response of the load balancer.
    whole = rate([None, *(share.target_group for share in rule.target_groups)])
    return rule.model_copy(update={"target_groups": shares, "requests_per_second": whole})


def _priority(rule: RuleResponse) -> int:
    """Return the priority as the access log has it."""
    return 0 if rule.priority == "default" else rule.priority


def _idle_rule(effective: EffectiveListener, row: RuleRow) -> RuleResponse:
    # The access log has no connections of network load balancers.
    rate = 0.0 if effective.balancer.type == "application" else None
    alternates = dict(_alternates(row.owner, row.action))
    return RuleResponse(
        priority=row.priority or "default",
        owner=row.owner,
        conditions=[c.model_dump(mode="json", exclude_none=True) for c in row.conditions],
        action=row.action.model_dump(mode="json", exclude_none=True),
        matches=format_conditions(row.conditions),
        effect=format_action(row.owner, row.action),
        target_groups=[
            ShareResponse(target_group=name, share=share, alternate_of=alternates.get(name), requests_per_second=rate)
            for name, share in row.shares()
        ],
        requests_per_second=rate,
    )


# A listener may have a thousand rules, and reports are made each second.
_idle_rules = IdentityCache[EffectiveListener, tuple[RuleResponse, ...]](
    lambda effective: tuple(_idle_rule(effective, row) for row in rule_rows(effective))
)


def _alternates(owner: str, action: Action) -> Iterator[tuple[str, str]]:
    """Yield each alternate group of an action with the group whose requests it shares."""
    for group in action.forward.target_groups if action.forward else ():
        if group.alternate:
            yield target_group_name(owner, group.alternate.target_group), target_group_name(owner, group.target_group)
