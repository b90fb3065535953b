"""Actions of rules and listeners, from AWS's shape to the model and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from pipeline.aws.errors import AwsError
from pipeline.balancer.elbv2.api import checked
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import Action

Shape = Mapping[str, Any]
# The duration in AWS's console.
_STICKY_SECONDS = 3600
_LAST = ("forward", "redirect", "fixed-response")
_LOGIN = "the balancer has no login of users; let the application do it, or use jwt-validation"
_WRONG_PATH = (
    "The Path parameter must be a valid path, should start with a '/', and may contain up to one of each of these "
    "placeholders: '#{path}', '#{host}', '#{port}'."
)
_CONTENT_TYPES = ("text/html", "application/json", "application/javascript", "text/css", "text/plain")


def parse_actions(view: View, given: Sequence[Shape]) -> Action:
    """Return the model of actions, which names target groups by id. Raises `AwsError` for what it cannot be."""
    ordered = sorted(given, key=lambda action: action.get("Order", 0))
    kinds = [action["Type"] for action in ordered]
    if not kinds:
        raise AwsError("ValidationError", "At least one action must be specified")
    for kind in kinds:
        if kind.startswith("authenticate-"):
            raise AwsError("InvalidLoadBalancerAction", f"Actions of type '{kind}' are not supported here: {_LOGIN}")
    if kinds[-1] not in _LAST or any(kind in _LAST for kind in kinds[:-1]):
        reason = "must have exactly one action of type forward, redirect or fixed-response, and as the last one"
        raise AwsError("InvalidLoadBalancerAction", f"The actions {reason}")
    if kinds[:-1] not in ([], ["jwt-validation"]):
        raise AwsError("TooManyActions", "Before the last action, there may be one of type jwt-validation")
    model: dict[str, Any] = {}
    for action in ordered:
        model |= _PARSERS[action["Type"]](view, action)
    return checked(Action, model)


def kept_actions(given: Sequence[Shape]) -> list[JsonValue]:
    """Return actions as they were given, with ids in the place of ARNs, to give them back."""
    return [_mapped(action, lambda arn: arn.rpartition("/")[2]) for action in given]


def shown_actions(view: View, action: Action, kept: JsonValue) -> list[Shape]:
    """Return actions in AWS's shape: as they were given, or those of a declaration."""
    if isinstance(kept, list):
        groups = view.registry.target_groups
        return [_completed(_mapped(one, lambda id_: view.arn(groups[id_]))) for one in kept]
    return _declared(view, action)


def _mapped(action: Any, name: Callable[[str], str]) -> Any:
    """Return a copy of an action with its target groups renamed."""
    found = copy.deepcopy(dict(action))
    for place in (found, *found.get("ForwardConfig", {}).get("TargetGroups", ())):
        if "TargetGroupArn" in place:
            place["TargetGroupArn"] = name(place["TargetGroupArn"])
    return found


def _completed(action: dict[str, Any]) -> dict[str, Any]:
    """Return an action with the defaults that AWS reports."""
    if forward := action.get("ForwardConfig"):
        for group in forward.get("TargetGroups", ()):
            group.setdefault("Weight", 1)
        forward.setdefault("TargetGroupStickinessConfig", {"Enabled": False})
    if "RedirectConfig" in action:
        defaults = {"Protocol": "#{protocol}", "Port": "#{port}", "Host": "#{host}"}
        action["RedirectConfig"] = {
            **defaults,
            "Path": "/#{path}",
            "Query": "#{query}",
            **action["RedirectConfig"],
        }
    return action


def _group(view: View, arn: str) -> str:
    try:
        return view.target_group(arn).id
    except AwsError as error:
        raise AwsError(error.code, f"Target group '{arn}' not found") from error


def _forward(view: View, action: Shape) -> dict[str, Any]:
    config, arn = action.get("ForwardConfig", {}), action.get("TargetGroupArn")
    groups = config.get("TargetGroups", ())
    if not groups:
        if arn is None:
            raise AwsError("ValidationError", "A target group ARN must be specified")
        return {"forward": {"target_groups": [_group(view, arn)]}}
    if arn is not None and [group.get("TargetGroupArn") for group in groups] != [arn]:
        raise AwsError("ValidationError", "TargetGroupArn must be the only target group of ForwardConfig")
    forward: dict[str, Any] = {
        "target_groups": [
            {"target_group": _group(view, group["TargetGroupArn"]), "weight": group.get("Weight", 1)}
            for group in groups
        ]
    }
    stickiness = config.get("TargetGroupStickinessConfig", {})
    if stickiness.get("Enabled"):
        forward["stickiness"] = {"duration": f"{stickiness.get('DurationSeconds', _STICKY_SECONDS)}s"}
    return {"forward": forward}


