"""EC2's operations on internet gateways and route tables. Each is a pure function from a call and the state.

They are kept and described. Packets take the routes of this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from ipaddress import ip_network
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.describe import describe_gateway, describe_table
from pipeline.network.kinds import Kind, new_id
from pipeline.network.records import internet_gateway, route_table
from pipeline.network.state import Resource, State
from pipeline.network.tags import tags_of

Result = dict[str, Any]


def create_gateway(call: Call, state: State) -> tuple[State, Result]:
    """Make an internet gateway."""
    tags = tags_of(call, Kind.INTERNET_GATEWAY.label)
    made = internet_gateway(new_id(Kind.INTERNET_GATEWAY.prefix, call.token), call.owner, tags=tags)
    return state.put(made), {"InternetGateway": describe_gateway(call, made)}


def attach_gateway(call: Call, state: State) -> tuple[State, Result]:
    """Attach an internet gateway to a VPC."""
    gateway = _gateway(call, state)
    vpc = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    if gateway.data["Attachments"]:
        attached = gateway.data["Attachments"][0]["VpcId"]
        text = f"resource {gateway.id} is already attached to network {attached}"
        raise AwsError("Resource.AlreadyAssociated", text)
    if any(_is_attached(each, vpc.id) for each in state.all(call.owner, Kind.INTERNET_GATEWAY)):
        text = f"Network {vpc.id} already has an internet gateway attached"
        raise AwsError("InvalidParameterValue", text)
    return state.put(gateway.with_data(Attachments=[{"VpcId": vpc.id, "State": "available"}])), {}


def detach_gateway(call: Call, state: State) -> tuple[State, Result]:
    """Detach an internet gateway from its VPC."""
    gateway = _gateway(call, state)
    if not _is_attached(gateway, call.parameters["VpcId"]):
        text = f"resource {gateway.id} is not attached to network {call.parameters['VpcId']}"
        raise AwsError("Gateway.NotAttached", text)
    return state.put(gateway.with_data(Attachments=[])), {}


def delete_gateway(call: Call, state: State) -> tuple[State, Result]:
    """Delete an internet gateway that is not attached."""
    gateway = _gateway(call, state)
    if gateway.data["Attachments"]:
        text = f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted."
        raise AwsError("DependencyViolation", text)
    return state.remove(gateway), {}


def create_table(call: Call, state: State) -> tuple[State, Result]:
    """Make a route table. A second call with the same token returns the first one's."""
    vpc = state.get(call.owner, Kind.VPC, call.parameters["VpcId"])
    tags = tags_of(call, Kind.ROUTE_TABLE.label)
    token = call.parameters.get("ClientToken", call.token or secrets.token_hex())
    made_id = new_id(Kind.ROUTE_TABLE.prefix, call.token or f"{call.owner}/{token}")
    if (found := state.find(call.owner, Kind.ROUTE_TABLE, made_id)) is not None:
        return state, {"RouteTable": describe_table(call, found), "ClientToken": token}
    made = route_table(made_id, call.owner, vpc.id, vpc.data["CidrBlock"], tags)
    return state.put(made), {"RouteTable": describe_table(call, made), "ClientToken": token}


def delete_table(call: Call, state: State) -> tuple[State, Result]:
    """Delete a route table without associations."""
    table = _table(call, state)
    if table.data["Associations"]:
        text = f"The routeTable '{table.id}' has dependencies and cannot be deleted."
        raise AwsError("DependencyViolation", text)
    return state.remove(table), {}


def create_route(call: Call, state: State, endpoints: Collection[str] = ()) -> tuple[State, Result]:
    """Add a route to an internet gateway or to one of the endpoints, by their ids."""
    table, route = _table(call, state), _new_route(call, state, endpoints)
    if _route(table, route) is not None:
        destination = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        raise AwsError("RouteAlreadyExists", f"The route identified by {destination} already exists.")
    return state.put(table.with_data(Routes=[*table.data["Routes"], route])), {"Return": True}


def replace_route(call: Call, state: State, endpoints: Collection[str] = ()) -> tuple[State, Result]:
    """Replace the route with the same destination. See `create_route`."""
    table, route = _table(call, state), _new_route(call, state, endpoints)
    former = _existing_route(table, route)
    routes = [route if each is former else each for each in table.data["Routes"]]
    return state.put(table.with_data(Routes=routes)), {}


def delete_route(call: Call, state: State) -> tuple[State, Result]:
    """Delete a route. The one to the VPC itself stays."""
    table = _table(call, state)
    former = _existing_route(table, _destination(call))
    if former["GatewayId"] == "local":
        text = f"cannot remove local route {former['DestinationCidrBlock']} in route table {table.id}"
        raise AwsError("InvalidParameterValue", text)
    return state.put(table.with_data(Routes=[each for each in table.data["Routes"] if each is not former])), {}


