"""Attributes of target groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import JsonValue

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api, checked
from pipeline.balancer.elbv2.attributes import AttributeTable, changed, number, switch, text
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model import GatewayTargetGroup, NetworkTargetGroup, TargetGroup
from pipeline.balancer.model.application.attributes import ApplicationGroupAttributes
from pipeline.balancer.model.attributes import CROSS_ZONE
from pipeline.balancer.model.gateway.attributes import GatewayGroupAttributes
from pipeline.balancer.model.network.attributes import NetworkGroupAttributes
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import TargetGroupResource

DELAY_KEY = "deregistration_delay.timeout_seconds"
TERMINATION_KEY = "deregistration_delay.connection_termination.enabled"
_MOST_DELAY = 3600
_MINIMUM = "target_group_health"
_MULTI_VALUE = "lambda.multi_value_headers.enabled"
_STICKINESS = "stickiness.type"
_STICKY = {"HTTP": ("lb_cookie", "app_cookie"), "HTTPS": ("lb_cookie", "app_cookie")}
_FLOW_STICKY = ("source_ip_dest_ip_proto", "source_ip_dest_ip")
_OWN = "retry."
_NOT_PASSED_ON = "HAProxy passes on no reset of a stream"


def _keys(model: type[ApplicationGroupAttributes | NetworkGroupAttributes | GatewayGroupAttributes]) -> frozenset[str]:
    """Return AWS's keys. Some of the model's are Penstock's own."""
    keys = (str(field.alias) for field in model.model_fields.values())
    return frozenset(key for key in keys if not key.startswith(_OWN))


_APPLICATION = _keys(ApplicationGroupAttributes) - {_MULTI_VALUE} | {DELAY_KEY}
_NETWORK = _keys(NetworkGroupAttributes) | {DELAY_KEY}
_GATEWAY = _keys(GatewayGroupAttributes) | {DELAY_KEY}
_OF_FUNCTIONS = (_MULTI_VALUE, "stickiness.", _MINIMUM, CROSS_ZONE)
_LAMBDA = frozenset(key for key in _APPLICATION | {_MULTI_VALUE} if key.startswith(_OF_FUNCTIONS))
_RESETS = {"routing.http2.rst_stream_error_forwarding.enabled": ("false", _NOT_PASSED_ON)}


def _table(settings: TargetGroup) -> AttributeTable:
    if isinstance(settings, NetworkTargetGroup):
        return AttributeTable("Target group", _NETWORK)
    if isinstance(settings, GatewayTargetGroup):
        return AttributeTable("Target group", _GATEWAY)
    if settings.is_lambda:
        return AttributeTable("Target group", _LAMBDA)
    speaks_http2 = getattr(settings, "protocol_version", "HTTP1") != "HTTP1"
    return AttributeTable("Target group", _APPLICATION, _RESETS if speaks_http2 else {})


def describe_target_group_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """DescribeTargetGroupAttributes."""
    return {"Attributes": _shown(api.view(call).target_group(call.parameters["TargetGroupArn"]))}


def modify_target_group_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """ModifyTargetGroupAttributes."""
    arn = call.parameters["TargetGroupArn"]

    def change(view: View) -> Registry:
        known = view.changeable(view.target_group(arn))
        settings = known.settings
        given = {pair["Key"]: pair.get("Value", "") for pair in call.parameters["Attributes"]}
        if not isinstance(settings, GatewayTargetGroup):
            _check_stickiness(settings.protocol, given)
        values = _table(settings).parse(call.parameters["Attributes"])
        if isinstance(settings, GatewayTargetGroup):
            _check_flow_stickiness(given)
        return view.registry.put(_changed(known, values))

    return {"Attributes": _shown(api.change(call, change).target_group(arn))}


def _changed(known: TargetGroupResource, values: dict[str, str]) -> TargetGroupResource:
    settings, kept = known.settings, dict(known.kept)
    update: dict[str, Any] = {}
    if delay := values.pop(DELAY_KEY, None):
        update["deregistration_delay"] = timedelta(seconds=_delay(delay))
    if termination := values.pop(TERMINATION_KEY, None):
        kept["attributes"] = {TERMINATION_KEY: text(switch(TERMINATION_KEY, termination))}
    if values:
        update["attributes"] = changed(settings.attributes, values)
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return known.model_copy(
        update={"settings": checked(type(settings), given | update, "InvalidConfigurationRequest"), "kept": kept}
    )


def _delay(value: str) -> int:
    if (seconds := number(DELAY_KEY, value)) > _MOST_DELAY:
        raise AwsError("ValidationError", f"'{DELAY_KEY}' value '{value}' must be between '0-3600' inclusive")
    return seconds


def _check_stickiness(protocol: str, given: Mapping[str, str]) -> None:
    kind = given.get(_STICKINESS)
    if kind is None:
        return
    if kind not in ("app_cookie", "lb_cookie", "source_ip"):
        raise AwsError("ValidationError", "'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]")
    if kind not in _STICKY.get(protocol, ("source_ip",)):
        reason = f"Stickiness type '{kind}' is not supported for target groups with the {protocol} protocol"
        raise AwsError("InvalidConfigurationRequest", reason)
    if protocol == "TLS" and given.get("stickiness.enabled") == "true":
        reason = "You cannot enable stickiness on target groups with the TLS protocol"
        raise AwsError("InvalidConfigurationRequest", reason)


def _check_flow_stickiness(given: Mapping[str, str]) -> None:
    kind = given.get(_STICKINESS, _FLOW_STICKY[0])
    if kind not in _FLOW_STICKY:
        raise AwsError("ValidationError", f"'{kind}' must be one of [{', '.join(_FLOW_STICKY)}]")


def terminates(group: TargetGroupResource) -> bool:
    """Return whether connections to a target are closed at the end of the deregistration delay."""
    if not isinstance(group.settings, NetworkTargetGroup):
        return True
    kept: JsonValue = group.kept.get("attributes")
    if isinstance(kept, dict):
        return kept.get(TERMINATION_KEY) == "true"
    return group.settings.protocol in ("UDP", "TCP_UDP")


def _shown(group: TargetGroupResource) -> list[dict[str, str]]:
    settings = group.settings
    other: dict[str, str | None] = {DELAY_KEY: str(int(settings.deregistration_delay.total_seconds()))}
    attributes = settings.attributes
    if isinstance(attributes, GatewayGroupAttributes):
        return _table(settings).shown(attributes, other)
    if isinstance(settings, NetworkTargetGroup):
        other[TERMINATION_KEY] = text(terminates(group))
        other["preserve_client_ip.enabled"] = text(settings.preserves_client)
    for name in ("count", "percentage"):
        # Without a value of its own, the one of routing counts.
        own = getattr(attributes, f"failover_{name}")
        value = getattr(attributes, f"minimum_healthy_{name}") if own is None else own
        other[f"{_MINIMUM}.dns_failover.minimum_healthy_targets.{name}"] = text(value)
    other[CROSS_ZONE] = text(attributes.cross_zone)
    return _table(settings).shown(attributes, other)
