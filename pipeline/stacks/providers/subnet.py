"""AWS::EC2::Subnet."""

from __future__ import annotations

from typing import Any

from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.state import Resource, State
from pipeline.network.zones import find_zone
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties

_SHOWN = (
    *("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch"),
    *("AssignIpv6AddressOnCreation", "EnableDns64", "PrivateDnsNameOptionsOnLaunch"),
)


class SubnetProperties(TaggedProperties):
    """The properties of a subnet."""

    vpc_id: str
    cidr_block: str
    availability_zone: str | None = None
    ipv6_cidr_block: str | None = None
    map_public_ip_on_launch: bool = False
    assign_ipv6_address_on_creation: bool = False
    enable_dns64: bool = False
    private_dns_name_options_on_launch: dict[str, Any] | None = None


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
        wanted: dict[str, Any] = {
            "MapPublicIpOnLaunch": after.map_public_ip_on_launch,
            "AssignIpv6AddressOnCreation": after.assign_ipv6_address_on_creation,
            "EnableDns64": after.enable_dns64,
            "Ipv6CidrBlockAssociationSet": _associations(resource.id, after.ipv6_cidr_block),
        }
        if options := after.private_dns_name_options_on_launch:
            wanted["PrivateDnsNameOptionsOnLaunch"] = {**resource.data["PrivateDnsNameOptionsOnLaunch"], **options}

        def change(state: State) -> tuple[State, None]:
            return state.put(state.get(resource.owner, self.kind, resource.id).with_data(**wanted)), None

        if any(resource.data[name] != value for name, value in wanted.items()):
            self.ec2.store.change(resource.owner, change)

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
            "Ipv6CidrBlocks": _blocks(resource),
        }

    def _shown(self, resource: Resource) -> dict[str, Any]:
        blocks = _blocks(resource)
        shown = {name: resource.data[name] for name in _SHOWN}
        return {**shown, **({"Ipv6CidrBlock": blocks[0]} if blocks else {})}


def _associations(subnet_id: str, block: str | None) -> list[dict[str, Any]]:
    if block is None:
        return []
    association = {"AssociationId": fixed_id("subnet-cidr-assoc", subnet_id), "Ipv6CidrBlock": block}
    return [{**association, "Ipv6CidrBlockState": {"State": "associated"}}]


def _blocks(resource: Resource) -> list[str]:
    return [each["Ipv6CidrBlock"] for each in resource.data["Ipv6CidrBlockAssociationSet"]]
