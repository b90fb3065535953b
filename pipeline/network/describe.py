"""How EC2 describes the resources of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.aws.service import Call
from pipeline.network.filters import matching, page
from pipeline.network.kinds import Kind
from pipeline.network.rules import described_permissions
from pipeline.network.state import Resource, State
from pipeline.network.tags import tag_list

Data = dict[str, Any]


def describe_vpc(call: Call, vpc: Resource) -> Data:
    """Describe a VPC."""
    return _without(_described(call, vpc), "Attributes")


def describe_subnet(call: Call, subnet: Resource) -> Data:
    """Describe a subnet."""
    return _described(call, subnet) | {"SubnetArn": _arn(call, subnet)}


def describe_security_group(call: Call, group: Resource) -> Data:
    """Describe a security group with its rules."""
    rules = group.data["Rules"]
    return _without(_described(call, group), "Rules") | {
        "SecurityGroupArn": _arn(call, group),
        "IpPermissions": described_permissions(call.account, rules, egress=False),
        "IpPermissionsEgress": described_permissions(call.account, rules, egress=True),
    }


def describe_gateway(call: Call, gateway: Resource) -> Data:
    """Describe an internet gateway."""
    return _described(call, gateway)


def describe_table(call: Call, table: Resource) -> Data:
    """Describe a route table."""
    return _described(call, table)


def describe_address(call: Call, address: Resource) -> Data:
    """Describe an allocated address."""
    return _without(_described(call, address), "OwnerId") | {"NetworkBorderGroup": call.region}


@dataclass(frozen=True)
class Description:
    """What an operation `Describe…` returns: `result` with resources of a kind, which `ids` and filters select."""

    kind: Kind
    result: str
    ids: str
    describe: Callable[[Call, Resource], Data]
    paths: Mapping[str, str]

    def __call__(self, call: Call, state: State) -> Data:
        """Carry out the operation. Raises `AwsError` for an id that does not exist."""
        wanted = dict.fromkeys(call.parameters.get(self.ids, ()))
        found = [state.get(call.owner, self.kind, each) for each in wanted] or state.all(call.owner, self.kind)
        described = [self.describe(call, each) for each in found]
        selected = matching(described, call.parameters.get("Filters", ()), self.paths)
        if self.kind is Kind.ADDRESS:
            return {self.result: selected}
        return page(selected, call.parameters, self.result)


VPCS = Description(
    Kind.VPC,
    "Vpcs",
    "VpcIds",
    describe_vpc,
    {
        "vpc-id": "VpcId",
        "cidr": "CidrBlock",
        "cidr-block": "CidrBlock",
        "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
        "is-default": "IsDefault",
        "isDefault": "IsDefault",
        "owner-id": "OwnerId",
        "state": "State",
    },
)
SUBNETS = Description(
    Kind.SUBNET,
    "Subnets",
    "SubnetIds",
    describe_subnet,
    {
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
        "availability-zone": "AvailabilityZone",
        "availabilityZone": "AvailabilityZone",
        "cidr-block": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "cidr": "CidrBlock",
        "default-for-az": "DefaultForAz",
        "defaultForAz": "DefaultForAz",
        "map-public-ip-on-launch": "MapPublicIpOnLaunch",
        "owner-id": "OwnerId",
        "state": "State",
        "subnet-arn": "SubnetArn",
    },
)
SECURITY_GROUPS = Description(
    Kind.SECURITY_GROUP,
    "SecurityGroups",
    "GroupIds",
    describe_security_group,
    {
        "group-id": "GroupId",
        "group-name": "GroupName",
        "description": "Description",
        "vpc-id": "VpcId",
        "owner-id": "OwnerId",
        "ip-permission.cidr": "IpPermissions.IpRanges.CidrIp",
        "ip-permission.from-port": "IpPermissions.FromPort",
        "ip-permission.group-id": "IpPermissions.UserIdGroupPairs.GroupId",
        "ip-permission.protocol": "IpPermissions.IpProtocol",
        "ip-permission.to-port": "IpPermissions.ToPort",
        "egress.ip-permission.cidr": "IpPermissionsEgress.IpRanges.CidrIp",
        "egress.ip-permission.group-id": "IpPermissionsEgress.UserIdGroupPairs.GroupId",
    },
)
INTERNET_GATEWAYS = Description(
    Kind.INTERNET_GATEWAY,
    "InternetGateways",
    "InternetGatewayIds",
    describe_gateway,
    {
        "internet-gateway-id": "InternetGatewayId",
        "attachment.vpc-id": "Attachments.VpcId",
        "attachment.state": "Attachments.State",
        "owner-id": "OwnerId",
    },
)
ROUTE_TABLES = Description(
    Kind.ROUTE_TABLE,
    "RouteTables",
    "RouteTableIds",
    describe_table,
    {
        "route-table-id": "RouteTableId",
        "vpc-id": "VpcId",
        "owner-id": "OwnerId",
        "association.main": "Associations.Main",
        "association.route-table-association-id": "Associations.RouteTableAssociationId",
        "association.route-table-id": "Associations.RouteTableId",
        "association.subnet-id": "Associations.SubnetId",
        "route.destination-cidr-block": "Routes.DestinationCidrBlock",
        "route.gateway-id": "Routes.GatewayId",
        "route.state": "Routes.State",
    },
)
ADDRESSES = Description(
    Kind.ADDRESS,
    "Addresses",
    "AllocationIds",
    describe_address,
    {"allocation-id": "AllocationId", "public-ip": "PublicIp", "domain": "Domain"},
)


def _described(call: Call, resource: Resource) -> Data:
    return {**resource.data, "OwnerId": call.account, "Tags": tag_list(resource.tags)}


def _without(data: Data, name: str) -> Data:
    return {key: value for key, value in data.items() if key != name}


def _arn(call: Call, resource: Resource) -> str:
    return f"arn:aws:ec2:{call.region}:{call.account}:{resource.kind.label}/{resource.id}"
