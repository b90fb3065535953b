"""The default VPC of each owner, with a subnet for each declared zone. It always exists."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.records import internet_gateway, main_route_table, security_group, subnet, vpc
from pipeline.network.state import Resource
from pipeline.network.zones import Zone

CIDR = "172.31.0.0/16"
_SUBNET_PREFIX = 20


def default_resources(owner: str, zones: Sequence[Zone]) -> list[Resource]:
    """Return what every owner has without making it. The ids follow from the owner and the names of the zones."""
    vpc_id = default_vpc_id(owner)
    networks = ip_network(CIDR).subnets(new_prefix=_SUBNET_PREFIX)
    gateway_id = fixed_id(Kind.INTERNET_GATEWAY.prefix, owner)
    table = main_route_table(fixed_id(Kind.ROUTE_TABLE.prefix, owner), owner, vpc_id, CIDR, gateway_id)
    group_id = fixed_id(Kind.SECURITY_GROUP.prefix, owner)
    return [
        vpc(vpc_id, owner, CIDR, is_default=True),
        internet_gateway(gateway_id, owner, vpc_id),
        table,
        security_group(group_id, owner, vpc_id, "default", "default VPC security group"),
        *(
            subnet(
                fixed_id(Kind.SUBNET.prefix, owner, zone.name), owner, vpc_id, str(network), zone.name, is_default=True
            )
            for zone, network in zip(zones, networks, strict=False)
        ),
    ]


def default_vpc_id(owner: str) -> str:
    """Return the id of an owner's default VPC."""
    return fixed_id(Kind.VPC.prefix, owner)
