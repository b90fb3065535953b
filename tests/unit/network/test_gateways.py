"""Internet gateways, route tables and addresses."""

from __future__ import annotations

import pytest

from pipeline.network.attached import Interface
from tests.unit.network.ec2 import Ec2, filters

EVERYWHERE = {"DestinationCidrBlock": "0.0.0.0/0"}


@pytest.fixture
def vpc(ec2: Ec2) -> str:
    """A VPC."""
    return ec2.vpc()


@pytest.fixture
def gateway(ec2: Ec2, vpc: str) -> str:
    """An internet gateway that is attached to the VPC."""
    found = ec2.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    ec2.call("AttachInternetGateway", InternetGatewayId=found, VpcId=vpc)
    return str(found)


@pytest.fixture
def table(ec2: Ec2, vpc: str) -> str:
    """A route table of the VPC."""
    return str(ec2.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"])


def routes(ec2: Ec2, table: str) -> list[tuple[str, str]]:
    """Return the destinations of a table, each with its gateway."""
    (found,) = ec2.call("DescribeRouteTables", RouteTableIds=[table])["RouteTables"]
    names = ("DestinationCidrBlock", "DestinationIpv6CidrBlock")
    return [(next(each[name] for name in names if name in each), each["GatewayId"]) for each in found["Routes"]]


def test_gateway(ec2: Ec2, vpc: str, gateway: str) -> None:
    """A gateway is attached to one VPC, a VPC has one gateway, and an attached one cannot be deleted."""
    attached = ec2.call("DescribeInternetGateways", Filters=filters(**{"attachment.vpc-id": vpc}))
    assert [each["InternetGatewayId"] for each in attached["InternetGateways"]] == [gateway]
    other = ec2.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    place = {"InternetGatewayId": other, "VpcId": vpc}
    assert ec2.refusal("AttachInternetGateway", **place)[0] == "InvalidParameterValue"
    assert ec2.refusal("DetachInternetGateway", **place)[0] == "Gateway.NotAttached"
    again = {"InternetGatewayId": gateway, "VpcId": ec2.vpc()}
    assert ec2.refusal("AttachInternetGateway", **again)[0] == "Resource.AlreadyAssociated"
    assert ec2.refusal("DeleteInternetGateway", InternetGatewayId=gateway)[0] == "DependencyViolation"
    assert ec2.refusal("DeleteVpc", VpcId=vpc)[0] == "DependencyViolation"
    ec2.call("DetachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    ec2.call("DeleteInternetGateway", InternetGatewayId=gateway)
    ec2.call("DeleteVpc", VpcId=vpc)


def test_routes(ec2: Ec2, gateway: str, table: str) -> None:
    """A destination has one route, which can be replaced and deleted. The one to the VPC stays."""
    local = ("10.0.0.0/16", "local")
    ec2.call("CreateRoute", RouteTableId=table, GatewayId=gateway, **EVERYWHERE)
    ec2.call("CreateRoute", RouteTableId=table, GatewayId=gateway, DestinationIpv6CidrBlock="::/0")
    assert routes(ec2, table) == [local, ("0.0.0.0/0", gateway), ("::/0", gateway)]
    again = ec2.refusal("CreateRoute", RouteTableId=table, GatewayId=gateway, **EVERYWHERE)
    assert again == ("RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.")
    other = ec2.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    ec2.call("ReplaceRoute", RouteTableId=table, GatewayId=other, **EVERYWHERE)
    assert routes(ec2, table)[1] == ("0.0.0.0/0", other)
    ec2.call("DeleteRoute", RouteTableId=table, **EVERYWHERE)
    assert routes(ec2, table) == [local, ("::/0", gateway)]
    assert ec2.refusal("DeleteRoute", RouteTableId=table, **EVERYWHERE)[0] == "InvalidRoute.NotFound"
    own = {"DestinationCidrBlock": "10.0.0.0/16"}
    assert ec2.refusal("DeleteRoute", RouteTableId=table, **own)[0] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (EVERYWHERE, "MissingParameter"),
        ({**EVERYWHERE, "GatewayId": "igw-1"}, "InvalidGatewayID.NotFound"),
        ({**EVERYWHERE, "NatGatewayId": "nat-1"}, "UnsupportedOperation"),
    ],
)
def test_refused_routes(ec2: Ec2, table: str, parameters: dict[str, str], code: str) -> None:
    """A route goes to an internet gateway that exists."""
    assert ec2.refusal("CreateRoute", RouteTableId=table, **parameters)[0] == code


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({}, "MissingParameter"), ({"DestinationCidrBlock": "10.0.0.1/8"}, "InvalidParameterValue")],
)
def test_refused_destinations(ec2: Ec2, gateway: str, table: str, parameters: dict[str, str], code: str) -> None:
    """A route needs one destination, and a valid one."""
    assert ec2.refusal("CreateRoute", RouteTableId=table, GatewayId=gateway, **parameters)[0] == code


