"""Attributes of load balancers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.attributes import AttributeTable, changed
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model.application.attributes import LoadBalancerAttributes
from pipeline.balancer.model.attributes import IN_CLOUD
from pipeline.balancer.model.gateway.attributes import GatewayLoadBalancerAttributes
from pipeline.balancer.model.network.attributes import NetworkLoadBalancerAttributes
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import LoadBalancerResource

_NO_S3 = "logs are not written to S3; `pipeline balancer log` prints the same fields"
_LOGS = ("access_logs", "connection_logs", "health_check_logs")
_S3_VALUES = {"enabled": "false", "bucket": "", "prefix": ""}


def _logs(*kinds: str) -> dict[str, tuple[str, str]]:
    return {f"{kind}.s3.{name}": (value, _NO_S3) for kind in kinds for name, value in _S3_VALUES.items()}


def _keys(
    model: type[LoadBalancerAttributes | NetworkLoadBalancerAttributes | GatewayLoadBalancerAttributes],
) -> frozenset[str]:
    return frozenset(str(field.alias) for field in model.model_fields.values())


_TABLES = {
    "application": AttributeTable(
        "Load balancer",
        _keys(LoadBalancerAttributes),
        {
            **_logs(*_LOGS),
            "ipv6.deny_all_igw_traffic": ("false", IN_CLOUD),
            "routing.http.x_amzn_tls_kx.enabled": ("false", "HAProxy does not report the key exchange"),
            "waf.fail_open.enabled": ("false", "it configures AWS WAF"),
        },
    ),
    "network": AttributeTable(
        "Load balancer",
        _keys(NetworkLoadBalancerAttributes),
        {
            **_logs("access_logs"),
            "ipv6.deny_all_igw_traffic": ("false", IN_CLOUD),
            "secondary_ips.auto_assigned.per_subnet": ("0", IN_CLOUD),
        },
    ),
    "gateway": AttributeTable("Load balancer", _keys(GatewayLoadBalancerAttributes)),
}


def describe_load_balancer_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """DescribeLoadBalancerAttributes."""
    return {"Attributes": _shown(api.view(call).load_balancer(call.parameters["LoadBalancerArn"]))}


def modify_load_balancer_attributes(api: Api, call: Call) -> Mapping[str, Any]:
    """ModifyLoadBalancerAttributes."""
    arn = call.parameters["LoadBalancerArn"]

    def change(view: View) -> Registry:
        known = view.changeable(view.load_balancer(arn))
        values = _TABLES[known.settings.type].parse(call.parameters["Attributes"])
        attributes = changed(known.settings.attributes, values)
        settings = known.settings.model_copy(update={"attributes": attributes})
        return view.registry.put(known.model_copy(update={"settings": settings}))

    return {"Attributes": _shown(api.change(call, change).load_balancer(arn))}


def _shown(found: LoadBalancerResource) -> list[dict[str, str]]:
    return _TABLES[found.settings.type].shown(found.settings.attributes)
