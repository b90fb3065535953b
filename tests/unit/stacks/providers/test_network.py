"""EC2's network types on one machine."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.base.errors import ConfigError
from pipeline.network.kinds import Kind
from pipeline.stacks.provider import State
from tests.support.stack_machine import OWNER, SUBNETS, VPC, StackMachine

TOKEN = "lab-Thing-AAAAAAAAAAAA"
WEB = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "0.0.0.0/0"}
DNS = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIp": "10.0.0.0/8"}


@pytest.fixture
def machine(tmp_path: Path) -> StackMachine:
    """A machine with the default network."""
    return StackMachine(tmp_path)


def rules(machine: StackMachine, group: str, *, egress: bool) -> list[tuple[str, int]]:
    """Return protocol and first port of the rules of a group."""
    found = machine.machine.networks.read(OWNER).get(OWNER, Kind.SECURITY_GROUP, group)
    return [(each["IpProtocol"], each["FromPort"]) for each in found.data["Rules"] if each["IsEgress"] is egress]


def test_a_subnet_says_its_zone(machine: StackMachine) -> None:
    """The zone of AWS's name is the one that is declared at its letter."""
    vpc = machine.create("AWS::EC2::VPC", TOKEN, CidrBlock="10.0.0.0/16", EnableDnsHostnames="true")
    given = {"VpcId": vpc.physical_id, "CidrBlock": "10.0.0.0/24"}
    subnet = machine.create("AWS::EC2::Subnet", TOKEN, **given, AvailabilityZone="eu-west-1b")
    assert subnet.reason == "kept: it stands for the zone local-b at 127.0.0.2"
    assert subnet.attributes["AvailabilityZone"] == "eu-west-1b"
    assert vpc.properties is not None
    assert vpc.properties["EnableDnsHostnames"] is True
    assert vpc.attributes["DefaultSecurityGroup"].startswith("sg-")


def test_a_subnet_takes_a_part_of_the_ipv6_block_of_its_vpc(machine: StackMachine) -> None:
    """Templates divide the block by Fn::Cidr. What a subnet has is described, and changed in place."""
    vpc = machine.create("AWS::EC2::VPC", TOKEN, CidrBlock="10.0.0.0/16")
    (block,) = map(ip_network, vpc.attributes["Ipv6CidrBlocks"])
    first, second = [str(part) for part in islice(block.subnets(new_prefix=64), 2)]
    given = {"VpcId": vpc.physical_id, "CidrBlock": "10.0.0.0/24"}
    dual = {**given, "Ipv6CidrBlock": first, "AssignIpv6AddressOnCreation": True, "EnableDns64": True}
    subnet = machine.create("AWS::EC2::Subnet", TOKEN, **dual)
    assert subnet.attributes["Ipv6CidrBlocks"] == [first]
    assert subnet.properties is not None
    assert dual.items() <= subnet.properties.items()
    changed = machine.update("AWS::EC2::Subnet", subnet.physical_id, dual, {**dual, "Ipv6CidrBlock": second})
    assert isinstance(changed, State)
    assert changed.attributes["Ipv6CidrBlocks"] == [second]
    plain = machine.update("AWS::EC2::Subnet", subnet.physical_id, dual, given)
    assert isinstance(plain, State)
    assert plain.attributes["Ipv6CidrBlocks"] == []


def test_rules_of_a_security_group(machine: StackMachine) -> None:
    """Its own rules follow the template. Those of other resources stay."""
    first = {"GroupDescription": "web", "SecurityGroupIngress": [WEB]}
    group = machine.create("AWS::EC2::SecurityGroup", TOKEN, **first).physical_id
    other = {**WEB, "FromPort": 443, "ToPort": 443}
    machine.create("AWS::EC2::SecurityGroupIngress", TOKEN, GroupId=group, **other)
    assert rules(machine, group, egress=True) == [("-1", -1)]
    changed = {"GroupDescription": "web", "SecurityGroupIngress": [DNS], "SecurityGroupEgress": [WEB]}
    machine.update("AWS::EC2::SecurityGroup", group, first, changed)
    assert sorted(rules(machine, group, egress=False)) == [("tcp", 443), ("udp", 53)]
    assert rules(machine, group, egress=True) == [("tcp", 80)]
    machine.update("AWS::EC2::SecurityGroup", group, changed, first)
    assert sorted(rules(machine, group, egress=False)) == [("tcp", 80), ("tcp", 443)]
    assert rules(machine, group, egress=True) == [("-1", -1)]


def test_a_group_with_outgoing_rules_has_only_these(machine: StackMachine) -> None:
    """The rule for everything, which each new group has, is removed. One rule may be written without a list."""
    given: dict[str, Any] = {"GroupDescription": "web", "SecurityGroupEgress": DNS}
    group = machine.create("AWS::EC2::SecurityGroup", TOKEN, **given).physical_id
    assert rules(machine, group, egress=True) == [("udp", 53)]


