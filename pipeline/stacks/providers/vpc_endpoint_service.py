"""AWS::EC2::VPCEndpointService."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.kept import Kept, KeptType
from pipeline.stacks.providers.kept_store import KeptStore
from pipeline.stacks.resource_types import AnyProperties

TYPE = "AWS::EC2::VPCEndpointService"
_KEPT = KeptType(
    "kept: nothing connects by it; load balancers are reached at the addresses of their zones",
    "vpce-svc-{hex}",
    {"ServiceId": "{ref}"},
)
_ARNS = "GatewayLoadBalancerArns"


class VpcEndpointService(Kept):
    """Makes endpoint services of gateway load balancers. Those of network load balancers are only kept."""

    def __init__(self, ec2: Ec2, store: KeptStore) -> None:
        super().__init__(TYPE, _KEPT, store, ec2.context)
        self._ec2 = ec2

    def read(self, physical_id: str) -> State | None:
        """Return a service. None if a client has deleted it."""
        state = super().read(physical_id)
        is_gone = state is not None and _arns(state.properties or {}) and self._described(physical_id) is None
        return None if state is None or is_gone else _without_reason(state)

    def update(self, physical_id: str, before: AnyProperties, after: AnyProperties) -> State:
        """Change the load balancers of a service, its tags, and whether later endpoints must be accepted."""
        wanted, given = after.model_dump(), _arns(after.model_dump())
        if found := self._described(physical_id):
            known = found[_ARNS]
            self._ec2(
                "ModifyVpcEndpointServiceConfiguration",
                ServiceId=physical_id,
                AcceptanceRequired=_is_true(wanted.get("AcceptanceRequired", True)),
                AddGatewayLoadBalancerArns=[each for each in given if each not in known] or None,
                RemoveGatewayLoadBalancerArns=[each for each in known if each not in given] or None,
            )
            self._ec2.set_endpoint_tags(physical_id, wanted)
        return _without_reason(super().update(physical_id, before, after))

    def create(self, token: str, properties: AnyProperties) -> State | Pending:
        """Make a service."""
        state = super().create(token, properties)
        return _without_reason(state) if isinstance(state, State) else state

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a service. One with endpoints cannot be deleted."""
        if self._described(physical_id) is not None:
            result = self._ec2("DeleteVpcEndpointServiceConfigurations", ServiceIds=[physical_id])
            for each in result["Unsuccessful"]:
                raise AwsError(each["Error"]["Code"], each["Error"]["Message"])
        return super().delete(physical_id)

    def _id(self, token: str, properties: Mapping[str, Any]) -> str:
        if not (arns := _arns(properties)):
            return super()._id(token, properties)
        made = self._ec2(
            "CreateVpcEndpointServiceConfiguration",
            token,
            GatewayLoadBalancerArns=arns,
            AcceptanceRequired=_is_true(properties.get("AcceptanceRequired", True)),
            TagSpecifications=tag_specifications(self._ec2, "vpc-endpoint-service", properties),
        )
        return str(made["ServiceConfiguration"]["ServiceId"])

    def _described(self, physical_id: str) -> Mapping[str, Any] | None:
        try:
            result = self._ec2("DescribeVpcEndpointServiceConfigurations", ServiceIds=[physical_id])
        except AwsError:
            return None
        return dict(result["ServiceConfigurations"][0])


def tag_specifications(ec2: Ec2, kind: str, properties: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the tags of a stack and of its resource, as a request has them."""
    found = {**ec2.context.tags, **{tag["Key"]: tag["Value"] for tag in properties.get("Tags", ())}}
    listed = [{"Key": key, "Value": value} for key, value in found.items()]
    return [{"ResourceType": kind, "Tags": listed}] if listed else None


def _arns(properties: Mapping[str, Any]) -> list[str]:
    return list(map(str, properties.get(_ARNS) or ()))


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _without_reason(state: State) -> State:
    """Return the state of a service that is more than kept without the reason of those that are not."""
    return replace(state, reason="") if _arns(state.properties or {}) else state
