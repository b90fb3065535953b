"""Zones, the account, tags, and what is in the networks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.network.attached import Instance, Interface
from pipeline.network.lookup import Networks
from pipeline.network.zones import DEFAULT_ZONES, Zone, find_zone
from tests.unit.network.ec2 import Ec2, filters, tagged

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def test_zones(ec2: Ec2) -> None:
    """The declared zones are described by their names, and one that is asked for by AWS's name by that."""
    found = ec2.call("DescribeAvailabilityZones")["AvailabilityZones"]
    assert [(each["ZoneName"], each["ZoneId"]) for each in found] == [
        ("local-a", "local-az1"),
        ("local-b", "local-az2"),
    ]
    (asked,) = ec2.call("DescribeAvailabilityZones", ZoneNames=["us-east-1b"])["AvailabilityZones"]
    assert (asked["ZoneName"], asked["ZoneId"]) == ("us-east-1b", "local-az2")
    (by_id,) = ec2.call("DescribeAvailabilityZones", ZoneIds=["local-az1"])["AvailabilityZones"]
    assert by_id["ZoneName"] == "local-a"
    assert ec2.refusal("DescribeAvailabilityZones", ZoneNames=["us-east-1z"])[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("local-b", "local-b"),
        ("us-east-1a", "local-a"),
        ("ap-southeast-2b", "local-b"),
        ("us-east-1c", None),
        ("b", None),
    ],
)
def test_names_of_zones(name: str, zone: str | None) -> None:
    """The letter of an AWS zone is the position of a declared zone."""
    found = find_zone(DEFAULT_ZONES, name)
    assert (found.name if found else None) == zone


def test_account(ec2: Ec2) -> None:
    """The account has a default VPC."""
    (vpc,) = ec2.call("DescribeVpcs")["Vpcs"]
    found = ec2.call("DescribeAccountAttributes", AttributeNames=["default-vpc"])["AccountAttributes"]
    assert found == [{"AttributeName": "default-vpc", "AttributeValues": [{"AttributeValue": vpc["VpcId"]}]}]
    assert len(ec2.call("DescribeAccountAttributes")["AccountAttributes"]) == 2


def test_tags(ec2: Ec2) -> None:
    """Tags are added, replaced and removed, also those of a default."""
    vpc, (subnet, _) = ec2.vpc(), ec2.call("DescribeSubnets")["Subnets"]
    ids = [vpc, subnet["SubnetId"]]
    for value in ("a", "b"):
        ec2.call("CreateTags", Resources=ids, Tags=[{"Key": "Name", "Value": value}, {"Key": "x", "Value": ""}])
    described = ec2.call("DescribeTags", Filters=filters(key="Name"))["Tags"]
    assert [(each["ResourceId"], each["ResourceType"], each["Value"]) for each in described] == [
        (subnet["SubnetId"], "subnet", "b"),
        (vpc, "vpc", "b"),
    ]
    ec2.call("DeleteTags", Resources=ids, Tags=[{"Key": "Name", "Value": "other"}, {"Key": "x"}])
    assert {each["Key"] for each in ec2.call("DescribeTags")["Tags"]} == {"Name"}
    ec2.call("DeleteTags", Resources=ids)
    assert ec2.call("DescribeTags")["Tags"] == []


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": "aws:a", "Value": "b"}], "InvalidParameterValue"),
        ([{"Value": "b"}], "InvalidParameterValue"),
        ([{"Key": "a", "Value": "b" * 256}], "InvalidParameterValue"),
        ([{"Key": "a"}, {"Key": "a"}], "InvalidParameterValue"),
        ([{"Key": str(number), "Value": ""} for number in range(51)], "TagLimitExceeded"),
    ],
)
def test_refused_tags(ec2: Ec2, tags: list[dict[str, str]], code: str) -> None:
    """Tags that AWS refuses are refused."""
    assert ec2.refusal("CreateTags", Resources=[ec2.vpc()], Tags=tags)[0] == code
    assert ec2.refusal("CreateTags", Resources=["vpc-1"], Tags=[])[0] == "InvalidID"