def test_token(ec2: Ec2, vpc: str) -> None:
    """A second call with the same token makes nothing."""
    first, second = (ec2.call("CreateRouteTable", VpcId=vpc, ClientToken="a") for _ in range(2))
    assert first == second
    assert ec2.call("CreateRouteTable", VpcId=vpc, ClientToken="b")["RouteTable"] != first["RouteTable"]


def test_associations(ec2: Ec2, vpc: str, table: str) -> None:
    """A subnet has one table besides the main one. A table with a subnet stays."""
    subnet = ec2.subnet(vpc)["SubnetId"]
    place = {"RouteTableId": table, "SubnetId": subnet}
    made = ec2.call("AssociateRouteTable", **place)["AssociationId"]
    assert ec2.refusal("AssociateRouteTable", **place)[0] == "Resource.AlreadyAssociated"
    assert ec2.refusal("AssociateRouteTable", RouteTableId=table)[0] == "MissingParameter"
    assert ec2.refusal("DeleteRouteTable", RouteTableId=table)[0] == "DependencyViolation"
    (found,) = ec2.call("DescribeRouteTables", Filters=filters(**{"association.subnet-id": subnet}))["RouteTables"]
    assert found["RouteTableId"] == table
    ec2.call("DisassociateRouteTable", AssociationId=made)
    assert ec2.refusal("DisassociateRouteTable", AssociationId=made)[0] == "InvalidAssociationID.NotFound"
    ec2.call("AssociateRouteTable", **place)
    ec2.call("DeleteSubnet", SubnetId=subnet)
    ec2.call("DeleteRouteTable", RouteTableId=table)


def test_foreign_subnet(ec2: Ec2, table: str) -> None:
    """A table and a subnet of different VPCs do not go together, and the main table cannot be taken away."""
    (subnet, _) = ec2.call("DescribeSubnets")["Subnets"]
    foreign = {"RouteTableId": table, "SubnetId": subnet["SubnetId"]}
    assert ec2.refusal("AssociateRouteTable", **foreign)[0] == "InvalidParameterValue"
    (main,) = ec2.call("DescribeRouteTables", Filters=filters(vpc_id=subnet["VpcId"]))["RouteTables"]
    (association,) = main["Associations"]
    main_id = association["RouteTableAssociationId"]
    assert ec2.refusal("DisassociateRouteTable", AssociationId=main_id)[0] == "InvalidParameterValue"


def test_addresses(ec2: Ec2) -> None:
    """Each allocated address is another one, for all owners. One of a load balancer stays."""
    first = ec2.call("AllocateAddress", Domain="vpc")
    second = ec2.call("AllocateAddress", owner="other")
    assert (first["PublicIp"], second["PublicIp"]) == ("127.64.0.1", "127.64.0.2")
    by_ip = ec2.call("DescribeAddresses", PublicIps=["127.64.0.1"])["Addresses"]
    assert by_ip == ec2.call("DescribeAddresses", AllocationIds=[first["AllocationId"]])["Addresses"]
    attributes = {"PublicIp": first["PublicIp"], "AllocationId": first["AllocationId"]}
    assert ec2.call("DescribeAddressesAttribute")["Addresses"] == [attributes]
    assert ec2.refusal("DescribeAddresses", PublicIps=["127.64.0.2"])[0] == "InvalidAddress.NotFound"
    (subnet, _) = ec2.call("DescribeSubnets")["Subnets"]
    ec2.interfaces.append(Interface("eni-1", "ELB net/a/1", subnet["SubnetId"], first["PublicIp"]))
    assert ec2.refusal("ReleaseAddress", AllocationId=first["AllocationId"])[0] == "InvalidIPAddress.InUse"
    ec2.interfaces.clear()
    ec2.call("ReleaseAddress", PublicIp="127.64.0.1")
    assert ec2.refusal("ReleaseAddress", AllocationId=first["AllocationId"])[0] == "InvalidAllocationID.NotFound"
    assert ec2.refusal("ReleaseAddress")[0] == "MissingParameter"
    assert ec2.refusal("AllocateAddress", Domain="standard")[0] == "InvalidParameterValue"
    assert ec2.call("AllocateAddress")["PublicIp"] == "127.64.0.1"
