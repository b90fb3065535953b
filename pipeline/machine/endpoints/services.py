"""EC2's operations on endpoint services. Each is a pure function from a call and the registry."""

from __future__ import annotations

from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.endpoint_resources import EndpointServiceResource, EndpointState
from pipeline.balancer.model.gateway.endpoint_service import EndpointService
from pipeline.balancer.registry import Registry
from pipeline.base.clock import SYSTEM
from pipeline.machine.endpoints.view import (
    EndpointView,
    changeable,
    described_tags,
    new_resource_id,
    unsuccessful,
)
from pipeline.network.filters import matching, page
from pipeline.network.tags import tags_of

Result = dict[str, Any]

_TYPE = [{"ServiceType": "GatewayLoadBalancer"}]
_PATHS = {
    "service-name": "ServiceName",
    "service-id": "ServiceId",
    "service-state": "ServiceState",
    "service-type": "ServiceType.ServiceType",
    "owner": "Owner",
    "supported-ip-address-types": "SupportedIpAddressTypes",
}


def create(call: Call, registry: Registry) -> tuple[Registry, Result]:
    """CreateVpcEndpointServiceConfiguration. A second call with the same token returns the first one's."""
    view, id_ = EndpointView(registry, call), new_resource_id(call, "service")
    arns = call.parameters.get("GatewayLoadBalancerArns", ())
    if call.parameters.get("NetworkLoadBalancerArns"):
        text = "Endpoint services of Network Load Balancers are not supported: use GatewayLoadBalancerArns"
        raise AwsError("UnsupportedOperation", text)
    if not arns:
        raise AwsError("MissingParameter", "The request must contain the parameter GatewayLoadBalancerArns")
    tags = tags_of(call, "vpc-endpoint-service")
    made = registry.endpoint_services.get(id_)
    if made is None:
        offered = tuple(dict.fromkeys(view.load_balancer(arn).id for arn in arns))
        required = call.parameters.get("AcceptanceRequired", True)
        made = EndpointServiceResource(
            id=id_,
            owner=call.owner,
            made_by="api",
            name=f"svc-{id_}",
            settings=EndpointService(load_balancers=offered, acceptance_required=required),
            tags=tags,
            kept={"region": call.region, "created": SYSTEM.now().wall.isoformat()},
        )
        registry = registry.put(made)
        made = registry.endpoint_services[id_]
    described = _described(EndpointView(registry, call), made)
    return registry, {"ServiceConfiguration": described, "ClientToken": call.parameters.get("ClientToken")}


def modify(call: Call, registry: Registry) -> tuple[Registry, Result]:
    """ModifyVpcEndpointServiceConfiguration. Connections stay as they are."""
    view = EndpointView(registry, call)
    found = changeable(view.service(call.parameters["ServiceId"]))
    added = [view.load_balancer(arn).id for arn in call.parameters.get("AddGatewayLoadBalancerArns", ())]
    removed = {view.load_balancer(arn).id for arn in call.parameters.get("RemoveGatewayLoadBalancerArns", ())}
    left = tuple(dict.fromkeys(id_ for id_ in (*found.settings.load_balancers, *added) if id_ not in removed))
    if not left:
        raise AwsError("InvalidParameter", "An endpoint service must have at least one load balancer")
    required = call.parameters.get("AcceptanceRequired", found.settings.acceptance_required)
    settings = EndpointService(load_balancers=left, acceptance_required=required)
    return registry.put(found.model_copy(update={"settings": settings})), {"Return": True}


def delete(call: Call, registry: Registry) -> tuple[Registry, Result]:
    """DeleteVpcEndpointServiceConfigurations. One with connections stays."""
    errors: list[tuple[str, AwsError]] = []
    for id_ in call.parameters["ServiceIds"]:
        view = EndpointView(registry, call)
        try:
            found = changeable(view.service(id_))
            if any(each.state is not EndpointState.REJECTED for each in view.connections(found)):
                text = "Service has existing active VPC Endpoint connections!"
                raise AwsError("ExistingVpcEndpointConnections", text)
            registry = registry.drop(found.id)
        except AwsError as error:
            errors.append((id_, error))
    return registry, unsuccessful(errors)


def describe_configurations(call: Call, registry: Registry) -> Result:
    """DescribeVpcEndpointServiceConfigurations: those of the owner."""
    view = EndpointView(registry, call)
    wanted = [view.service(id_) for id_ in call.parameters.get("ServiceIds", ())] or view.own_services
    found = matching([_described(view, each) for each in wanted], call.parameters.get("Filters", ()), _PATHS)
    return page(found, call.parameters, "ServiceConfigurations")


def describe(call: Call, registry: Registry) -> Result:
    """DescribeVpcEndpointServices: those of all owners."""
    view = EndpointView(registry, call)
    named = [view.service_named(name) for name in call.parameters.get("ServiceNames", ())] or view.services
    found = matching([_offer(view, each) for each in named], call.parameters.get("Filters", ()), _PATHS)
    result = page(found, call.parameters, "ServiceDetails")
    return {**result, "ServiceNames": [each["ServiceName"] for each in result["ServiceDetails"]]}


def _common(view: EndpointView, service: EndpointServiceResource) -> Result:
    return {
        "ServiceType": _TYPE,
        "ServiceId": service.service_id,
        "ServiceName": view.service_name(service),
        "AvailabilityZones": view.zones(service),
        "AcceptanceRequired": service.settings.acceptance_required,
        "ManagesVpcEndpoints": False,
        "BaseEndpointDnsNames": [],
        "SupportedIpAddressTypes": ["ipv4", "ipv6"],
        "Tags": described_tags(service),
    }


def _described(view: EndpointView, service: EndpointServiceResource) -> Result:
    arns = view.arns(service)
    return {**_common(view, service), "ServiceState": "Available", "GatewayLoadBalancerArns": arns}


def _offer(view: EndpointView, service: EndpointServiceResource) -> Result:
    own = {"Owner": view.call.account, "VpcEndpointPolicySupported": False, "ServiceRegion": view.call.region}
    return {**_common(view, service), **own}
