"""EC2's operations on the networks of a new home, called as the endpoint calls them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.attached import Instance, Interface
from pipeline.network.ec2 import ec2_service
from pipeline.network.store import NetworkStore
from pipeline.network.zones import DEFAULT_ZONES, Zone


class Ec2:
    """A client. What is in `interfaces` and `instances` belongs to the owner `aws`."""

    def __init__(self, folder: Path, zones: Sequence[Zone] = DEFAULT_ZONES) -> None:
        self.store = NetworkStore(folder, zones)
        self.interfaces: list[Interface] = []
        self.instances: list[Instance] = []
        self._service = ec2_service(
            self.store,
            lambda owner: self.interfaces if owner == "aws" else [],
            lambda owner: self.instances if owner == "aws" else [],
        )

    def call(self, name: str, owner: str = "aws", **parameters: Any) -> dict[str, Any]:
        """Carry out an operation."""
        return dict(self._service.operations[name](Call(owner, "eu-west-1", parameters)))

    def refusal(self, name: str, **parameters: Any) -> tuple[str, str]:
        """Return the code and the message of an operation that must fail."""
        with pytest.raises(AwsError) as caught:
            self.call(name, **parameters)
        return caught.value.code, caught.value.message

    def vpc(self, cidr: str = "10.0.0.0/16") -> str:
        """Make a VPC and return its id."""
        return str(self.call("CreateVpc", CidrBlock=cidr)["Vpc"]["VpcId"])

    def subnet(self, vpc: str, cidr: str = "10.0.1.0/24", **parameters: Any) -> dict[str, Any]:
        """Make a subnet and return it."""
        return dict(self.call("CreateSubnet", VpcId=vpc, CidrBlock=cidr, **parameters)["Subnet"])

    def group(self, vpc: str, name: str = "web") -> str:
        """Make a security group and return its id."""
        return str(self.call("CreateSecurityGroup", VpcId=vpc, GroupName=name, Description="a")["GroupId"])


def tagged(kind: str, **tags: str) -> list[dict[str, Any]]:
    """Return tag specifications."""
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def filters(**wanted: str) -> list[dict[str, Any]]:
    """Return filters, with `_` for `-`."""
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in wanted.items()]
