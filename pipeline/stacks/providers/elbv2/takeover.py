"""How a target group takes the place of another one in an action, without a request in between that finds no target."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipeline.balancer.elbv2.actions import shown_actions
from pipeline.balancer.resources import ListenerResource, RuleResource
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.providers.elbv2.client import Elbv2

Actions = Sequence[Mapping[str, Any]]
_INTERVAL = timedelta(seconds=0.2)
_TIMEOUT = timedelta(minutes=5)
# ELB's limit for one action.
_MAX_GROUPS = 5
_LIVE = ("initial", "healthy", "unhealthy", "unused", "unavailable")


def take_over(
    elbv2: Elbv2, current: Actions, wanted: Actions, modify: Callable[[Actions], Any], switch: Callable[[], State]
) -> Pending | None:
    """Return `Pending` until the target groups in `wanted` that are new in an action have healthy targets.

    Targets are checked only in a group that is used, so the new groups are first added with a weight of 0, by
    `modify`. None is waited for if the present groups have no healthy target. A group without targets is waited for
    as long as other resources of the stack change, because a service may be moving there. Then `switch` is called.
    """
    present, after = _weights(current), _weights(wanted)
    serving = [arn for arn, weight in present.items() if weight]
    new = [arn for arn, weight in after.items() if weight and not present.get(arn)]
    states = {arn: _states(elbv2, arn) for arn in (*serving, *new)}
    if not new or not any("healthy" in states[arn] for arn in serving):
        return None
    added = [arn for arn in new if arn not in present]
    if len(present) + len(added) > _MAX_GROUPS:
        return None
    unready = [arn for arn in new if not _is_ready(states[arn])]
    if added:
        modify(_with_groups(current, added))
    elif not unready:
        return None
    names = ", ".join(arn.split("/")[-2] for arn in new)
    return Pending(
        f"waiting until the targets of {names} are healthy",
        interval=_INTERVAL,
        timeout=_TIMEOUT,
        otherwise=switch if unready and not any(states[arn] for arn in unready) else None,
    )


def as_given(elbv2: Elbv2, resource: ListenerResource | RuleResource) -> list[dict[str, Any]]:
    """Return the actions of a listener or a rule as they were given."""
    view = elbv2.view()
    action = resource.rule.action if isinstance(resource, RuleResource) else resource.settings.default_action
    kept = resource.kept.get("actions")
    if not isinstance(kept, list):
        return [dict(each) for each in shown_actions(view, action, None)] if action else []
    found: list[dict[str, Any]] = copy.deepcopy([dict(each) for each in kept if isinstance(each, dict)])
    for each in found:
        for place in (each, *each.get("ForwardConfig", {}).get("TargetGroups", ())):
            if "TargetGroupArn" in place:
                place["TargetGroupArn"] = view.arn(view.registry.target_groups[place["TargetGroupArn"]])
    return found


def _forward(actions: Actions) -> Mapping[str, Any]:
    return next((each for each in actions if each["Type"] == "forward"), {})


def _weights(actions: Actions) -> dict[str, int]:
    """Return the target groups to which actions forward, with their weights."""
    forward = _forward(actions)
    groups = forward.get("ForwardConfig", {}).get("TargetGroups", ())
    if groups:
        return {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}
    return {forward["TargetGroupArn"]: 1} if "TargetGroupArn" in forward else {}


def _with_groups(actions: Actions, added: Sequence[str]) -> list[dict[str, Any]]:
    """Return actions with target groups added that get nothing."""
    forward = _forward(actions)
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in _weights(actions).items()]
    groups += [{"TargetGroupArn": arn, "Weight": 0} for arn in added]
    changed = {name: value for name, value in forward.items() if name != "TargetGroupArn"}
    changed["ForwardConfig"] = {**forward.get("ForwardConfig", {}), "TargetGroups": groups}
    return [changed if each is forward else dict(each) for each in actions]


def _states(elbv2: Elbv2, arn: str) -> set[str]:
    """Return the states of the targets that are registered."""
    found = elbv2("DescribeTargetHealth", TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {each["TargetHealth"]["State"] for each in found} & set(_LIVE)


def _is_ready(states: set[str]) -> bool:
    return not states & {"initial", "unused"} and bool(states & {"healthy", "unavailable"})
