"""AWS::EC2::VPCEndpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.kept import Kept, KeptType
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.providers.vpc_endpoint_service import tag_specifications
from pipeline.stacks.resource_types import AnyProperties

TYPE = "AWS::EC2::VPCEndpoint"
_KEPT = KeptType(
    "kept: nothing connects by it; load balancers are reached at the addresses of their zones",
    "vpce-{hex}",
    {"Id": "{ref}", "DnsEntries": (), "NetworkInterfaceIds": ()},
    required=("VpcId",),
    replaces=frozenset({"ServiceName", "VpcEndpointType", "VpcId", "SubnetIds"}),
)
_GATEWAY = "GatewayLoadBalancer"


class VpcEndpoint(Kept):
    """Makes endpoints of gateway load balancers. Those of other types are only kept."""

    def __init__(self, ec2: Ec2, store: KeptStore) -> None:
        super().__init__(TYPE, _KEPT, store, ec2.context)
        self._ec2 = ec2

    def read(self, physical_id: str) -> State | None:
        """Return an endpoint. None if a client has deleted it."""
        state = super().read(physical_id)
        is_gone = state is not None and _is_gateway(state.properties or {}) and not self._exists(physical_id)
        return None if state is None or is_gone else _without_reason(state)

    def create(self, token: str, properties: AnyProperties) -> State | Pending:
        """Make an endpoint. The owner of the service may have to accept it before it carries packets."""
        state = super().create(token, properties)
        return _without_reason(state) if isinstance(state, State) else state

    def update(self, physical_id: str, before: AnyProperties, after: AnyProperties) -> State:
        """Keep other properties. Only the tags of an endpoint of a gateway load balancer change."""
        self._ec2.set_endpoint_tags(physical_id, after.model_dump())
        return _without_reason(super().update(physical_id, before, after))

    def delete(self, physical_id: str) -> Pending | None:
        """Delete an endpoint. One to which routes lead cannot be deleted."""
        if self._exists(physical_id):
            result = self._ec2("DeleteVpcEndpoints", VpcEndpointIds=[physical_id])
            for each in result["Unsuccessful"]:
                raise AwsError(each["Error"]["Code"], each["Error"]["Message"])
        return super().delete(physical_id)

    def _id(self, token: str, properties: Mapping[str, Any]) -> str:
        if not _is_gateway(properties):
            return super()._id(token, properties)
        made = self._ec2(
            "CreateVpcEndpoint",
            token,
            VpcEndpointType=_GATEWAY,
            **{name: properties[name] for name in ("VpcId", "ServiceName", "SubnetIds") if name in properties},
            TagSpecifications=tag_specifications(self._ec2, "vpc-endpoint", properties),
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def _exists(self, physical_id: str) -> bool:
        return physical_id in self._ec2.endpoints.ids(self.context.owner)


def _is_gateway(properties: Mapping[str, Any]) -> bool:
    return properties.get("VpcEndpointType") == _GATEWAY


def _without_reason(state: State) -> State:
    """Return the state of an endpoint that is more than kept without the reason of those that are not."""
    return replace(state, reason="") if _is_gateway(state.properties or {}) else state
