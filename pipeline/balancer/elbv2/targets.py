"""Registration and deregistration of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api, refusal
from pipeline.balancer.elbv2.drains import finish_drains
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.network import Endpoint
from pipeline.balancer.elbv2.target_groups import target_type
from pipeline.balancer.elbv2.target_ids import fits, made_id, shown_target
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import TargetGroupResource

_FUNCTION = "arn:aws:lambda:"


def register_targets(api: Api, call: Call) -> Mapping[str, Any]:
    """RegisterTargets. They are stored when this returns, and get traffic after their first check."""
    view = api.view(call)
    group = view.changeable(view.target_group(call.parameters["TargetGroupArn"]))
    if group.settings.is_alb:
        return _set_load_balancer(api, call, call.parameters["Targets"])
    targets = [_target(api, call, group, given) for given in call.parameters["Targets"]]
    known = {one.target.id for one in view.registry.targets.get(group.id, ())}
    check_limit(LIMITS.targets, len(known), len({target.id for target in targets} - known))
    if targets:
        api.balancer.register(call.owner, group.name, *targets)
    return {}


def deregister_targets(api: Api, call: Call) -> Mapping[str, Any]:
    """DeregisterTargets. They get no new requests when this returns, and are removed after the delay."""
    view = api.view(call)
    group = view.changeable(view.target_group(call.parameters["TargetGroupArn"]))
    ids = [id_ for given in call.parameters["Targets"] for id_ in _registered(view, group, given)]
    if ids and group.settings.is_alb:
        return _set_load_balancer(api, call, ())
    if ids:
        api.balancer.deregister(call.owner, group.name, *ids)
    if ids and not view.registry.uses(call.owner, group.name):
        # It got no traffic, so there is nothing to wait for.
        api.balancer.end_drains(call.owner, group.name, lambda one: one.target.id in ids, abort=False)
    elif ids and not group.settings.deregistration_delay:
        finish_drains(api.balancer)
    return {}


def _set_load_balancer(api: Api, call: Call, targets: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Make an application load balancer the only target of a group, or none."""
    if len(targets) > 1:
        raise AwsError("TooManyTargets", "A target group of type 'alb' has one target")

    def change(view: View) -> Registry:
        group = view.changeable(view.target_group(call.parameters["TargetGroupArn"]))
        names = [view.load_balancer(target["Id"]).name for target in targets]
        if any(target.get("Port", group.settings.port) != group.settings.port for target in targets):
            raise AwsError("InvalidTarget", "The port of a target of type 'alb' must be that of its target group")
        settings = group.settings.model_copy(update={"load_balancer": names[0] if names else None})
        return view.registry.put(group.model_copy(update={"settings": settings}))

    api.change(call, change)
    return {}


def _registered(view: View, group: TargetGroupResource, wanted: dict[str, Any]) -> list[str]:
    targets = [one.target for one in view.registry.targets.get(group.id, ())]
    return [one.id for one in targets if fits(shown_target(view, group, one), wanted)]


def _target(api: Api, call: Call, group: TargetGroupResource, given: Mapping[str, Any]) -> Target:
    if "QuicServerId" in given:
        raise AwsError("InvalidTarget", "QuicServerId is not supported: there are no listeners for QUIC")
    id_, kind = given["Id"], target_type(group)
    if kind == "lambda":
        if "Port" in given:
            raise AwsError("ValidationError", "A port cannot be specified for a function")
        found = _function(api, call, id_)
        name, port = id_.removeprefix(_FUNCTION).rpartition(":")[2], found.port
        return _model(id=name, address=found.address, port=port)
    port = given.get("Port", group.settings.port)
    fields = {"id": made_id(id_, port), "zone": _zone(api, given.get("AvailabilityZone"))}
    if kind == "ip":
        return _model(**fields, address=id_, port=port)
    instance = api.network.instance(call.owner, id_, port)
    if instance is None:
        reason = f"The following targets are not in a running state and cannot be registered: '{id_}'"
        raise AwsError("InvalidTarget", reason)
    return _model(**fields, address=instance.address, port=instance.port)


def _function(api: Api, call: Call, arn: str) -> Endpoint:
    name = arn.rpartition(":")[2]
    found = api.network.function(call.owner, name) if arn.startswith(_FUNCTION) else None
    if found is None:
        raise AwsError("InvalidTarget", f"The function '{arn}' does not exist or does not run")
    return found


def _zone(api: Api, name: str | None) -> str | None:
    if name is None or name == "all":
        return None
    zone = api.network.zone(name)
    if zone is None:
        raise AwsError("ValidationError", f"The Availability Zone '{name}' is not valid")
    return zone


def _model(**fields: Any) -> Target:
    try:
        return Target.model_validate(fields)
    except ValidationError as error:
        raise refusal(error, "InvalidTarget") from error
