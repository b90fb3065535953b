"""EC2's operations on the connections of endpoints to the services of an owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.effective_endpoints import EffectiveEndpoint
from pipeline.balancer.endpoint_resources import EndpointServiceResource, EndpointState
from pipeline.balancer.registry import Registry
from pipeline.machine.endpoints.view import EndpointView, created_at, described_tags, unsuccessful
from pipeline.network.filters import matching, page

Decide = Callable[[str, EndpointState, str], object]
"""Accepts or rejects an endpoint, by its id in EC2, for a user."""

_PATHS = {
    "service-id": "ServiceId",
    "vpc-endpoint-id": "VpcEndpointId",
    "vpc-endpoint-owner": "VpcEndpointOwner",
    "vpc-endpoint-state": "VpcEndpointState",
    "ip-address-type": "IpAddressType",
}


def describe(call: Call, registry: Registry) -> dict[str, Any]:
    """DescribeVpcEndpointConnections."""
    view = EndpointView(registry, call)
    described = [_described(view, service, each) for service in view.own_services for each in view.connections(service)]
    found = matching(described, call.parameters.get("Filters", ()), _PATHS)
    return page(found, call.parameters, "VpcEndpointConnections")


def decide(call: Call, registry: Registry, state: EndpointState, carry_out: Decide) -> dict[str, Any]:
    """AcceptVpcEndpointConnections and RejectVpcEndpointConnections."""
    view, errors = EndpointView(registry, call), []
    service = view.service(call.parameters["ServiceId"])
    known = {each.endpoint.endpoint_id for each in view.connections(service)}
    for id_ in call.parameters["VpcEndpointIds"]:
        if id_ in known:
            carry_out(id_, state, call.owner)
        else:
            text = f"The Vpc Endpoint Id '{id_}' does not exist"
            errors.append((id_, AwsError("InvalidVpcEndpointId.NotFound", text)))
    return unsuccessful(errors)


def _described(view: EndpointView, service: EndpointServiceResource, effective: EffectiveEndpoint) -> dict[str, Any]:
    endpoint = effective.endpoint
    return {
        "ServiceId": service.service_id,
        "VpcEndpointId": endpoint.endpoint_id,
        "VpcEndpointOwner": view.call.account,
        "VpcEndpointState": effective.state.value,
        "CreationTimestamp": created_at(endpoint),
        "GatewayLoadBalancerArns": view.arns(service),
        "IpAddressType": "ipv4",
        "VpcEndpointConnectionId": f"vpce-con-0{endpoint.id}",
        "Tags": described_tags(endpoint),
    }