def _redirect(_: View, action: Shape) -> dict[str, Any]:
    config = action.get("RedirectConfig")
    if config is None:
        raise AwsError("ValidationError", "A 'RedirectConfig' must be specified with 'redirect'")
    if not config.get("Path", "/").startswith("/"):
        raise AwsError("InvalidLoadBalancerAction", _WRONG_PATH)
    names = {"Protocol": "protocol", "Port": "port", "Host": "host", "Path": "path", "Query": "query"}
    values = {model: config[name] for name, model in names.items() if config.get(name) is not None}
    return {"redirect": {**values, "status_code": config["StatusCode"]}}


def _fixed(_: View, action: Shape) -> dict[str, Any]:
    config = action.get("FixedResponseConfig")
    if config is None:
        raise AwsError("ValidationError", "A 'FixedResponseConfig' must be specified with 'fixed-response'")
    if config.get("ContentType", _CONTENT_TYPES[0]) not in _CONTENT_TYPES:
        raise AwsError("InvalidLoadBalancerAction", f"The ContentType must be one of: {', '.join(_CONTENT_TYPES)}")
    names = {"MessageBody": "message_body", "ContentType": "content_type"}
    values = {model: config[name] for name, model in names.items() if config.get(name) is not None}
    return {"fixed_response": {**values, "status_code": config["StatusCode"]}}


def _jwt(_: View, action: Shape) -> dict[str, Any]:
    config = action.get("JwtValidationConfig")
    if config is None:
        raise AwsError("ValidationError", "A 'JwtValidationConfig' must be specified with 'jwt-validation'")
    claims = [
        {"name": claim["Name"], "format": claim["Format"], "values": claim["Values"]}
        for claim in config.get("AdditionalClaims", ())
    ]
    if not config["JwksEndpoint"].startswith("https://"):
        # A file of this machine is for pipeline.yaml, whose owner may read it.
        raise AwsError("ValidationError", f"JwksEndpoint must be an https:// URL, got '{config['JwksEndpoint']}'")
    values = {"jwks": config["JwksEndpoint"], "issuer": config["Issuer"], "additional_claims": claims}
    return {"jwt_validation": values}


_PARSERS: dict[str, Callable[[View, Shape], dict[str, Any]]] = {
    "forward": _forward,
    "redirect": _redirect,
    "fixed-response": _fixed,
    "jwt-validation": _jwt,
}


def _declared(view: View, action: Action) -> list[Shape]:
    found: list[dict[str, Any]] = []
    if jwt := action.jwt_validation:
        claims = [{"Name": c.name, "Format": c.format, "Values": list(c.values)} for c in jwt.additional_claims]
        config = {"JwksEndpoint": jwt.jwks, "Issuer": jwt.issuer, "AdditionalClaims": claims}
        found.append({"Type": "jwt-validation", "JwtValidationConfig": config})
    if action.forward:
        found.append(_declared_forward(view, action))
    if redirect := action.redirect:
        names = {"protocol": "Protocol", "port": "Port", "host": "Host", "path": "Path", "query": "Query"}
        config = {shown: getattr(redirect, name) for name, shown in names.items()}
        found.append({"Type": "redirect", "RedirectConfig": {**config, "StatusCode": redirect.status_code}})
    if fixed := action.fixed_response:
        config = {"StatusCode": fixed.status_code, "ContentType": fixed.content_type, "MessageBody": fixed.message_body}
        found.append({"Type": "fixed-response", "FixedResponseConfig": config})
    return [{**one, "Order": order} for order, one in enumerate(found, 1)]


def _declared_forward(view: View, action: Action) -> dict[str, Any]:
    assert action.forward is not None
    groups = [
        {"TargetGroupArn": view.arn(view.registry.target_groups[group.target_group]), "Weight": group.weight}
        for group in action.groups()
    ]
    config: dict[str, Any] = {"TargetGroups": groups, "TargetGroupStickinessConfig": {"Enabled": False}}
    if stickiness := action.forward.group_stickiness:
        seconds = int(stickiness.duration.total_seconds())
        config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": seconds}
    only = {"TargetGroupArn": groups[0]["TargetGroupArn"]} if len(groups) == 1 else {}
    return {"Type": "forward", **only, "ForwardConfig": config}
