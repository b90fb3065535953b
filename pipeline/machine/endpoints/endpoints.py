"""EC2's operations on endpoints. Each is a pure function from a call, the registry and the networks."""

from __future__ import annotations

from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.effective_endpoints import EffectiveEndpoint
from pipeline.balancer.endpoint_resources import EndpointResource, EndpointState
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpointSettings
from pipeline.balancer.registry import Registry
from pipeline.base.clock import SYSTEM
from pipeline.machine.endpoints.networks import AllowedNetworks, check_allowed, networks_of, routes_to
from pipeline.machine.endpoints.view import (
    EndpointView,
    changeable,
    created_at,
    described_tags,
    new_resource_id,
    unsuccessful,
)
from pipeline.network.filters import matching, page
from pipeline.network.kinds import Kind
from pipeline.network.lookup import Subnet
from pipeline.network.state import State
from pipeline.network.tags import tags_of

Result = dict[str, Any]

_TYPE = "GatewayLoadBalancer"
_PATHS = {
    "service-name": "ServiceName",
    "vpc-id": "VpcId",
    "vpc-endpoint-id": "VpcEndpointId",
    "vpc-endpoint-state": "State",
    "vpc-endpoint-type": "VpcEndpointType",
    "ip-address-type": "IpAddressType",
}


def create(call: Call, registry: Registry, subnet: Subnet | None) -> tuple[Registry, Result]:
    """CreateVpcEndpoint. A second call with the same token returns the first one's. `subnet`: that of the call."""
    view, id_ = EndpointView(registry, call), new_resource_id(call, "endpoint")
    if (kind := call.parameters.get("VpcEndpointType", "Gateway")) != _TYPE:
        text = f"Endpoints of type {kind} are not supported: use {_TYPE}"
        raise AwsError("UnsupportedOperation", text)
    service = view.service_named(_required(call, "ServiceName"))
    tags = tags_of(call, "vpc-endpoint")
    made = registry.endpoints.get(id_)
    if made is None:
        place = _place(call, subnet)
        made = EndpointResource(
            id=id_,
            owner=call.owner,
            made_by="api",
            name=f"vpce-{id_}",
            settings=GatewayEndpointSettings(service=f"{service.owner}/{service.name}", zone=place.zone.name),
            tags=tags,
            kept={
                "region": call.region,
                "created": SYSTEM.now().wall.isoformat(),
                "vpc": place.vpc_id,
                "subnets": [place.id],
            },
        )
        registry = registry.put(made)
    after = EndpointView(registry, call)
    described = _described(after, after.endpoint(made.endpoint_id))
    return registry, {"VpcEndpoint": described, "ClientToken": call.parameters.get("ClientToken")}


def describe(call: Call, registry: Registry) -> Result:
    """DescribeVpcEndpoints."""
    view = EndpointView(registry, call)
    wanted = [view.endpoint(id_) for id_ in call.parameters.get("VpcEndpointIds", ())] or view.endpoints
    found = matching([_described(view, each) for each in wanted], call.parameters.get("Filters", ()), _PATHS)
    return page(found, call.parameters, "VpcEndpoints")


def modify(call: Call, registry: Registry) -> tuple[Registry, Result]:
    """ModifyVpcEndpoint: nothing of an endpoint of this type can change."""
    changeable(EndpointView(registry, call).endpoint(call.parameters["VpcEndpointId"]).endpoint)
    given = [name for name in call.parameters if name not in ("VpcEndpointId", "DryRun", "IpAddressType")]
    if given:
        raise AwsError("InvalidParameter", f"{given[0]} cannot be modified for an endpoint of type {_TYPE}")
    return registry, {"Return": True}


def delete(call: Call, registry: Registry, state: State) -> tuple[Registry, Result]:
    """DeleteVpcEndpoints. One to which routes lead stays."""
    errors: list[tuple[str, AwsError]] = []
    for id_ in call.parameters["VpcEndpointIds"]:
        try:
            found = changeable(EndpointView(registry, call).endpoint(id_).endpoint)
            if tables := routes_to(state, call.owner, id_):
                text = f"The vpcEndpoint '{id_}' has routes in {', '.join(tables)} and cannot be deleted."
                raise AwsError("DependencyViolation", text)
            registry = registry.drop(found.id)
        except AwsError as error:
            errors.append((id_, error))
    return registry, unsuccessful(errors)


def followed(registry: Registry, owner: str, state: State, allowed: AllowedNetworks) -> Registry:
    """Return the registry with the networks of an owner's endpoints as the route tables have them.

    Those of pipeline.yaml stay. Raises `AwsError` for a subnet that stands for no network, or for one that the owner
    may not attach, and `ConfigError` for a network that has an endpoint already. What is attached stays allowed.
    """
    changed = []
    for endpoint in registry.endpoints.values():
        if endpoint.owner == owner and "vpc" in endpoint.kept:
            networks = networks_of(state, owner, endpoint.endpoint_id)
            known = {each.reference for each in endpoint.settings.networks.values()}
            check_allowed(owner, {each.reference for each in networks.values()} - known, allowed)
            settings = endpoint.settings.model_copy(update={"networks": networks})
            changed.append(endpoint.model_copy(update={"settings": settings}))
    return registry.put(*changed) if changed else registry


def subnet_of(call: Call) -> str | None:
    """Return the id of the subnet that a call names, if it names one."""
    found = call.parameters.get("SubnetIds", ())
    return found[0] if len(found) == 1 else None


def _place(call: Call, subnet: Subnet | None) -> Subnet:
    vpc, ids = _required(call, "VpcId"), call.parameters.get("SubnetIds", ())
    if len(ids) != 1:
        raise AwsError("InvalidParameter", f"An endpoint of type {_TYPE} must have exactly one subnet")
    if subnet is None:
        raise AwsError(Kind.SUBNET.not_found, f"The {Kind.SUBNET.noun} '{ids[0]}' does not exist")
    if subnet.vpc_id != vpc:
        raise AwsError("InvalidParameter", f"The subnet {subnet.id} is not in the VPC {vpc}")
    return subnet


def _required(call: Call, name: str) -> str:
    if name not in call.parameters:
        raise AwsError("MissingParameter", f"The request must contain the parameter {name}")
    return str(call.parameters[name])


def _described(view: EndpointView, effective: EffectiveEndpoint) -> Result:
    endpoint, service = effective.endpoint, effective.service
    # A declared endpoint is in no VPC.
    placed = {"VpcId": endpoint.kept["vpc"], "SubnetIds": endpoint.kept["subnets"]} if "vpc" in endpoint.kept else {}
    failure = {"FailureReason": effective.reason} if effective.state is EndpointState.FAILED else {}
    return {
        "VpcEndpointId": endpoint.endpoint_id,
        "VpcEndpointType": _TYPE,
        "ServiceName": view.service_name(service) if service else "/".join(endpoint.service),
        "State": effective.state.value,
        "SubnetIds": [],
        "RouteTableIds": [],
        "Groups": [],
        "IpAddressType": "ipv4",
        "PrivateDnsEnabled": False,
        "RequesterManaged": False,
        "NetworkInterfaceIds": [],
        "DnsEntries": [],
        "CreationTimestamp": created_at(endpoint),
        "Tags": described_tags(endpoint),
        "OwnerId": view.call.account,
        **placed,
        **failure,
    }
