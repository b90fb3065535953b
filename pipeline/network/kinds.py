"""The kinds of resources of a network, and how EC2 names them."""

from __future__ import annotations

import secrets
from enum import Enum
from hashlib import sha256


class Kind(Enum):
    """A kind: its name in tag specifications, the prefix of its ids, and EC2's words where one does not exist."""

    VPC = ("vpc", "vpc", "InvalidVpcID.NotFound", "vpc ID")
    SUBNET = ("subnet", "subnet", "InvalidSubnetID.NotFound", "subnet ID")
    SECURITY_GROUP = ("security-group", "sg", "InvalidGroup.NotFound", "security group")
    INTERNET_GATEWAY = ("internet-gateway", "igw", "InvalidInternetGatewayID.NotFound", "internetGateway ID")
    ROUTE_TABLE = ("route-table", "rtb", "InvalidRouteTableID.NotFound", "routeTable ID")
    ADDRESS = ("elastic-ip", "eipalloc", "InvalidAllocationID.NotFound", "allocation ID")

    def __init__(self, label: str, prefix: str, not_found: str, noun: str) -> None:
        self.label = label
        self.prefix = prefix
        self.not_found = not_found
        self.noun = noun


def new_id(prefix: str, token: str = "") -> str:
    """Return an id as EC2 makes them. With a token, it is always the same one."""
    return fixed_id(prefix, "token", token) if token else f"{prefix}-{secrets.token_hex(9)[:17]}"


def fixed_id(prefix: str, *names: str) -> str:
    """Return the id of a resource that always exists: the same for the same names."""
    return f"{prefix}-{sha256('/'.join((prefix, *names)).encode()).hexdigest()[:17]}"
