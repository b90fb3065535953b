"""AWS::EC2::RouteTable."""

from __future__ import annotations

from typing import Any

from pipeline.network.kinds import Kind
from pipeline.network.state import Resource
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties


class RouteTableProperties(TaggedProperties):
    """The properties of a route table."""

    vpc_id: str


class RouteTable(NetworkResource[RouteTableProperties]):
    """Makes route tables. They route nothing."""

    kind = Kind.ROUTE_TABLE
    reason = "kept: packets take the routes of this machine"
    deletes = ("DeleteRouteTable", "RouteTableId")
    properties = RouteTableProperties
    replaces = frozenset({"VpcId"})

    def _make(self, token: str, properties: RouteTableProperties) -> None:
        tags = self.ec2.specify(self.kind, properties.tags)
        self.ec2("CreateRouteTable", token, VpcId=properties.vpc_id, TagSpecifications=tags)

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        return {"RouteTableId": resource.id}

    def _shown(self, resource: Resource) -> dict[str, Any]:
        return {"VpcId": resource.data["VpcId"]}
