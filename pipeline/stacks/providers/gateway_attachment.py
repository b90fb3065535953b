"""AWS::EC2::VPCGatewayAttachment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.network.kinds import Kind
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.kept import Kept, KeptType
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.resource_types import AnyProperties

TYPE = "AWS::EC2::VPCGatewayAttachment"
_KEPT = KeptType(
    "kept: packets take the routes of this machine",
    attributes={"AttachmentType": "{ref:.3}"},
    required=("VpcId",),
    # AWS changes the gateways in place. Nothing depends on the id of an attachment.
    replaces=frozenset({"InternetGatewayId", "VpcId", "VpnGatewayId"}),
)


class GatewayAttachment(Kept):
    """Attaches internet gateways to VPCs. Gateways of VPNs are only kept."""

    def __init__(self, ec2: Ec2, store: KeptStore) -> None:
        super().__init__(TYPE, _KEPT, store, ec2.context)
        self._ec2 = ec2

    def create(self, token: str, properties: AnyProperties) -> State | Pending:
        """Attach a gateway."""
        state = super().create(token, properties)
        given = properties.model_dump()
        gateway, vpc = given.get("InternetGatewayId"), given["VpcId"]
        if gateway and not self._is_attached(gateway, vpc):
            self._ec2("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
        return state

    def delete(self, physical_id: str) -> Pending | None:
        """Detach a gateway."""
        found = self.store.find(self.context.owner, TYPE, physical_id)
        gateway = found.properties.get("InternetGatewayId") if found else None
        if found and gateway and self._is_attached(gateway, found.properties["VpcId"]):
            self._ec2("DetachInternetGateway", InternetGatewayId=gateway, VpcId=found.properties["VpcId"])
        return super().delete(physical_id)

    def _is_attached(self, gateway_id: str, vpc_id: str) -> bool:
        found = self._ec2.find(Kind.INTERNET_GATEWAY, gateway_id)
        return found is not None and any(each["VpcId"] == vpc_id for each in found.data["Attachments"])

    def _id(self, token: str, properties: Mapping[str, Any]) -> str:  # noqa: ARG002
        if not properties.get("InternetGatewayId") and not properties.get("VpnGatewayId"):
            raise AwsError("ValidationError", "Either InternetGatewayId or VpnGatewayId must be set")
        kind = "IGW" if properties.get("InternetGatewayId") else "VGW"
        return f"{kind}|{properties['VpcId']}"
