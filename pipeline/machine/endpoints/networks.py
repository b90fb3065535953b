"""The networks of this machine that an endpoint of EC2's API has: those whose route tables lead to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.aws.errors import AwsError
from pipeline.balancer.model.gateway.attached_network import AttachedNetwork
from pipeline.network.kinds import Kind
from pipeline.network.state import Resource, State

TAG = "penstock:network"
"""The tag of a subnet that says which network of this machine it stands for."""
AllowedNetworks = Callable[[str], Collection[str] | None]
"""Returns the networks that endpoints of an owner may attach, as `AttachedNetwork.reference`, or None for all."""
_HINT = f"give it the tag {TAG} with docker_network/NAME, namespace/NAME or host"


def networks_of(state: State, owner: str, endpoint_id: str) -> dict[str, AttachedNetwork]:
    """Return the networks of an endpoint by the ids of their subnets.

    A subnet without a route to the endpoint has none of it. Raises `AwsError` for one whose tag does not say which
    network of this machine it is.
    """
    found: dict[str, AttachedNetwork] = {}
    for table in state.all(owner, Kind.ROUTE_TABLE):
        routes = [destination(route) for route in table.data["Routes"] if route.get("GatewayId") == endpoint_id]
        for subnet in _subnets(state, owner, table) if routes else ():
            found[subnet.id] = _network(subnet, routes)
    return found


def check_allowed(owner: str, networks: Collection[str], allowed: AllowedNetworks) -> None:
    """Raise `AwsError` for the first of these networks that endpoints of an owner may not attach."""
    if not networks or (listed := allowed(owner)) is None:
        return
    if refused := sorted({*networks} - {*listed}):
        reason = f"endpoint_networks in the policy of {owner} does not list {refused[0]}"
        raise AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {reason}", 403)


def routes_to(state: State, owner: str, endpoint_id: str) -> list[str]:
    """Return the ids of the route tables with a route to an endpoint."""
    tables = state.all(owner, Kind.ROUTE_TABLE)
    return [each.id for each in tables if any(r.get("GatewayId") == endpoint_id for r in each.data["Routes"])]


def destination(route: Mapping[str, Any]) -> str:
    """Return the destination of a route."""
    return str(route.get("DestinationCidrBlock") or route["DestinationIpv6CidrBlock"])


def _subnets(state: State, owner: str, table: Resource) -> Iterator[Resource]:
    """Yield the subnets whose packets follow a route table. Those without a table of their own follow the main one."""
    associations = table.data["Associations"]
    own = {each.get("SubnetId") for each in associations}
    is_main = any(each["Main"] for each in associations)
    others = {
        each.get("SubnetId") for other in state.all(owner, Kind.ROUTE_TABLE) for each in other.data["Associations"]
    }
    for subnet in state.all(owner, Kind.SUBNET, lambda data: data["VpcId"] == table.data["VpcId"]):
        if subnet.id in own or (is_main and subnet.id not in others):
            yield subnet


def _network(subnet: Resource, routes: list[str]) -> AttachedNetwork:
    kind, _, name = subnet.tags.get(TAG, "").partition("/")
    if kind == "docker_network":
        given: dict[str, Any] = {"docker_network": name}
    elif kind == "namespace":
        given = {"namespace": name, "addresses": [subnet.data["CidrBlock"]]}
    elif (kind, name) == ("host", ""):
        given = {"host": True, "addresses": [subnet.data["CidrBlock"]]}
    else:
        raise _unclear(subnet)
    try:
        return AttachedNetwork.model_validate({**given, "routes": routes})
    except ValidationError:
        raise _unclear(subnet) from None


def _unclear(subnet: Resource) -> AwsError:
    return AwsError("InvalidParameterValue", f"Subnet {subnet.id} stands for no network of this machine: {_HINT}")
