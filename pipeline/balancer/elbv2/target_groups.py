"""Target groups: create, describe, modify, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api, checked
from pipeline.balancer.elbv2.health_checks import parameters_of, parse_health_check, shown_health_check
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.pages import page
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import ApplicationTargetGroup, GatewayTargetGroup, NetworkTargetGroup
from pipeline.balancer.model.gateway.target_group import GENEVE_PORT
from pipeline.balancer.model.protocol import GENEVE
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import TargetGroupResource

Result = Mapping[str, Any]
DELAY = 300
"""ELB's deregistration delay in seconds, which differs from that of pipeline.yaml."""
_PATTERN = "(?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", GENEVE)
# The kernel forwards to the address of an instance, and packets of GENEVE go there too. The model calls that `ip`.
_BY_ADDRESS = ("UDP", "TCP_UDP", GENEVE)
# A group of functions has no port of its own. The model needs one.
_NO_PORT = 80


def create_target_group(api: Api, call: Call) -> Result:
    """CreateTargetGroup. The same call again returns what it made."""
    given = call.parameters
    kind = given.get("TargetType", "instance")
    _check_name(given["Name"])
    _check_supported(given, kind)
    _check_place(api, call, kind)
    kept = {"region": call.region, "ip_address_type": given.get("IpAddressType", "ipv4")}
    kept |= {name: given[shown] for name, shown in (("vpc", "VpcId"),) if shown in given}
    if "HealthCheckEnabled" in given:
        kept["health_check_enabled"] = given["HealthCheckEnabled"]
    settings = _settings(given, kind)
    if settings.target_type != kind:
        kept["target_type"] = kind
    made = TargetGroupResource(**api.new(call, **kept), name=given["Name"], settings=settings)

    def change(view: View) -> Registry:
        known = next((one for one in view.target_groups if one.name == made.name), None)
        if known is None:
            check_limit(LIMITS.target_groups, len(view.target_groups))
            return view.registry.put(made)
        if not _is_same(known, made):
            reason = f"A target group with the same name '{made.name}' exists, but with different settings"
            raise AwsError("DuplicateTargetGroupName", reason)
        return view.registry

    view = api.change(call, change)
    found = next(one for one in view.target_groups if one.name == made.name)
    return {"TargetGroups": [shown_target_group(view, found, view.users())]}


def _check_name(name: str) -> None:
    if len(name) > 32:
        raise AwsError("ValidationError", f"Target group name '{name}' cannot be longer than '32' characters")
    if not re.fullmatch("[A-Za-z0-9-]+", name):
        allowed = "can only contain characters that are alphanumeric characters or hyphens(-)"
        raise AwsError("ValidationError", f"Target group name '{name}' {allowed}")
    if not re.match(_PATTERN, name):
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at 'targetGroup.targetGroupArn.targetGroupName' failed to "
            f"satisfy constraint: Member must satisfy regular expression pattern: {_PATTERN}",
        )


def _check_supported(given: Mapping[str, Any], kind: str) -> None:
    if given.get("Protocol", "HTTP") not in _PROTOCOLS:
        names = ", ".join(_PROTOCOLS)
        reason = f"Target group protocol '{given['Protocol']}' is not supported, it must be one of '{names}'"
        raise AwsError("InvalidConfigurationRequest", reason)
    if "TargetControlPort" in given:
        raise AwsError(
            "InvalidConfigurationRequest", "TargetControlPort is not supported: there is no target optimizer"
        )
    if (given.get("ProtocolVersion") or "HTTP1") != "HTTP1" and given.get("Protocol") not in ("HTTP", "HTTPS"):
        raise AwsError("ValidationError", "A protocol version needs a target group with the HTTP or HTTPS protocol")
    if kind != "lambda" and given.get("HealthCheckEnabled") is False:
        raise AwsError("ValidationError", f"Health checks cannot be disabled for target type '{kind}'")


def _check_place(api: Api, call: Call, kind: str) -> None:
    """Check protocol, port and VPC, which a group of functions does not have and every other one needs."""
    given = call.parameters
    names = (("Protocol", "A protocol", "Protocol"), ("Port", "A port", "Port"), ("VpcId", "A VPC ID", "VPC ID"))
    for name, needed, noun in names:
        if kind == "lambda" and name in given:
            what = "cannot be specified for target groups with target type 'lambda'"
            raise AwsError("ValidationError", f"{noun} {what}")
        if kind != "lambda" and name not in given:
            raise AwsError("ValidationError", f"{needed} must be specified")
    if given.get("Protocol") == GENEVE:
        _check_geneve(given, kind)
    if kind != "lambda" and not api.network.has_vpc(call.owner, given["VpcId"]):
        raise AwsError("ValidationError", f"The VPC ID '{given['VpcId']}' is not found")


def _check_geneve(given: Mapping[str, Any], kind: str) -> None:
    if kind not in ("instance", "ip"):
        reason = f"Target type '{kind}' is not supported for target groups with the {GENEVE} protocol"
        raise AwsError("InvalidConfigurationRequest", reason)
    if given["Port"] != GENEVE_PORT:
        reason = f"Port '{given['Port']}' must be {GENEVE_PORT} for target groups with the {GENEVE} protocol"
        raise AwsError("ValidationError", reason)


