"""AWS::EC2::EIP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pipeline.network.kinds import Kind
from pipeline.network.state import Resource
from pipeline.stacks.provider import State
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties


class ElasticAddressProperties(TaggedProperties):
    """The properties of an address."""

    domain: Literal["vpc"] = "vpc"


class ElasticAddress(NetworkResource[ElasticAddressProperties]):
    """Allocates loopback addresses of this machine. `Ref` is the address."""

    kind = Kind.ADDRESS
    reason = "a loopback address of this machine, for the node of a load balancer"
    deletes = ("ReleaseAddress", "AllocationId")
    properties = ElasticAddressProperties

    def find(self, token: str) -> str | None:
        """Find an address by the allocation that follows from the token."""
        allocation = self.ec2.made(self.kind, token)
        found = self.ec2.find(self.kind, allocation) if allocation else None
        return str(found.data["PublicIp"]) if found else None

    def _resource(self, physical_id: str) -> Resource | None:
        state, owner = self.ec2.state(), self.ec2.context.owner
        return next(iter(state.all(owner, self.kind, lambda data: data["PublicIp"] == physical_id)), None)

    def _state(self, resource: Resource) -> State:
        return replace(super()._state(resource), physical_id=resource.data["PublicIp"])

    def _make(self, token: str, properties: ElasticAddressProperties) -> None:
        tags = self.ec2.specify(self.kind, properties.tags)
        self.ec2("AllocateAddress", token, Domain=properties.domain, TagSpecifications=tags)

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        return {"AllocationId": resource.id, "PublicIp": resource.data["PublicIp"]}

    def _shown(self, resource: Resource) -> dict[str, Any]:
        return {"Domain": resource.data["Domain"]}