def associate_table(call: Call, state: State) -> tuple[State, Result]:
    """Associate a route table with a subnet."""
    table = _table(call, state)
    if "SubnetId" not in call.parameters:
        raise AwsError("MissingParameter", "The request must contain the parameter subnetId")
    subnet = state.get(call.owner, Kind.SUBNET, call.parameters["SubnetId"])
    if subnet.data["VpcId"] != table.data["VpcId"]:
        text = f"Route table {table.id} and subnet {subnet.id} belong to different networks"
        raise AwsError("InvalidParameterValue", text)
    for other in state.all(call.owner, Kind.ROUTE_TABLE):
        for each in other.data["Associations"]:
            if each.get("SubnetId") == subnet.id:
                text = f"the specified association for route table {table.id} conflicts with an existing association"
                raise AwsError("Resource.AlreadyAssociated", text)
    made = {
        "Main": False,
        "RouteTableAssociationId": new_id("rtbassoc", call.token),
        "RouteTableId": table.id,
        "SubnetId": subnet.id,
        "AssociationState": {"State": "associated"},
    }
    after = state.put(table.with_data(Associations=[*table.data["Associations"], made]))
    return after, {"AssociationId": made["RouteTableAssociationId"], "AssociationState": made["AssociationState"]}


def disassociate_table(call: Call, state: State) -> tuple[State, Result]:
    """Remove the association of a route table with a subnet."""
    wanted = call.parameters["AssociationId"]
    for table in state.all(call.owner, Kind.ROUTE_TABLE):
        kept = [each for each in table.data["Associations"] if each["RouteTableAssociationId"] != wanted]
        gone = [each for each in table.data["Associations"] if each not in kept]
        if gone and gone[0]["Main"]:
            raise AwsError("InvalidParameterValue", f"cannot disassociate the main route table association {wanted}")
        if gone:
            return state.put(table.with_data(Associations=kept)), {}
    raise AwsError("InvalidAssociationID.NotFound", f"The association ID '{wanted}' does not exist")


def _gateway(call: Call, state: State) -> Resource:
    return state.get(call.owner, Kind.INTERNET_GATEWAY, call.parameters["InternetGatewayId"])


def _is_attached(gateway: Resource, vpc_id: str) -> bool:
    return any(each["VpcId"] == vpc_id for each in gateway.data["Attachments"])


def _table(call: Call, state: State) -> Resource:
    return state.get(call.owner, Kind.ROUTE_TABLE, call.parameters["RouteTableId"])


def _destination(call: Call) -> dict[str, str]:
    names = ("DestinationCidrBlock", "DestinationIpv6CidrBlock")
    given = {name: call.parameters[name] for name in names if name in call.parameters}
    if len(given) != 1:
        text = "The request must contain exactly one of destinationCidrBlock and destinationIpv6CidrBlock"
        raise AwsError("MissingParameter", text)
    ((name, text),) = given.items()
    try:
        return {name: str(ip_network(text))}
    except ValueError:
        raise AwsError("InvalidParameterValue", f"Value ({text}) for parameter {name} is invalid.") from None


def _new_route(call: Call, state: State, endpoints: Collection[str]) -> dict[str, str]:
    if "VpcEndpointId" in call.parameters:
        endpoint_id = call.parameters["VpcEndpointId"]
        if endpoint_id not in endpoints:
            raise AwsError("InvalidVpcEndpointId.NotFound", f"The vpcEndpoint ID '{endpoint_id}' does not exist")
        # EC2 describes an endpoint as the gateway of its route.
        return {**_destination(call), "GatewayId": endpoint_id, "Origin": "CreateRoute", "State": "active"}
    gateway_id = call.parameters.get("GatewayId")
    if gateway_id is None:
        raise AwsError("MissingParameter", "The request must contain the parameter gatewayId, an internet gateway")
    if state.find(call.owner, Kind.INTERNET_GATEWAY, gateway_id) is None:
        raise AwsError("InvalidGatewayID.NotFound", f"The gateway ID '{gateway_id}' does not exist")
    return {**_destination(call), "GatewayId": gateway_id, "Origin": "CreateRoute", "State": "active"}


def _route(table: Resource, destination: Mapping[str, str]) -> Mapping[str, str] | None:
    names = ("DestinationCidrBlock", "DestinationIpv6CidrBlock")
    routes: list[Mapping[str, str]] = table.data["Routes"]
    return next((each for each in routes if all(each.get(name) == destination.get(name) for name in names)), None)


def _existing_route(table: Resource, destination: Mapping[str, str]) -> Mapping[str, str]:
    found = _route(table, destination)
    if found is None:
        shown = next(iter(destination.values()))
        text = f"no route with destination-cidr-block {shown} in route table {table.id}"
        raise AwsError("InvalidRoute.NotFound", text)
    return found
