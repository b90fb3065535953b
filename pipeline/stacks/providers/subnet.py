"""AWS::EC2::Subnet."""

from __future__ import annotations

from typing import Any

from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.state import Resource
from pipeline.network.zones import find_zone
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties


class SubnetProperties(TaggedProperties):
    """The properties of a subnet."""

    vpc_id: str
    cidr_block: str
    availability_zone: str | None = None
    map_public_ip_on_launch: bool = False
    assign_ipv6_address_on_creation: bool = False


class Subnet(NetworkResource[SubnetProperties]):
    """Makes subnets. Each stands for a zone of this machine, at whose address load balancers are reached."""

    kind = Kind.SUBNET
    deletes = ("DeleteSubnet", "SubnetId")
    properties = SubnetProperties
    replaces = frozenset({"AvailabilityZone", "CidrBlock", "VpcId"})

    def _make(self, token: str, properties: SubnetProperties) -> None:
        self.ec2(
            "CreateSubnet",
            token,
            VpcId=properties.vpc_id,
            CidrBlock=properties.cidr_block,
            AvailabilityZone=properties.availability_zone,
            TagSpecifications=self.ec2.specify(self.kind, properties.tags),
        )

    def _change(self, resource: Resource, before: SubnetProperties, after: SubnetProperties) -> None:  # noqa: ARG002
        if resource.data["MapPublicIpOnLaunch"] != after.map_public_ip_on_launch:
            value = {"Value": after.map_public_ip_on_launch}
            self.ec2("ModifySubnetAttribute", SubnetId=resource.id, MapPublicIpOnLaunch=value)

    def _reason(self, resource: Resource) -> str:
        zone = find_zone(self.ec2.store.zones, resource.data["AvailabilityZone"])
        place = f"it stands for the zone {zone.name} at {zone.address}" if zone else "its zone is not declared any more"
        return f"kept: {place}"

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        return {
            "SubnetId": resource.id,
            "VpcId": resource.data["VpcId"],
            "AvailabilityZone": resource.data["AvailabilityZone"],
            "CidrBlock": resource.data["CidrBlock"],
            "NetworkAclAssociationId": fixed_id("aclassoc", resource.id),
            "Ipv6CidrBlocks": [],
        }

    def _shown(self, resource: Resource) -> dict[str, Any]:
        names = ("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation")
        return {name: resource.data[name] for name in names}