def _settings(given: Mapping[str, Any], kind: str) -> ApplicationTargetGroup | NetworkTargetGroup | GatewayTargetGroup:
    protocol = given.get("Protocol", "HTTP")
    settings: dict[str, Any] = {
        "target_type": kind,
        "protocol": protocol,
        "port": given.get("Port", _NO_PORT),
        "deregistration_delay": f"{DELAY}s",
        "health_check": parse_health_check(given, kind, protocol),
    }
    if kind == "instance" and protocol in _BY_ADDRESS:
        settings["target_type"] = "ip"
    if protocol == GENEVE:
        return checked(GatewayTargetGroup, settings)
    if protocol in ("HTTP", "HTTPS"):
        version = given.get("ProtocolVersion") or "HTTP1"
        return checked(ApplicationTargetGroup, settings | {"protocol_version": version})
    return checked(NetworkTargetGroup, settings)


def _is_same(known: TargetGroupResource, made: TargetGroupResource) -> bool:
    """Return whether a group was created by the same call. Attributes may have changed since."""
    ignored = ("created", "region", "attributes")
    kept = [{k: v for k, v in one.kept.items() if k not in ignored} for one in (known, made)]
    names = ("target_type", "protocol", "port", "health_check", "protocol_version")
    return kept[0] == kept[1] and all(
        getattr(known.settings, name, None) == getattr(made.settings, name, None) for name in names
    )


def describe_target_groups(api: Api, call: Call) -> Result:
    """DescribeTargetGroups."""
    view, given = api.view(call), call.parameters
    users = view.users()
    if sum(name in given for name in ("LoadBalancerArn", "TargetGroupArns", "Names")) > 1:
        raise AwsError("ValidationError", "Only one of load balancer ARN, target group ARNs and names can be specified")
    if "LoadBalancerArn" in given:
        balancer = view.load_balancer(given["LoadBalancerArn"])
        found = [one for one in view.target_groups if balancer.id in users.get(one.id, {})]
        if not found:
            raise AwsError("TargetGroupNotFound", "One or more target groups not found")
    elif arns := given.get("TargetGroupArns"):
        found = [view.target_group(arn) for arn in arns]
    elif names := given.get("Names"):
        by_name = {one.name: one for one in view.target_groups}
        if any(name not in by_name for name in names):
            raise AwsError("TargetGroupNotFound", "One or more target groups not found")
        found = [by_name[name] for name in names]
    else:
        found = view.target_groups
    shown, more = page(sorted(found, key=lambda one: one.name), given, lambda one: one.name)
    return {"TargetGroups": [shown_target_group(view, one, users) for one in shown], **more}


def modify_target_group(api: Api, call: Call) -> Result:
    """ModifyTargetGroup. Targets that are registered stay so, and have the new check."""
    given = call.parameters

    def change(view: View) -> Registry:
        known = view.changeable(view.target_group(given["TargetGroupArn"]))
        settings = known.settings
        parameters = parameters_of(settings.health_check)
        if given.get("HealthCheckProtocol", settings.health_check.protocol) == "TCP":
            parameters = {k: v for k, v in parameters.items() if k not in ("HealthCheckPath", "Matcher")}
        check = parse_health_check(given, settings.target_type, settings.protocol, parameters)
        values = {name: getattr(settings, name) for name in settings.model_fields_set}
        kept = dict(known.kept)
        if "HealthCheckEnabled" in given:
            if not given["HealthCheckEnabled"] and not settings.is_lambda:
                raise AwsError("ValidationError", "Health checks can be disabled for target type 'lambda' only")
            kept["health_check_enabled"] = given["HealthCheckEnabled"]
        update = {"settings": checked(type(settings), values | {"health_check": check}), "kept": kept}
        return view.registry.put(known.model_copy(update=update))

    view = api.change(call, change)
    return {"TargetGroups": [shown_target_group(view, view.target_group(given["TargetGroupArn"]), view.users())]}


def delete_target_group(api: Api, call: Call) -> Result:
    """DeleteTargetGroup, with its targets. Raises `ResourceInUse` while a listener or a rule forwards to it."""
    arn = call.parameters["TargetGroupArn"]

    def change(view: View) -> Registry:
        found = view.changeable(view.target_group(arn))
        if found.id in view.users():
            raise AwsError("ResourceInUse", f"The target group '{arn}' is currently in use by a listener or a rule")
        return view.registry.drop(found.id)

    api.change(call, change)
    return {}


def target_type(group: TargetGroupResource) -> str:
    """Return the target type as it was given."""
    return str(group.kept.get("target_type", group.settings.target_type))


def shown_target_group(view: View, group: TargetGroupResource, users: Mapping[str, Mapping[str, Any]]) -> Result:
    """Return a target group in AWS's shape. `users`: see `View.users`."""
    settings = group.settings
    shown: dict[str, Any] = {
        "TargetGroupArn": view.arn(group),
        "TargetGroupName": group.name,
        "TargetType": target_type(group),
        **shown_health_check(group),
        "IpAddressType": group.kept.get("ip_address_type", "ipv4"),
    }
    if group.id in users:
        shown["LoadBalancerArns"] = [view.arn(balancer) for balancer in users[group.id].values()]
    if settings.is_lambda:
        return shown
    shown |= {"Protocol": settings.protocol, "Port": settings.port}
    if isinstance(settings, ApplicationTargetGroup):
        shown["ProtocolVersion"] = settings.protocol_version
    if "vpc" in group.kept:
        shown["VpcId"] = group.kept["vpc"]
    return shown
