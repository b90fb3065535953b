"""AWS::EC2::SubnetRouteTableAssociation."""

from __future__ import annotations

from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.network.kinds import Kind, new_id
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.ec2 import Ec2


class AssociationProperties(Properties):
    """The properties of an association."""

    route_table_id: str
    subnet_id: str


class RouteTableAssociation:
    """Associates route tables with subnets."""

    properties = AssociationProperties
    replaces = frozenset({"RouteTableId", "SubnetId"})

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2

    def create(self, token: str, properties: AssociationProperties) -> State | Pending:
        """Associate a table. One that a subnet had before is replaced, because a subnet has one table."""
        if self.find(token) is None:
            for each in self._all():
                if each.get("SubnetId") == properties.subnet_id:
                    self._ec2.delete("DisassociateRouteTable", AssociationId=each["RouteTableAssociationId"])
            self._ec2(
                "AssociateRouteTable", token, RouteTableId=properties.route_table_id, SubnetId=properties.subnet_id
            )
        found = self.read(_id(token))
        assert found is not None
        return found

    def find(self, token: str) -> str | None:
        """Find an association by the id that follows from the token."""
        return _id(token) if self.read(_id(token)) else None

    def read(self, physical_id: str) -> State | None:
        """Return an association."""
        found = next((each for each in self._all() if each["RouteTableAssociationId"] == physical_id), None)
        if found is None:
            return None
        shown = {"RouteTableId": found["RouteTableId"], "SubnetId": found.get("SubnetId")}
        return State(physical_id, {"Id": physical_id}, shown, "kept: packets take the routes of this machine")

    def update(self, physical_id: str, before: AssociationProperties, after: AssociationProperties) -> State:  # noqa: ARG002
        """Change nothing: both properties need another association."""
        found = self.read(physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        return found

    def delete(self, physical_id: str) -> Pending | None:
        """Remove an association."""
        self._ec2.delete("DisassociateRouteTable", AssociationId=physical_id)
        return None

    def _all(self) -> list[dict[str, Any]]:
        tables = self._ec2.state().all(self._ec2.context.owner, Kind.ROUTE_TABLE)
        return [each for table in tables for each in table.data["Associations"]]


def _id(token: str) -> str:
    return new_id("rtbassoc", token)
