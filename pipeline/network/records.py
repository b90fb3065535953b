"""New resources of a network, as they are before anything changes them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.state import Resource

ANYWHERE = "0.0.0.0/0"
# The addresses of a subnet that AWS keeps for itself.
_RESERVED = 5


def vpc(
    vpc_id: str, owner: str, cidr: str, tags: Mapping[str, str] | None = None, *, is_default: bool = False
) -> Resource:
    """Return a VPC."""
    association = {
        "AssociationId": fixed_id("vpc-cidr-assoc", vpc_id),
        "CidrBlock": cidr,
        "CidrBlockState": {"State": "associated"},
    }
    data = {
        "VpcId": vpc_id,
        "State": "available",
        "CidrBlock": cidr,
        "CidrBlockAssociationSet": [association],
        "DhcpOptionsId": "default",
        "InstanceTenancy": "default",
        "IsDefault": is_default,
        # Not part of a description: DescribeVpcAttribute shows them.
        "Attributes": {
            "EnableDnsSupport": True,
            "EnableDnsHostnames": is_default,
            "EnableNetworkAddressUsageMetrics": False,
        },
    }
    return Resource(Kind.VPC, vpc_id, owner, data, tags or {})


def subnet(
    subnet_id: str,
    owner: str,
    vpc_id: str,
    cidr: str,
    zone: str,
    tags: Mapping[str, str] | None = None,
    *,
    is_default: bool = False,
) -> Resource:
    """Return a subnet. `zone` is the name of its zone, as the client has given it."""
    data = {
        "SubnetId": subnet_id,
        "VpcId": vpc_id,
        "State": "available",
        "CidrBlock": cidr,
        "AvailabilityZone": zone,
        "AvailableIpAddressCount": ip_network(cidr).num_addresses - _RESERVED,
        "DefaultForAz": is_default,
        "MapPublicIpOnLaunch": is_default,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "EnableDns64": False,
        "Ipv6Native": False,
        "Ipv6CidrBlockAssociationSet": [],
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
    }
    return Resource(Kind.SUBNET, subnet_id, owner, data, tags or {})


def security_group(
    group_id: str, owner: str, vpc_id: str, name: str, description: str, tags: Mapping[str, str] | None = None
) -> Resource:
    """Return a security group. Like each in AWS, it lets everything out. The default group lets its own members in."""
    everything = {"IpProtocol": "-1", "FromPort": -1, "ToPort": -1}
    rules: list[dict[str, Any]] = [
        {"SecurityGroupRuleId": fixed_id("sgr", group_id, "out"), "IsEgress": True, "CidrIpv4": ANYWHERE, **everything}
    ]
    if name == "default":
        own = {"SecurityGroupRuleId": fixed_id("sgr", group_id, "in"), "IsEgress": False, **everything}
        rules.append({**own, "ReferencedGroupInfo": {"GroupId": group_id}})
    data = {"GroupId": group_id, "VpcId": vpc_id, "GroupName": name, "Description": description, "Rules": rules}
    return Resource(Kind.SECURITY_GROUP, group_id, owner, data, tags or {})


def internet_gateway(
    gateway_id: str, owner: str, vpc_id: str | None = None, tags: Mapping[str, str] | None = None
) -> Resource:
    """Return an internet gateway, attached to a VPC or not."""
    attachments = [{"VpcId": vpc_id, "State": "available"}] if vpc_id else []
    data = {"InternetGatewayId": gateway_id, "Attachments": attachments}
    return Resource(Kind.INTERNET_GATEWAY, gateway_id, owner, data, tags or {})


def route_table(table_id: str, owner: str, vpc_id: str, cidr: str, tags: Mapping[str, str] | None = None) -> Resource:
    """Return a route table with the route to its VPC."""
    local = {"DestinationCidrBlock": cidr, "GatewayId": "local", "Origin": "CreateRouteTable", "State": "active"}
    data = {"RouteTableId": table_id, "VpcId": vpc_id, "Routes": [local], "Associations": [], "PropagatingVgws": []}
    return Resource(Kind.ROUTE_TABLE, table_id, owner, data, tags or {})


def main_route_table(table_id: str, owner: str, vpc_id: str, cidr: str, gateway_id: str | None = None) -> Resource:
    """Return the main route table of a VPC, with a route to an internet gateway if there is one."""
    table = route_table(table_id, owner, vpc_id, cidr)
    association = {
        "Main": True,
        "RouteTableAssociationId": fixed_id("rtbassoc", table_id),
        "RouteTableId": table_id,
        "AssociationState": {"State": "associated"},
    }
    route = {"DestinationCidrBlock": ANYWHERE, "GatewayId": gateway_id, "Origin": "CreateRoute", "State": "active"}
    routes = [*table.data["Routes"], *([route] if gateway_id else [])]
    return table.with_data(Associations=[association], Routes=routes)


def elastic_address(allocation_id: str, owner: str, address: str, tags: Mapping[str, str]) -> Resource:
    """Return an allocated address."""
    data = {"AllocationId": allocation_id, "PublicIp": address, "Domain": "vpc"}
    return Resource(Kind.ADDRESS, allocation_id, owner, data, tags)
