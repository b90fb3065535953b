"""AWS::ElasticLoadBalancingV2::TargetGroup."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.balancer.elbv2.api import checked
from pipeline.balancer.elbv2.health_checks import parse_health_check
from pipeline.balancer.elbv2.target_groups import target_type
from pipeline.balancer.elbv2.target_ids import shown_target
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.registry import Registry
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.elbv2.attributes import set_attributes, set_tags, shown_attributes
from pipeline.stacks.providers.elbv2.load_balancer import resource_name
from pipeline.stacks.providers.elbv2.properties import KeyValue, listed, pairs, parameters
from pipeline.stacks.providers.elbv2.resource import Elbv2Resource, described

_CHECK = (
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckPath",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
    "Matcher",
)
_FIXED = ("Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId", "IpAddressType", "TargetControlPort")


class Target(Properties):
    """A target."""

    id: str
    port: int | None = Field(default=None, ge=1, le=65535)
    availability_zone: str | None = None


class Matcher(Properties):
    """The codes of a healthy response."""

    http_code: str | None = None
    grpc_code: str | None = None


class TargetGroupProperties(Properties):
    """The properties of a target group."""

    name: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    protocol: Literal["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"] | None = None
    protocol_version: Literal["HTTP1", "HTTP2", "GRPC"] | None = None
    target_type: Literal["instance", "ip", "lambda", "alb"] = "instance"
    vpc_id: str | None = None
    ip_address_type: Literal["ipv4", "ipv6"] | None = None
    target_control_port: int | None = Field(default=None, ge=1, le=65535)
    health_check_enabled: bool | None = None
    health_check_protocol: Literal["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE"] | None = None
    health_check_port: str | None = None
    health_check_path: str | None = Field(default=None, min_length=1, max_length=1024)
    health_check_interval_seconds: int | None = Field(default=None, ge=5, le=300)
    health_check_timeout_seconds: int | None = Field(default=None, ge=2, le=120)
    healthy_threshold_count: int | None = Field(default=None, ge=2, le=10)
    unhealthy_threshold_count: int | None = Field(default=None, ge=2, le=10)
    matcher: Matcher | None = None
    targets: tuple[Target, ...] = ()
    target_group_attributes: tuple[KeyValue, ...] = ()
    tags: tuple[KeyValue, ...] = ()


class TargetGroup(Elbv2Resource[TargetGroupProperties]):
    """Makes target groups, with the targets that a template lists."""

    kind = "target_groups"
    noun = "TargetGroup"
    properties = TargetGroupProperties
    replaces = frozenset({"Name", *_FIXED})

    def _make(self, token: str, properties: TargetGroupProperties) -> str:
        made = self.elbv2(
            "CreateTargetGroup",
            token,
            **{"Name": resource_name(token), **parameters(properties, "Targets", "TargetGroupAttributes", "Tags")},
            Tags=listed(self.elbv2.tags(pairs(properties.tags))),
        )
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def _complete(self, arn: str, properties: TargetGroupProperties) -> None:
        self._set(arn, properties, properties)

    def _change(self, arn: str, before: TargetGroupProperties, after: TargetGroupProperties) -> Pending | None:
        given = parameters(after)
        check = {name: given[name] for name in _CHECK if name in given}

        def change(view: View) -> Registry:
            known = view.changeable(view.target_group(arn))
            settings = known.settings
            values = {name: getattr(settings, name) for name in settings.model_fields_set}
            # From the defaults, so what the template does not set any more is reset.
            values["health_check"] = parse_health_check(check, target_type(known), settings.protocol)
            kept = {key: value for key, value in known.kept.items() if key != "health_check_enabled"}
            if after.health_check_enabled is not None:
                kept["health_check_enabled"] = after.health_check_enabled
            return view.registry.put(
                known.model_copy(update={"settings": checked(type(settings), values), "kept": kept})
            )

        self.elbv2.api.change(self.elbv2.call, change)
        self._set(arn, before, after)
        return None

    def _set(self, arn: str, before: TargetGroupProperties, after: TargetGroupProperties) -> None:
        resource = self.elbv2.view().target_group(arn)
        set_attributes(
            self.elbv2, self.noun, arn, before.target_group_attributes, after.target_group_attributes, resource
        )
        set_tags(self.elbv2, arn, after.tags)
        if new := [parameters(target) for target in after.targets]:
            self.elbv2("RegisterTargets", TargetGroupArn=arn, Targets=new)
        if gone := [parameters(target) for target in before.targets if target not in after.targets]:
            self.elbv2("DeregisterTargets", TargetGroupArn=arn, Targets=gone)

    def _state(self, arn: str) -> State:
        shown, view = described(self.elbv2, self.noun, arn), self.elbv2.view()
        resource = view.target_group(arn)
        registered = view.registry.targets.get(resource.id, ())
        attributes = {
            "TargetGroupArn": arn,
            "TargetGroupFullName": arn.rpartition(":")[2],
            "TargetGroupName": shown["TargetGroupName"],
            "LoadBalancerArns": shown.get("LoadBalancerArns", []),
        }
        properties: dict[str, Any] = {
            "Name": shown["TargetGroupName"],
            **{name: shown[name] for name in (*_FIXED, *_CHECK, "HealthCheckEnabled") if name in shown},
            "Targets": [shown_target(view, resource, each.target) for each in registered],
            "TargetGroupAttributes": shown_attributes(self.elbv2, self.noun, arn),
            "Tags": listed(resource.tags),
        }
        return State(arn, attributes, properties)