def test_the_description_of_a_rule(machine: StackMachine) -> None:
    """It is changed in place, and removed again."""
    group = machine.create("AWS::EC2::SecurityGroup", TOKEN, GroupDescription="web").physical_id
    given = {"GroupId": group, **WEB}
    rule = machine.create("AWS::EC2::SecurityGroupIngress", TOKEN, **given).physical_id
    for after in ({**given, "Description": "all"}, given):
        machine.update("AWS::EC2::SecurityGroupIngress", rule, given, after)
        found = machine.provider("AWS::EC2::SecurityGroupIngress").read(rule)
        assert found is not None
        assert found.properties is not None
        assert found.properties.get("Description") == after.get("Description")


def test_a_rule_without_a_source(machine: StackMachine) -> None:
    """It is refused, and nothing is added."""
    group = machine.create("AWS::EC2::SecurityGroup", TOKEN, GroupDescription="web").physical_id
    with pytest.raises(ConfigError, match="a rule needs exactly one source"):
        machine.create("AWS::EC2::SecurityGroupIngress", TOKEN, GroupId=group, IpProtocol="-1")
    assert rules(machine, group, egress=False) == []


def test_routes_to_gateways_are_in_the_table(machine: StackMachine) -> None:
    """A route to an internet gateway is in EC2's description. One to something else is only kept."""
    table = machine.create("AWS::EC2::RouteTable", TOKEN, VpcId=VPC).physical_id
    gateway = machine.create("AWS::EC2::InternetGateway", TOKEN).physical_id
    first = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    route = machine.create("AWS::EC2::Route", TOKEN, **first).physical_id
    assert route == f"{table}|0.0.0.0/0"
    assert destinations(machine, table) == ["172.31.0.0/16", "0.0.0.0/0"]
    second = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
    machine.update("AWS::EC2::Route", route, first, second)
    assert destinations(machine, table) == ["172.31.0.0/16"]
    machine.provider("AWS::EC2::Route").delete(route)


def destinations(machine: StackMachine, table: str) -> list[str]:
    """Return the destinations of a table's routes."""
    found = machine.ec2("DescribeRouteTables", RouteTableIds=[table])["RouteTables"][0]["Routes"]
    return [each["DestinationCidrBlock"] for each in found]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "exactly one of DestinationCidrBlock, DestinationIpv6CidrBlock, DestinationPrefixListId must be set"),
        ({"DestinationCidrBlock": "all"}, "DestinationCidrBlock: all is not a CIDR block"),
    ],
)
def test_a_route_without_a_destination(machine: StackMachine, given: dict[str, str], wanted: str) -> None:
    """It is refused with the property."""
    table = machine.create("AWS::EC2::RouteTable", TOKEN, VpcId=VPC).physical_id
    with pytest.raises(ConfigError, match=wanted):
        machine.create("AWS::EC2::Route", TOKEN, RouteTableId=table, **given)
    with pytest.raises(ConfigError, match="The routeTable ID 'rtb-1' does not exist"):
        machine.create("AWS::EC2::Route", TOKEN, RouteTableId="rtb-1", **given)


def test_an_attachment_without_a_gateway(machine: StackMachine) -> None:
    """It is refused. One of a VPN gateway is only kept."""
    with pytest.raises(AwsError, match="Either InternetGatewayId or VpnGatewayId must be set"):
        machine.create("AWS::EC2::VPCGatewayAttachment", TOKEN, VpcId=VPC)
    state = machine.create("AWS::EC2::VPCGatewayAttachment", TOKEN, VpcId=VPC, VpnGatewayId="vgw-1")
    assert (state.physical_id, state.attributes["AttachmentType"]) == (f"VGW|{VPC}", "VGW")


def test_another_table_for_a_subnet(machine: StackMachine) -> None:
    """The new association takes the place of the old one, because a subnet has one table."""
    tables = [machine.create("AWS::EC2::RouteTable", f"lab-{n}-A", VpcId=VPC).physical_id for n in "AB"]
    kind = "AWS::EC2::SubnetRouteTableAssociation"
    first, second = (
        machine.create(kind, f"lab-{table}-A", RouteTableId=table, SubnetId=SUBNETS[0]).physical_id for table in tables
    )
    assert machine.provider(kind).read(first) is None
    assert machine.provider(kind).read(second) is not None


def test_an_address_is_its_own_name(machine: StackMachine) -> None:
    """Ref is the address, and the allocation is an attribute."""
    state = machine.create("AWS::EC2::EIP", TOKEN, Domain="vpc")
    (found,) = machine.ec2("DescribeAddresses", PublicIps=[state.physical_id])["Addresses"]
    assert state.attributes == {"AllocationId": found["AllocationId"], "PublicIp": state.physical_id}


@pytest.mark.parametrize("kind", ["VPC", "SecurityGroupIngress", "SubnetRouteTableAssociation"])
def test_an_update_of_what_is_gone(machine: StackMachine, kind: str) -> None:
    """It says so."""
    given = {
        "VPC": {"CidrBlock": "10.0.0.0/16"},
        "SecurityGroupIngress": {"GroupId": "sg-1", **WEB},
        "SubnetRouteTableAssociation": {"RouteTableId": "rtb-1", "SubnetId": "subnet-1"},
    }[kind]
    with pytest.raises(ConfigError, match=r"^gone does not exist$"):
        machine.update(f"AWS::EC2::{kind}", "gone", given, given)
