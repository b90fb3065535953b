"""AWS::EC2::Route."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.network.kinds import Kind
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.kept import Kept, KeptType
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.resource_types import AnyProperties

TYPE = "AWS::EC2::Route"
_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
_KEPT = KeptType(
    "kept: packets take the routes of this machine",
    required=("RouteTableId",),
    replaces=frozenset({"RouteTableId", *_DESTINATIONS}),
)


class Route(Kept):
    """Keeps routes. Those to internet gateways and endpoints are in their tables too, as EC2's API shows them."""

    def __init__(self, ec2: Ec2, store: KeptStore) -> None:
        super().__init__(TYPE, _KEPT, store, ec2.context)
        self._ec2 = ec2

    def create(self, token: str, properties: AnyProperties) -> State | Pending:
        """Add a route."""
        given = properties.model_dump()
        if self._ec2.find(Kind.ROUTE_TABLE, given["RouteTableId"]) is None:
            raise ConfigError(f"The routeTable ID '{given['RouteTableId']}' does not exist")
        state = super().create(token, properties)
        self._put(given)
        return state

    def update(self, physical_id: str, before: AnyProperties, after: AnyProperties) -> State:
        """Change the target of a route."""
        state = super().update(physical_id, before, after)
        self._put(after.model_dump())
        return state

    def delete(self, physical_id: str) -> Pending | None:
        """Remove a route."""
        if found := self.store.find(self.context.owner, TYPE, physical_id):
            self._remove(found.properties)
        return super().delete(physical_id)

    def _put(self, properties: Mapping[str, Any]) -> None:
        target = self._target(properties)
        if not target:
            self._remove(properties)
        else:
            operation = "ReplaceRoute" if self._is_in_table(properties) else "CreateRoute"
            self._ec2(operation, **_place(properties), **target)

    def _target(self, properties: Mapping[str, Any]) -> dict[str, str]:
        """Return the target that a table has: an internet gateway, or an endpoint of a gateway load balancer."""
        gateway, endpoint = (str(properties.get(name, "")) for name in ("GatewayId", "VpcEndpointId"))
        if gateway.startswith("igw-"):
            return {"GatewayId": gateway}
        return {"VpcEndpointId": endpoint} if endpoint in self._ec2.endpoints.ids(self.context.owner) else {}

    def _remove(self, properties: Mapping[str, Any]) -> None:
        if self._is_in_table(properties):
            self._ec2("DeleteRoute", **_place(properties))

    def _is_in_table(self, properties: Mapping[str, Any]) -> bool:
        table = self._ec2.find(Kind.ROUTE_TABLE, properties["RouteTableId"])
        name, destination = _destination(properties)
        return table is not None and any(route.get(name) == destination for route in table.data["Routes"])

    def _id(self, token: str, properties: Mapping[str, Any]) -> str:  # noqa: ARG002
        return f"{properties['RouteTableId']}|{_destination(properties)[1]}"


def _destination(properties: Mapping[str, Any]) -> tuple[str, str]:
    given = [(name, str(properties[name])) for name in _DESTINATIONS if properties.get(name)]
    if len(given) != 1:
        raise ConfigError(f"exactly one of {', '.join(_DESTINATIONS)} must be set")
    ((name, text),) = given
    try:
        return name, text if name == "DestinationPrefixListId" else str(ip_network(text))
    except ValueError as error:
        raise ConfigError(f"{name}: {text} is not a CIDR block: {error}") from None


def _place(properties: Mapping[str, Any]) -> dict[str, str]:
    name, destination = _destination(properties)
    return {"RouteTableId": properties["RouteTableId"], name: destination}
