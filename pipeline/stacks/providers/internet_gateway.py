"""AWS::EC2::InternetGateway."""

from __future__ import annotations

from typing import Any

from pipeline.network.kinds import Kind
from pipeline.network.state import Resource
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties


class InternetGateway(NetworkResource[TaggedProperties]):
    """Makes internet gateways. They carry nothing."""

    kind = Kind.INTERNET_GATEWAY
    reason = "kept: packets take the routes of this machine"
    deletes = ("DeleteInternetGateway", "InternetGatewayId")
    properties = TaggedProperties

    def _make(self, token: str, properties: TaggedProperties) -> None:
        self.ec2("CreateInternetGateway", token, TagSpecifications=self.ec2.specify(self.kind, properties.tags))

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        return {"InternetGatewayId": resource.id}

    def _shown(self, resource: Resource) -> dict[str, Any]:  # noqa: ARG002
        return {}
