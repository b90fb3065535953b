"""AWS::EC2::VPC."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.state import Resource
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties

_ATTRIBUTES = ("EnableDnsSupport", "EnableDnsHostnames")


class VpcProperties(TaggedProperties):
    """The properties of a VPC."""

    cidr_block: str
    enable_dns_support: bool = True
    enable_dns_hostnames: bool = False
    instance_tenancy: str = "default"


class Vpc(NetworkResource[VpcProperties]):
    """Makes VPCs. They group subnets, and separate nothing."""

    kind = Kind.VPC
    reason = "kept: a VPC separates nothing; its subnets stand for the zones of this machine"
    deletes = ("DeleteVpc", "VpcId")
    properties = VpcProperties
    replaces = frozenset({"CidrBlock", "InstanceTenancy"})

    def _make(self, token: str, properties: VpcProperties) -> None:
        self.ec2(
            "CreateVpc",
            token,
            CidrBlock=properties.cidr_block,
            InstanceTenancy=properties.instance_tenancy,
            TagSpecifications=self.ec2.specify(self.kind, properties.tags),
        )

    def _change(self, resource: Resource, before: VpcProperties, after: VpcProperties) -> None:  # noqa: ARG002
        for name in _ATTRIBUTES:
            value = after.model_dump(by_alias=True)[name]
            if resource.data["Attributes"][name] != value:
                self.ec2("ModifyVpcAttribute", VpcId=resource.id, **{name: {"Value": value}})

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        groups = self.ec2.state().all(resource.owner, Kind.SECURITY_GROUP, lambda data: data["VpcId"] == resource.id)
        default = next((each.id for each in groups if each.data["GroupName"] == "default"), "")
        return {
            "VpcId": resource.id,
            "CidrBlock": resource.data["CidrBlock"],
            "CidrBlockAssociations": [each["AssociationId"] for each in resource.data["CidrBlockAssociationSet"]],
            "DefaultNetworkAcl": fixed_id("acl", resource.id),
            "DefaultSecurityGroup": default,
            "Ipv6CidrBlocks": [_ipv6_block(resource.id)],
        }

    def _shown(self, resource: Resource) -> dict[str, Any]:
        data = resource.data
        return {
            "CidrBlock": data["CidrBlock"],
            "InstanceTenancy": data["InstanceTenancy"],
            **{name: data["Attributes"][name] for name in _ATTRIBUTES},
        }


def _ipv6_block(vpc_id: str) -> str:
    """Return the block of a VPC, which templates divide among subnets. It is of the addresses for documentation."""
    digits = sha256(vpc_id.encode()).hexdigest()
    return f"2001:db8:{digits[:4]}:{digits[4:6]}00::/56"