def test_interfaces(ec2: Ec2) -> None:
    """The node of a load balancer is an interface, found by the filters with which Terraform waits for its end."""
    (subnet, _) = ec2.call("DescribeSubnets")["Subnets"]
    (group,) = ec2.call("DescribeSecurityGroups")["SecurityGroups"]
    node = Interface("eni-1", "ELB app/web/50dc6c495c0c9188", subnet["SubnetId"], "127.0.0.1", (group["GroupId"],))
    ec2.interfaces.append(node)
    wanted = filters(**{"attachment.instance-owner-id": "amazon-elb", "description": "ELB app/web/50dc6c495c0c9188"})
    (found,) = ec2.call("DescribeNetworkInterfaces", Filters=wanted)["NetworkInterfaces"]
    assert (found["PrivateIpAddress"], found["VpcId"], found["Groups"][0]["GroupName"]) == (
        "127.0.0.1",
        subnet["VpcId"],
        "default",
    )
    assert ec2.call("DescribeNetworkInterfaces", NetworkInterfaceIds=["eni-1"])["NetworkInterfaces"] == [found]
    unknown = ec2.refusal("DescribeNetworkInterfaces", NetworkInterfaceIds=["eni-2"])
    assert unknown[0] == "InvalidNetworkInterfaceID.NotFound"
    ec2.interfaces.clear()
    assert ec2.call("DescribeNetworkInterfaces", Filters=wanted)["NetworkInterfaces"] == []


def test_interface_in_a_former_zone(ec2: Ec2) -> None:
    """A load balancer in a zone that is not declared any more is described, without the place of its subnet."""
    (subnet, _) = ec2.call("DescribeSubnets")["Subnets"]
    later = Ec2(ec2.store.folder, (Zone("east", "127.0.0.5"),))
    later.interfaces.append(Interface("eni-1", "ELB app/web/1", subnet["SubnetId"], "127.0.0.1", ("sg-1",)))
    (found,) = later.call("DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert (found["SubnetId"], found["Groups"], "VpcId" in found) == (subnet["SubnetId"], [], False)


def test_instances(ec2: Ec2) -> None:
    """A container is an instance by its name, with EC2's state, in the subnet of its zone."""
    ec2.instances += [
        Instance("web-1", "sha256:a", "172.18.0.2", "running", STARTED, "local-b", {"penstock:pipeline": "shop"}),
        Instance("web-2", "sha256:a", "", "exited", STARTED),
    ]
    reservations = ec2.call("DescribeInstances")["Reservations"]
    first, second = (each["Instances"][0] for each in reservations)
    assert (first["State"], first["Placement"]) == ({"Name": "running", "Code": 16}, {"AvailabilityZone": "local-b"})
    assert (second["State"]["Name"], "PrivateIpAddress" in second) == ("stopped", False)
    running = ec2.call("DescribeInstances", Filters=filters(**{"instance-state-name": "running"}))["Reservations"]
    assert [each["Instances"][0]["InstanceId"] for each in running] == ["web-1"]
    by_tag = ec2.call("DescribeInstances", Filters=filters(**{"tag:penstock:pipeline": "shop"}))["Reservations"]
    assert by_tag == running
    assert ec2.refusal("DescribeInstances", InstanceIds=["i-1"])[0] == "InvalidInstanceID.NotFound"


def test_lookup(ec2: Ec2) -> None:
    """Other services find a subnet's zone and its address, groups, VPCs and allocated addresses."""
    networks = Networks(ec2.store)
    vpc = ec2.vpc()
    subnet = ec2.subnet(vpc, AvailabilityZone="us-east-1b", TagSpecifications=tagged("subnet", Name="a"))
    found = networks.subnet("aws", subnet["SubnetId"])
    assert found is not None
    assert (found.vpc_id, found.availability_zone, found.zone) == (vpc, "us-east-1b", Zone("local-b", "127.0.0.2"))
    assert networks.subnet("other", subnet["SubnetId"]) is None
    default = networks.default_security_group("aws", vpc)
    assert default is not None
    assert networks.security_group("aws", default.id) == default
    assert networks.security_group("aws", "sg-1") is None
    assert networks.default_security_group("aws", "vpc-1") is None
    assert (networks.has_vpc("aws", vpc), networks.has_vpc("other", vpc)) == (True, False)
    address = ec2.call("AllocateAddress")
    assert networks.address("aws", address["AllocationId"]) == address["PublicIp"]
    assert networks.address("other", address["AllocationId"]) is None
    assert Networks(Ec2(ec2.store.folder, (Zone("a", "127.0.0.1"),)).store).subnet("aws", subnet["SubnetId"]) is None
