"""VPCs and subnets."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.network.attached import Interface
from pipeline.network.zones import Zone
from tests.unit.network.ec2 import Ec2, filters, tagged


def test_defaults(ec2: Ec2) -> None:
    """Each owner has a default VPC with a subnet for each zone, a gateway, a route to it and a security group."""
    (vpc,) = ec2.call("DescribeVpcs")["Vpcs"]
    assert (vpc["IsDefault"], vpc["CidrBlock"]) == (True, "172.31.0.0/16")
    subnets = ec2.call("DescribeSubnets")["Subnets"]
    assert [(each["AvailabilityZone"], each["CidrBlock"]) for each in subnets] == [
        ("local-a", "172.31.0.0/20"),
        ("local-b", "172.31.16.0/20"),
    ]
    (gateway,) = ec2.call("DescribeInternetGateways")["InternetGateways"]
    (table,) = ec2.call("DescribeRouteTables")["RouteTables"]
    assert [route["GatewayId"] for route in table["Routes"]] == ["local", gateway["InternetGatewayId"]]
    (group,) = ec2.call("DescribeSecurityGroups")["SecurityGroups"]
    assert {each["VpcId"] for each in (*subnets, table, group)} == {vpc["VpcId"]}


def test_reads_write_nothing(ec2: Ec2) -> None:
    """The defaults have the same ids at each read, and no file."""
    first, second = (ec2.call("DescribeSubnets") for _ in range(2))
    assert first == second
    assert not ec2.store.folder.exists()


def test_owners(ec2: Ec2) -> None:
    """An owner neither sees nor deletes what belongs to another one."""
    vpc = ec2.vpc()
    assert vpc not in [each["VpcId"] for each in ec2.call("DescribeVpcs", owner="other")["Vpcs"]]
    assert ec2.refusal("DeleteVpc", owner="other", VpcId=vpc) == (
        "InvalidVpcID.NotFound",
        f"The vpc ID '{vpc}' does not exist",
    )


def test_life_of_a_vpc(ec2: Ec2) -> None:
    """A VPC comes and goes with its main route table and its default group, and stays while something else is in it."""
    before = ec2.store.read("aws")
    vpc = ec2.vpc()
    subnet = ec2.subnet(vpc)
    code, message = ec2.refusal("DeleteVpc", VpcId=vpc)
    assert (code, message) == ("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted.")
    ec2.call("DeleteSubnet", SubnetId=subnet["SubnetId"])
    ec2.call("DeleteVpc", VpcId=vpc)
    assert ec2.store.read("aws") == before


def test_attributes(ec2: Ec2) -> None:
    """A changed attribute of a VPC and of a subnet is described as it was set."""
    vpc = ec2.vpc()
    ec2.call("ModifyVpcAttribute", VpcId=vpc, EnableDnsHostnames={"Value": True})
    found = {
        name: ec2.call("DescribeVpcAttribute", VpcId=vpc, Attribute=name)[name[0].upper() + name[1:]]["Value"]
        for name in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
    }
    assert list(found.values()) == [True, True, False]
    subnet = ec2.subnet(vpc)["SubnetId"]
    ec2.call("ModifySubnetAttribute", SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    (described,) = ec2.call("DescribeSubnets", SubnetIds=[subnet])["Subnets"]
    assert described["MapPublicIpOnLaunch"] is True


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter"),
        ({"CidrBlock": "10.0.0.0/8"}, "InvalidVpc.Range"),
        ({"CidrBlock": "10.0.0.0/29"}, "InvalidVpc.Range"),
        ({"CidrBlock": "10.0.0.1/16"}, "InvalidParameterValue"),
        ({"CidrBlock": "fd00::/64"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "dedicated"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.0.0.0/16", "Ipv4IpamPoolId": "a"}, "UnsupportedOperation"),
        ({"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": True}, "UnsupportedOperation"),
        ({"CidrBlock": "10.0.0.0/16", "DryRun": True}, "DryRunOperation"),
    ],
)
def test_refused_vpcs(ec2: Ec2, parameters: dict[str, Any], code: str) -> None:
    """A VPC that cannot be made is refused, and nothing is left of it."""
    before = ec2.store.read("aws")
    assert ec2.refusal("CreateVpc", **parameters)[0] == code
    assert ec2.store.read("aws") == before


def test_switched_off(ec2: Ec2) -> None:
    """A parameter that asks for nothing is accepted."""
    ec2.call("CreateVpc", CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=False, InstanceTenancy="default")


def test_zones_of_subnets(ec2: Ec2) -> None:
    """A subnet keeps the name of its zone as it was given. Without one, the zones take turns."""
    vpc = ec2.vpc()
    given = ec2.subnet(vpc, "10.0.0.0/24", AvailabilityZone="us-east-1b")
    assert given["AvailabilityZone"] == "us-east-1b"
    others = [ec2.subnet(vpc, f"10.0.{number}.0/24")["AvailabilityZone"] for number in (1, 2, 3)]
    assert others == ["local-a", "local-b", "local-a"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"CidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range"),
        ({"CidrBlock": "10.0.1.128/25"}, "InvalidSubnet.Conflict"),
        ({"CidrBlock": "10.0.2.0/24", "AvailabilityZone": "us-east-1c"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.0.2.0/24", "TagSpecifications": tagged("vpc", a="b")}, "InvalidParameterValue"),
    ],
)
def test_refused_subnets(ec2: Ec2, parameters: dict[str, Any], code: str) -> None:
    """A subnet outside its VPC, over another one or in an unknown zone is refused."""
    vpc = ec2.vpc()
    ec2.subnet(vpc)
    assert ec2.refusal("CreateSubnet", VpcId=vpc, **parameters)[0] == code


def test_deletions(ec2: Ec2) -> None:
    """Defaults cannot be deleted, and neither can a subnet with a load balancer."""
    (vpc,) = ec2.call("DescribeVpcs")["Vpcs"]
    first, second = ec2.call("DescribeSubnets")["Subnets"]
    assert ec2.refusal("DeleteVpc", VpcId=vpc["VpcId"])[0] == "OperationNotPermitted"
    assert ec2.refusal("DeleteSubnet", SubnetId=first["SubnetId"])[0] == "OperationNotPermitted"
    made = ec2.subnet(ec2.vpc())["SubnetId"]
    ec2.interfaces.append(Interface("eni-1", "ELB app/web/1", made, "127.0.0.1"))
    assert ec2.refusal("DeleteSubnet", SubnetId=made)[0] == "DependencyViolation"
    assert second in ec2.call("DescribeSubnets")["Subnets"]


def test_other_zones(ec2: Ec2) -> None:
    """A default subnet follows the declared zones. One that was made by a client stays."""
    made = ec2.subnet(ec2.vpc(), AvailabilityZone="local-b")
    later = Ec2(ec2.store.folder, (Zone("east", "127.0.0.5"),))
    found = later.call("DescribeSubnets")["Subnets"]
    assert [each["AvailabilityZone"] for each in found] == ["east", "local-b"]
    assert found[1]["SubnetId"] == made["SubnetId"]


def test_filters_and_pages(ec2: Ec2) -> None:
    """Filters combine, tags are filters too, wildcards match, and pages follow one another."""
    vpc = ec2.vpc()
    for number in range(3):
        ec2.subnet(vpc, f"10.0.{number}.0/24", TagSpecifications=tagged("subnet", Name=f"web-{number}"))

    def found(**wanted: str) -> list[str]:
        return [each["CidrBlock"] for each in ec2.call("DescribeSubnets", Filters=filters(**wanted))["Subnets"]]

    assert found(vpc_id=vpc, availability_zone="local-a") == ["10.0.0.0/24", "10.0.2.0/24"]
    assert found(**{"tag:Name": "web-?"}) == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    assert found(**{"tag:Name": "*1"}) == ["10.0.1.0/24"]
    assert found(**{"tag:Other": "*"}) == []
    assert found(tag_key="Name", default_for_az="false") == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    first = ec2.call("DescribeSubnets", MaxResults=3, Filters=filters(state="available"))
    second = ec2.call("DescribeSubnets", NextToken=first["NextToken"])
    assert (len(first["Subnets"]), len(second["Subnets"]), "NextToken" in second) == (3, 2, False)
    assert ec2.refusal("DescribeSubnets", NextToken="x")[0] == "InvalidNextToken"
    assert ec2.refusal("DescribeSubnets", Filters=filters(colour="red")) == (
        "InvalidParameterValue",
        "The filter 'colour' is invalid",
    )


def test_unknown_ids(ec2: Ec2) -> None:
    """An unknown id is refused with the code of its kind. Known ones come in the order of the request."""
    ids = [each["SubnetId"] for each in ec2.call("DescribeSubnets")["Subnets"]]
    found = ec2.call("DescribeSubnets", SubnetIds=ids[::-1])["Subnets"]
    assert [each["SubnetId"] for each in found] == ids[::-1]
    assert ec2.refusal("DescribeSubnets", SubnetIds=["subnet-1"])[0] == "InvalidSubnetID.NotFound"
    assert ec2.refusal("DescribeVpcs", VpcIds=[ids[0]])[0] == "InvalidVpcID.NotFound"
