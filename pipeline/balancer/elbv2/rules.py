"""Rules of listeners: create, describe, modify, delete, and their priorities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.actions import kept_actions, parse_actions, shown_actions
from pipeline.balancer.elbv2.api import Api, checked
from pipeline.balancer.elbv2.conditions import parse_conditions, shown_conditions
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.elbv2.transforms import parse_transforms, shown_transforms
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import Rule
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import ListenerResource, RuleResource

Result = Mapping[str, Any]
_IN_USE = "The specified priority is in use."


def create_rule(api: Api, call: Call) -> Result:
    """CreateRule. The data plane follows within a fraction of a second, as it takes nothing out of service."""
    given = call.parameters
    fields = api.new(call, actions=kept_actions(given["Actions"]), conditions=[dict(c) for c in given["Conditions"]])

    def change(view: View) -> Registry:
        listener = view.changeable(view.listener(given["ListenerArn"]))
        if listener.settings.protocol not in ("HTTP", "HTTPS", None):
            raise AwsError("UnsupportedProtocol", "Rules are not supported for listeners of a network load balancer")
        known = view.rules(listener)
        if any(one.rule.priority == given["Priority"] for one in known):
            raise AwsError("PriorityInUse", _IN_USE)
        check_limit(LIMITS.rules, len(known))
        rule = _rule(view, given["Priority"], given["Conditions"], given["Actions"], given.get("Transforms", ()))
        made = RuleResource(**fields, listener=listener.id, rule=rule)
        return view.registry.put(made)

    view = api.change(call, change, soon=True)
    return {"Rules": [shown_rule(view, view.registry.rules[fields["id"]])]}


def _rule(view: View, priority: int, conditions: Any, actions: Any, transforms: Any) -> Rule:
    model = {
        "priority": priority,
        "conditions": parse_conditions(conditions),
        "action": parse_actions(view, actions),
        "transforms": parse_transforms(transforms),
    }
    return checked(Rule, model)


def describe_rules(api: Api, call: Call) -> Result:
    """DescribeRules: those of a listener, by priority, with its default rule as the last one; or those named."""
    view, given = api.view(call), call.parameters
    if bool(given.get("RuleArns")) == ("ListenerArn" in given):
        problem = "both rule ARNs and" if "ListenerArn" in given else "neither rule ARNs nor"
        raise AwsError(
            "ValidationError", f"You must specify either listener rule ARNs or a listener ARN, got {problem} a listener"
        )
    if "ListenerArn" in given:
        listener = view.listener(given["ListenerArn"])
        found: list[RuleResource | ListenerResource] = [*view.rules(listener), listener]
    else:
        found = sorted((view.rule(arn) for arn in given["RuleArns"]), key=_key)
    shown, more = page(found, given, _key)
    return {"Rules": [shown_rule(view, one) for one in shown], **more}


def _key(found: RuleResource | ListenerResource) -> str:
    return f"{found.rule.priority:05}/{found.id}" if isinstance(found, RuleResource) else f"default/{found.id}"


def modify_rule(api: Api, call: Call) -> Result:
    """ModifyRule."""
    given = call.parameters
    if not {"Conditions", "Actions", "Transforms", "ResetTransforms"} & given.keys():
        raise AwsError("ValidationError", "Either conditions or actions must be specified")

    def change(view: View) -> Registry:
        return view.registry.put(_modified(view, _made(view, given["RuleArn"]), given))

    view = api.change(call, change)
    return {"Rules": [shown_rule(view, view.rule(given["RuleArn"]))]}


def _modified(view: View, known: RuleResource, given: Mapping[str, Any]) -> RuleResource:
    update: dict[str, Any] = {}
    kept = dict(known.kept)
    if "Conditions" in given:
        update["conditions"] = parse_conditions(given["Conditions"])
        kept["conditions"] = [dict(condition) for condition in given["Conditions"]]
    if "Actions" in given:
        update["action"] = parse_actions(view, given["Actions"])
        kept["actions"] = kept_actions(given["Actions"])
    if given.get("ResetTransforms"):
        update["transforms"] = parse_transforms(())
    elif "Transforms" in given:
        update["transforms"] = parse_transforms(given["Transforms"])
    rule = checked(Rule, {name: getattr(known.rule, name) for name in Rule.model_fields} | update)
    return known.model_copy(update={"rule": rule, "kept": kept})


def _made(view: View, arn: str) -> RuleResource:
    found = view.rule(arn)
    if isinstance(found, ListenerResource):
        raise AwsError("OperationNotPermitted", f"Default rule '{arn}' cannot be modified; modify its listener")
    return view.changeable(found)


def delete_rule(api: Api, call: Call) -> Result:
    """DeleteRule."""

    def change(view: View) -> Registry:
        found = view.rule(call.parameters["RuleArn"])
        if isinstance(found, ListenerResource):
            arn = call.parameters["RuleArn"]
            raise AwsError("OperationNotPermitted", f"Default rule '{arn}' cannot be deleted")
        return view.registry.drop(view.changeable(found).id)

    api.change(call, change)
    return {}


def set_rule_priorities(api: Api, call: Call) -> Result:
    """SetRulePriorities. The order afterwards counts, so rules may swap their priorities."""
    pairs = call.parameters["RulePriorities"]
    for priority, times in Counter(pair["Priority"] for pair in pairs).items():
        if times > 1:
            raise AwsError("ValidationError", f"Priority '{priority}' was provided multiple times")

    def change(view: View) -> Registry:
        wanted = {(found := _made(view, pair["RuleArn"])).id: (found, pair["Priority"]) for pair in pairs}
        for listener in {found.listener for found, _ in wanted.values()}:
            others = view.rules(view.registry.listeners[listener])
            taken = {one.rule.priority for one in others if one.id not in wanted}
            if any(priority in taken for found, priority in wanted.values() if found.listener == listener):
                raise AwsError("PriorityInUse", _IN_USE)
        changed = [
            found.model_copy(update={"rule": found.rule.model_copy(update={"priority": priority})})
            for found, priority in wanted.values()
        ]
        return view.registry.put(*changed)

    view = api.change(call, change)
    return {"Rules": [shown_rule(view, view.rule(pair["RuleArn"])) for pair in pairs]}


def shown_rule(view: View, found: RuleResource | ListenerResource) -> Result:
    """Return a rule, or a listener's default rule, in AWS's shape."""
    if isinstance(found, ListenerResource):
        action = found.settings.default_action
        return {
            "RuleArn": view.default_rule_arn(found),
            "Priority": "default",
            "Conditions": [],
            "Actions": shown_actions(view, action, found.kept.get("actions")) if action else [],
            "IsDefault": True,
        }
    transforms = shown_transforms(found.rule.transforms)
    return {
        "RuleArn": view.arn(found),
        "Priority": str(found.rule.priority),
        "Conditions": shown_conditions(found.rule.conditions, found.kept.get("conditions")),
        "Actions": shown_actions(view, found.rule.action, found.kept.get("actions")),
        "IsDefault": False,
        **({"Transforms": transforms} if transforms else {}),
    }
